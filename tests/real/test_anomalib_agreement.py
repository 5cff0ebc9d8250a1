"""The presets beside anomalib itself, where the variable VADBENCH_PEER names a Python that holds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800)]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_anomalib.py"


def test_presets_agree_with_anomalib() -> None:
    """VADBENCH_PEER=PYTHON, or PYTHON:FILE with a file that it imports first."""
    peer, _, first = os.environ.get("VADBENCH_PEER", "").partition(":")
    if not peer:
        pytest.skip("no Python with anomalib (set VADBENCH_PEER; see docs/coming_from_anomalib.md)")
    words = ["--peer", peer, *(["--peer-first", first] if first else [])]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| yes |" in done.stdout and "| no |" not in done.stdout
