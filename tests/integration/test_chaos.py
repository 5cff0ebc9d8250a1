"""Workers are killed at random, again and again; what is there in the end is what an undisturbed sweep makes."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import psutil
import pytest

from tests.integration.conftest import scores_by_point, table_of, vadbench, workers
from vadbench.cli.sync import sync
from vadbench.store.entry import entries

KILLS = 20
POINTS = ["model.pca_level=0.7,0.8,0.9", "model.shots=20,30,40,50"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_and_the_same_table(tmp_path, base_words):
    """12 points, 4 jobs, at least 20 SIGKILLs at random moments, then the command again: the same, to the bit."""
    words = ["-m", *base_words, *POINTS, "launcher.jobs=4", "model.evaluator=true"]
    calm = vadbench(*words, f"results={tmp_path / 'calm'}", "tracking=none")
    assert calm.returncode == 0, calm.stderr
    wild = [*words, f"results={tmp_path / 'wild'}"]
    draw = random.Random(0)
    kills = 0
    starts = 0
    while kills < KILLS:
        starts += 1
        assert starts < 60, f"only {kills} kills so far"
        kills += _start_and_kill(wild, draw)
        if len(scores_by_point(tmp_path / "wild")) == 12 and kills < KILLS:
            _forget_some(tmp_path / "wild", draw)
    final = vadbench(*wild)
    assert final.returncode == 0, final.stderr
    assert table_of(final.stdout) == table_of(calm.stdout)
    assert scores_by_point(tmp_path / "wild") == scores_by_point(tmp_path / "calm")
    _nothing_is_left_over(tmp_path / "wild")
    _mlflow_is_whole(tmp_path / "wild")


def _start_and_kill(words: list[str], draw: random.Random) -> int:
    """Start the sweep, kill some of its processes while it runs, sometimes all of them; returns how many."""
    command = subprocess.Popen(
        [sys.executable, "-m", "vadbench", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    parent = psutil.Process(command.pid)
    kills = 0
    while command.poll() is None and not workers(parent):
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 8))
    for _ in range(draw.randint(1, 4)):
        living = workers(parent) if command.poll() is None else []
        if living:
            draw.choice(living).kill()
            kills += 1
        time.sleep(draw.uniform(0, 2))
    if command.poll() is None and draw.random() < 0.5:
        orphans = parent.children(recursive=True)
        command.kill()
        kills += 1
        _, alive = psutil.wait_procs(orphans, timeout=60)
        assert alive == []
    command.wait(280)
    return kills


def _forget_some(results, draw: random.Random) -> None:
    """Take some finished work away, so that there is something to do for the next start."""
    import shutil

    for path in list(results.glob("runs/*/*/*/run.json")):
        if draw.random() < 0.7:
            shutil.rmtree(path.parent)
    for entry in list(entries(results / "cache")):
        if draw.random() < 0.5:
            entry.remove()


def _nothing_is_left_over(results) -> None:
    assert len(list(results.glob("runs/*/*/*/run.json"))) == 12
    assert not list(results.glob("runs/*/*/*/state.json"))
    files = [path for path in results.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix in (".tmp", ".part") or path.name.startswith(".")] == []
    for entry in entries(results / "cache"):
        assert entry.fault(fresh=True) is None
    for data in (results / "cache").rglob("*.safetensors"):
        assert data.with_suffix(".json").is_file()


def _mlflow_is_whole(results) -> None:
    from mlflow.tracking import MlflowClient

    from vadbench.config.schema import TrackingConfig

    sync(results, TrackingConfig("mlflow", None))
    client = MlflowClient(tracking_uri=f"sqlite:///{results}/tracking/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("ucsd_ped2").experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}
    keys = [run.data.tags["vadbench.fingerprint"] for run in runs if "vadbench.fingerprint" in run.data.tags]
    assert sorted(keys) == sorted(scores_by_point(results))
    assert sum("vadbench.sweep" in run.data.tags for run in runs) == 1
