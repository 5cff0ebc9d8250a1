"""Peak memory is that of the run: not of the process that started it, not of the run before it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vadbench.provenance import forget_peak_memory, peak_memory_mb

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
    forget_peak_memory()
    assert peak_memory_mb() < held - 400
    touch(300)
    assert peak_memory_mb() > 300


@linux
def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    touch(800)
    program = "from vadbench.provenance import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < 400
