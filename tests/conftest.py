"""What all tests share: where the real clips are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and labels; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VADBENCH_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"real clips not found at {folder} (set VADBENCH_SHARED)")
    return folder
