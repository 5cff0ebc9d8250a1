"""What this machine can do with one thread: the constants that costs are held against."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

_REPEATS = 5
_SIDE = 1536


def constants() -> dict[str, float]:
    """Return name to figure, the best of five each; imports torch and pins it to one thread."""
    import torch

    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    a, b = (draw.normal(size=(_SIDE, _SIDE)).astype(np.float32) for _ in range(2))
    half, other = torch.from_numpy(a).bfloat16(), torch.from_numpy(b).bfloat16()
    single, second = torch.from_numpy(a), torch.from_numpy(b)
    block = np.zeros(1 << 25, np.uint8)
    target = np.empty_like(block)
    keys = draw.random(1 << 20, dtype=np.float32)
    products = 2 * _SIDE**3 / 1e9
    return {
        "float32 matrix product, GFLOP/s": products / _best(lambda: single @ second),
        "bfloat16 matrix product, GFLOP/s": products / _best(lambda: half @ other),
        "copy, GB/s read and written": 2 * block.nbytes / 1e9 / _best(lambda: np.copyto(target, block)),
        "sort of 1e6 float32, ns a value": 1e9 / keys.size * _best(lambda: np.sort(keys)),
    }


def description() -> str:
    """Return processor, cores, system and the instructions that matter here, in one line."""
    flags = " ".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in _flags())
    return f"{_processor()}, {os.cpu_count()} cores, {flags or 'no vector flags known'}, {platform.platform()}"


def _best(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several calls."""
    taken = []
    for _ in range(_REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _flags() -> set[str]:
    line = next((line for line in _cpuinfo().splitlines() if line.startswith("flags")), "")
    return set(line.partition(":")[2].split())


def _processor() -> str:
    line = next((line for line in _cpuinfo().splitlines() if line.startswith("model name")), "")
    return line.partition(":")[2].strip() or platform.processor() or platform.machine()
