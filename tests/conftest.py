"""What all tests share: where the real clips are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: more threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_NAME"):  # a test that wants one sets it
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and labels; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VADBENCH_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"real clips not found at {folder} (set VADBENCH_SHARED)")
    return folder
