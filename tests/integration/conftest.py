"""What sweeps in tests run on, and how their results are compared."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.small_ped2 import write_small_ped2
from tests.records import require_valid


@pytest.fixture(scope="session")
def small_ped2(tmp_path_factory) -> Path:
    """Root of a tiny dataset in the UCSD tree."""
    return write_small_ped2(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def base_words(small_ped2) -> list[str]:
    """A run of FUVAS on flow features that takes a fraction of a second, because it is not evaluated."""
    words = ["model=fuvas", "dataset=ucsd_ped2", f"dataset.root={small_ped2}", "backbone=flow_grid"]
    words += ["backbone.clip_stride=1", "model.visualizer=false", "model.evaluator=false"]
    return [*words, "runtime.threads=1"]


@pytest.fixture(autouse=True)
def valid_records_of_other_processes(tmp_path: Path) -> Iterator[None]:
    """Every record that a command or a worker left in the folder of the test is valid; made-up ones have no log."""
    yield
    for log in tmp_path.rglob("runs/*/*/*/log.txt"):
        if (log.parent / "run.json").is_file():
            require_valid(log.parent)


DEADLINE = 250
"""Seconds after which something that a test waits for is taken to never happen, also on a busy machine."""


def environment(**variables: str) -> dict[str, str]:
    """The environment of a process of its own: one numeric thread; PYTHONPATH goes before the one of the tests."""
    if "PYTHONPATH" in variables and os.environ.get("PYTHONPATH"):
        variables["PYTHONPATH"] += os.pathsep + os.environ["PYTHONPATH"]
    return {**os.environ, "OMP_NUM_THREADS": "1", **variables}


def vadbench(*words: str, cwd: Path | None = None, **options) -> subprocess.CompletedProcess:
    """``python -m vadbench ARGUMENTS`` in a process of its own."""
    command = [sys.executable, "-m", "vadbench", *words]
    env = environment(**options.pop("env", {}))
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=DEADLINE, **options)


def wait_until(event: Callable[[], Any]) -> None:
    """Return as soon as ``event()`` is true; fail after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not event():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def workers(parent: psutil.Process) -> list[psutil.Process]:
    """The living workers of a sweep; a worker may have children of its own, such as git, which are not counted."""
    found = []
    for child in parent.children():
        with contextlib.suppress(psutil.Error):
            if "vadbench.sweep.worker" in " ".join(child.cmdline()):
                found.append(child)
    return found


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
