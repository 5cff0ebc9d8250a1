"""Freed memory is reused without the kernel: counted in page faults of a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from vadbench.experiment.allocator import keep_freed_memory, release_freed_memory
if sys.argv[1] == "on":
    assert keep_freed_memory()
def large():
    np.ones(12_000_000)  # 96 MB: above the largest threshold that glibc sets by itself
large()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    large()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
def resident():
    return int(open("/proc/self/statm").read().split()[1])
held = resident()
release_freed_memory()
print(held - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_large_arrays_are_reused_without_page_faults_and_given_back_in_the_end():
    def count(mode: str) -> list[int]:
        done = subprocess.run([sys.executable, "-c", COUNT, mode], check=True, capture_output=True, text=True)
        return [int(line) for line in done.stdout.split()]

    (without, _), (with_it, returned) = count("off"), count("on")
    assert with_it < without / 10
    assert returned > 20_000  # pages: most of the 96 MB
