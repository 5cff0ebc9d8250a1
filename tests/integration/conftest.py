"""What sweeps in tests run on, and how their results are compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.small_ped2 import write_small_ped2


@pytest.fixture(scope="session")
def small_ped2(tmp_path_factory) -> Path:
    """Root of a tiny data set in the UCSD tree."""
    return write_small_ped2(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def base_words(small_ped2) -> list[str]:
    """A run of FUVAS on flow features that takes a fraction of a second, because it is not evaluated."""
    words = ["model=fuvas", "dataset=ucsd_ped2", f"dataset.root={small_ped2}", "backbone=flow_grid"]
    words += ["backbone.clip_stride=1", "model.visualizer=false", "model.evaluator=false"]
    return [*words, "runtime.threads=1"]


def vadbench(*words: str, cwd: Path | None = None, **options) -> subprocess.CompletedProcess:
    """``python -m vadbench WORDS`` in a process of its own."""
    command = [sys.executable, "-m", "vadbench", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=250, **options)


def scores_by_point(results: Path) -> dict[str, bytes]:
    """Fingerprint to the bytes of its scores, of every complete run."""
    return {p.parent.name: (p.parent / "scores.parquet").read_bytes() for p in results.glob("runs/*/*/*/run.json")}


def table_of(output: str) -> list[str]:
    """The lines of the markdown table in what a sweep prints."""
    return [line for line in output.splitlines() if line.startswith("|")]


def files_of(results: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time of change."""
    found = {}
    for path in results.rglob("*"):
        if path.is_file():
            stat = path.stat()
            found[str(path.relative_to(results))] = (stat.st_size, stat.st_mtime_ns)
    return found
