"""The same six points by processes, by submitit and by Ray: the same table, the same scores to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import scores_by_point, table_of, vadbench

POINTS = ["model.pca_level=0.7,0.8,0.9", "model.shots=20,40"]


@pytest.fixture(scope="session")
def reference(tmp_path_factory, base_words):
    """(table, scores) of the six points by the local launcher."""
    results = tmp_path_factory.mktemp("local")
    done = vadbench("-m", *base_words, *POINTS, f"results={results}", "tracking=none", "launcher.jobs=2")
    assert done.returncode == 0, done.stderr
    found = table_of(done.stdout), scores_by_point(results)
    assert len(found[0]) == 2 + 6
    assert len(found[1]) == 6
    return found


def test_submitit_on_this_machine(tmp_path, base_words, reference):
    pytest.importorskip("submitit")
    words = ["launcher=slurm", "launcher.cluster=local", "launcher.jobs=2", "launcher.gpus_per_job=0"]
    words += ["launcher.cpus_per_job=1", "launcher.mem_gb=2", "launcher.minutes=10"]
    done = vadbench("-m", *base_words, *POINTS, f"results={tmp_path}", "tracking=none", *words)
    assert done.returncode == 0, done.stderr
    assert (table_of(done.stdout), scores_by_point(tmp_path)) == reference
    again = vadbench("-m", *base_words, *POINTS, f"results={tmp_path}", "tracking=none", *words)
    assert again.returncode == 0
    assert "6 complete, 0 to do" in again.stderr


@pytest.mark.slow
def test_two_ray_workers(tmp_path, base_words, reference):
    """Needs an interpreter with ray: this one, or the one that VADBENCH_RAY_PYTHON names."""
    python = os.environ.get("VADBENCH_RAY_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import ray, vadbench"], capture_output=True).returncode:
        pytest.skip("ray is not installed (pip install 'vadbench[ray]', or set VADBENCH_RAY_PYTHON)")
    words = ["launcher=ray", "launcher.jobs=2", "launcher.cpus_per_job=1"]
    command = [python, "-m", "vadbench", "-m", *base_words, *POINTS, f"results={tmp_path}", "tracking=none", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr
    assert (table_of(done.stdout), scores_by_point(tmp_path)) == reference


def test_slurm_without_slurm_is_a_clear_error(tmp_path, base_words):
    if Path("/usr/bin/sbatch").exists():
        pytest.skip("there is a Slurm here")
    done = vadbench("-m", *base_words, f"results={tmp_path}", "tracking=none", "launcher=slurm")
    assert done.returncode == 2
    assert "launcher.cluster=local" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_launcher_that_is_not_installed_names_the_extra(tmp_path, base_words):
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')")
    words = ["-m", *base_words, f"results={tmp_path / 'results'}", "tracking=none", "launcher=ray"]
    done = vadbench(*words, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "pip install 'vadbench[ray]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_preempted_task_is_queued_again_and_goes_on(tmp_path, base_words):
    """submitit's own simulation of a preemption: one job, interrupted in the middle, does all points in the end."""
    submitit = pytest.importorskip("submitit")
    from vadbench.sweep.launchers import start
    from vadbench.sweep.multirun import Sweep
    from vadbench.sweep.points import expand

    words = [
        *base_words,
        "model.evaluator=true",
        "seed=range(6)",
        "model.shots=5",
        f"results={tmp_path}",
        "tracking=none",
        "launcher=slurm",
    ]
    words += ["launcher.cluster=local", "launcher.jobs=1", "launcher.gpus_per_job=0", "launcher.cpus_per_job=1"]
    sweep = Sweep(words, expand(words))
    sweep.since = sweep.folder.begin()
    sweep.folder.write_work(sweep._work(sweep.todo(), 1, retry=False))
    (worker,) = start(sweep.launcher, sweep.folder, 1, 1)
    deadline = time.monotonic() + 200
    while not scores_by_point(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for process in psutil.Process(worker._job._process.pid).children(recursive=True):
        process.send_signal(submitit.JobEnvironment._usr_sig())  # what Slurm sends before it takes a task away
    while worker.fault() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert worker.fault() == ""
    assert len(scores_by_point(tmp_path)) == 6
    logs = "".join(path.read_text() for path in sweep.folder.path.glob("slurm/*_log.*"))
    assert "this job is preempted" in logs
    assert "Requeued job" in logs
