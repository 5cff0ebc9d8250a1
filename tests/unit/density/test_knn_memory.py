"""A bank of a million rows in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a process of its own, whose peak is its own.
_PROGRAM = """
import json, sys, time
import numpy as np
from vadbench.runs.provenance import forget_peak_memory, peak_memory_mb
forget_peak_memory()
from vadbench.density.knn import GroupedKNNEstimator

n, m, device = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
bank = np.empty((n, 512), np.float32)
for start in range(0, n, 10_000):
    rng.standard_normal(out=bank[start:start + 10_000], dtype=np.float32)
groups = np.arange(n) * 20 // n
estimator = GroupedKNNEstimator(3, calibration_samples=200, device=device)
started = time.perf_counter()
estimator.fit(bank, groups)
fitted = time.perf_counter()
queries = rng.standard_normal((m, 512), dtype=np.float32)
scores = estimator.raw(queries)
scored = time.perf_counter()
exact = []
for query in queries[:: m // 5]:
    distances = np.concatenate([
        np.linalg.norm(bank[i : i + 10_000].astype(np.float64) - query, axis=1) for i in range(0, n, 10_000)])
    exact.append(float(np.sort(distances)[:3].mean()))
print(json.dumps({
    "peak_gb": peak_memory_mb() / 1e3,
    "error": float(np.abs(scores[:: m // 5] - exact).max()),
    "fit_s": fitted - started, "score_s": scored - fitted,
}))
"""


def measured(n: int, m: int, device: str = "cpu") -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(n), str(m), device], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    print(found)
    return found


def test_memory_beyond_the_bank_does_not_grow_with_it() -> None:
    small, large = measured(10_000, 300), measured(60_000, 300)
    assert large["error"] < 1e-9
    bank_gb = 50_000 * 512 * 4 / 1e9
    assert large["peak_gb"] - small["peak_gb"] < bank_gb + 0.05


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_rows_and_ten_thousand_queries_in_four_gigabytes() -> None:
    found = measured(1_000_000, 10_000)
    assert found["peak_gb"] < 4
    assert found["error"] < 1e-9


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_rows_on_a_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    found = measured(1_000_000, 10_000, "cuda")
    assert found["peak_gb"] < 8  # the host's; CUDA maps some of its own
    assert found["error"] < 1e-9 and found["score_s"] < 30
