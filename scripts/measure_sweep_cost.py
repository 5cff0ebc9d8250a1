"""What a sweep costs against a single run, each from an empty cache: writes a table into results/tables.

Costs are those of whole commands, imports, pictures and tracking included.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LEVELS = "model.pca_level=0.8,0.85,0.9,0.92,0.94,0.96,0.98,0.99"


def cost(words: list[str]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of ``python -m vadbench OVERRIDES`` with results in a new folder."""
    with tempfile.TemporaryDirectory() as results:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "vadbench", *words, f"results={results}"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, time.perf_counter() - started


def main() -> None:
    """Measure one run and the sweeps named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", nargs="+", required=True, help="overrides of the single run")
    parser.add_argument("--sweep", nargs="+", action="append", default=[], help="overrides for a sweep (repeatable)")
    parser.add_argument("--out", type=Path, default=Path("results/tables/sweep_cost_fuvas.md"))
    given = parser.parse_args()
    sweeps = given.sweep or [[LEVELS], ["model.layer=blocks.2,blocks.3,blocks.4", LEVELS]]
    measured = [cost(given.base), *(cost(["-m", *given.base, *words]) for words in sweeps), cost(given.base)]
    single = [(first + last) / 2 for first, last in zip(measured[0], measured[-1], strict=True)]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    lines = [
        "# What a sweep costs against one run",
        "",
        f"One run: `python -m vadbench {' '.join(given.base)}`. A sweep: `-m` and the overrides of its row.",
        "Each started from an empty cache; CPU seconds are those of all its processes. The run is measured before and",
        "after the sweeps, since machines change; ratios are to the mean. Written by scripts/measure_sweep_cost.py.",
        "",
        f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, no GPU used, "
        f"{time.strftime('%Y-%m-%d')}, commit {commit}.",
    ]
    lines += ["", "| sweep | CPU s | ratio | wall s | ratio |", "|---|---|---|---|---|"]
    names = ["one run, first", *(" ".join(words) for words in sweeps), "one run, last"]
    for name, (cpu, wall) in zip(names, measured, strict=True):
        lines.append(f"| {name} | {cpu:.0f} | {cpu / single[0]:.2f} | {wall:.0f} | {wall / single[1]:.2f} |")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
