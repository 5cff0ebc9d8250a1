"""The comparison with anomalib calls a difference a difference; what it needs of a peer is said in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import compare_anomalib as script

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("ours", "agrees"),
    [
        ([2.0, -4.0], True),
        ([2.0, -4.0 - 3.9e-5], True),
        ([2.0, -4.0 - 4.1e-5], False),
        ([2.0, np.nan], False),
        ([2.0, -4.0, 0.0], False),
    ],
)
def test_within_a_hundred_thousandth_of_the_largest_value(ours: list[float], agrees: bool) -> None:
    line, within = script.row("scores", np.array([2.0, -4.0]), np.array(ours))
    assert within is agrees
    assert line.startswith("| scores | 2 | ") and line.endswith("| yes |" if agrees else "| no |")


def compare(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPO / "scripts" / "compare_anomalib.py"), *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_peer_that_is_not_there_or_fails_is_said_without_a_traceback_of_ours(tmp_path: Path) -> None:
    absent = compare("--peer", "/no/such/python", "--section", "fuvas")
    assert absent.returncode == 1 and absent.stderr.startswith("--peer /no/such/python: No such file")
    (tmp_path / "broken.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    failed = compare("--peer", sys.executable, "--peer-first", str(tmp_path / "broken.py"), "--section", "fuvas")
    assert failed.returncode == 1 and "torchvision was built for another torch" in failed.stderr


@pytest.mark.parametrize("section", script.SECTIONS)
def test_the_page_shows_the_table_of_every_section(section: str) -> None:
    page = " ".join((REPO / "docs" / "coming_from_anomalib.md").read_text().split())
    shown = subprocess.run(
        [sys.executable, "-c", f"import compare_anomalib_{section} as part; print(part.INPUTS)"],
        capture_output=True, text=True, cwd=REPO / "scripts", check=True,
    ).stdout  # fmt: skip
    assert " ".join(shown.split()) in page and script.HEAD in page
