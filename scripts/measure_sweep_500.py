"""What a sweep of 500 points of trivial work costs, and what the same command costs again: writes a table into
results/tables.
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

MODELS = ("frame_difference", "position")
DATA = ["dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24", "dataset.size=[48,64]"]


def words_of(points: int, root: Path) -> list[str]:
    """Return the overrides of a sweep of so many points: two methods, each under half as many widths of smoothing."""
    widths = (f"[{{kind:gaussian,sigma:{1 + number / 100:.2f}}}]" for number in range(points // len(MODELS)))
    steps = f"protocol.steps={','.join(widths)}"
    return [f"model={','.join(MODELS)}", *DATA, f"dataset.root={root}", "protocol=gaussian", steps]


def spent() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(words: list[str], results: Path) -> tuple[float, float, float]:
    """(CPU seconds, wall seconds, wall seconds until the first point was complete) of a sweep."""
    command = [sys.executable, "-m", "vadbench", "-m", *words, f"results={results}"]
    before, started, first = spent(), time.perf_counter(), float("nan")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if first != first and next(results.glob("runs/*/*/*/run.json"), None) is not None:
                first = time.perf_counter() - started
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"the sweep ended with status {process.returncode}: {' '.join(command)}")
    return spent() - before, time.perf_counter() - started, first


def search_seconds(results: Path) -> float:
    """Wall seconds of one search over all runs in MLflow, the least of three, after a first one."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{results / 'tracking' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = []
    for _ in range(4):
        started = time.perf_counter()
        client.search_runs(experiments, max_results=1000)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def main() -> None:
    """Measure the sweep, the sweep again, and a search over its runs in MLflow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/tables/sweep_500.md"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        words = [*words_of(given.points, Path(folder) / "data"), f"launcher.jobs={given.jobs}"]
        idle = os.getloadavg()[0]
        cpu, wall, first = timed([*words, "tracking=none"], results)
        runs = len(list(results.glob("runs/*/*/*/run.json")))
        again = min(timed([*words, "tracking=none"], results)[:2] for _ in range(3))
        before = spent()
        subprocess.run([sys.executable, "-m", "vadbench", "sync", f"--results={results}"], check=True)
        mirrored = spent() - before
        search = search_seconds(results)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    short = " ".join(word for word in words if not word.startswith(("dataset.root=", "protocol.steps=")))
    lines = [
        f"# What {runs} points of trivial work cost",
        "",
        f"`python -m vadbench -m {short} tracking=none` with {given.points // len(MODELS)} values of `protocol.steps`",
        "(Gaussians of other widths), from an empty results folder; then the same command again, the least of three;",
        "then `sync`, and a search over all runs in MLflow (SQLite), the least of three after a first one. CPU seconds",
        f"are those of all processes. Written by `python scripts/measure_sweep_500.py --points {given.points} --jobs",
        f"{given.jobs}`.",
        "",
        f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, load {idle:.1f}",
        f"before, {time.strftime('%Y-%m-%d')}, commit {commit}.",
        "",
        "| what | measured | goal |",
        "|---|---|---|",
        f"| first point complete | {first:.1f} s wall | 20 s |",
        f"| all points | {wall:.0f} s wall, {cpu:.0f} CPU s | |",
        f"| a point | {cpu / runs:.2f} CPU s | 0.3 CPU s |",
        f"| the same command again | {again[0]:.1f} CPU s, {again[1]:.1f} s wall | 8 CPU s |",
        f"| mirroring all runs to MLflow | {mirrored:.0f} CPU s | |",
        f"| a search over {runs} runs in MLflow | {search:.2f} s wall | 3 s |",
    ]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
