"""Peak memory is that of the run: not of the process that started it, not of the run before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vadbench.experiment.allocator import release_freed_memory
from vadbench.runs.provenance import _git, forget_peak_memory, peak_memory_mb

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system keeps no peak that can be forgotten")


def touch(megabytes: int) -> float:
    return float(np.ones(megabytes * 125_000).sum())


def test_memory_that_was_held_counts_when_it_is_free_again() -> None:
    before = peak_memory_mb()
    touch(300)
    touch(300 + int(before))
    assert peak_memory_mb() >= 300 + before


@linux
def test_a_run_does_not_inherit_the_peak_of_the_run_before_it() -> None:
    touch(800)
    held = peak_memory_mb()
    release_freed_memory()  # as a run does
    forget_peak_memory()
    assert peak_memory_mb() < held - 400
    touch(300)
    assert peak_memory_mb() > 300


@linux
def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    touch(800)
    program = "from vadbench.runs.provenance import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < 400


def test_asking_git_for_the_version_writes_nothing_into_the_repository(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run(["git", *who, "-C", str(tmp_path), *words], check=True, capture_output=True)
    os.utime(tmp_path / "a.py", (1, 1))  # unchanged, but git has to look and would note in its index that it did
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    assert _git(tmp_path, "status", "--porcelain") == ""
    assert index.read_bytes() == before
