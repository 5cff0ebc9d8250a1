"""Many processes, one store entry, one new tracking database: one extraction, as many results, no error."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np

from tests.unit.store.stand_in import Rows, video
from tests.unit.tracking.run_folders import write_run
from vadbench.config.schema import TrackingConfig
from vadbench.store import FeatureStore
from vadbench.tracking.mlflow_mirror import _import_client, log_run, tracking_uri

MLFLOW = TrackingConfig("mlflow", None)
RACERS = 16


def _race(results: Path, rank: int, gate, answers) -> None:
    gate.wait()
    store = FeatureStore(results / "cache")
    extractor = Rows({"a": 1.0, "b": 2.0}, results / "diary", seconds=0.5)
    arrays = store.get(extractor, video(3, "01", 40))
    total = float(arrays["a"]["features"].sum() + arrays["b"]["features"].sum())
    answers.put((rank, total, store.counts.misses, log_run(write_run(results, f"{rank:016x}"), MLFLOW)))


def test_sixteen_processes_on_a_fresh_store_and_a_fresh_database(tmp_path):
    _import_client("sqlite:///")  # before the fork: 16 times would take a minute
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(RACERS), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, rank, gate, answers)) for rank in range(RACERS)]
    for racer in racers:
        racer.start()
    results = sorted(answers.get(timeout=200) for _ in racers)
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    assert (tmp_path / "diary").read_text().count("\n") == 1  # one of them extracted, once, both outputs
    frames = np.stack(list(video(3, "01", 40).frames())).astype(np.float32)
    assert {total for _, total, _, _ in results} == {float(frames.sum() + (2 * frames).sum())}
    assert sorted(misses for _, _, misses, _ in results) == [0] * (RACERS - 1) + [2]
    assert [mirrored for *_, mirrored in results] == ["mirrored"] * RACERS
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(MLFLOW, tmp_path))
    runs = client.search_runs([client.get_experiment_by_name("synthetic").experiment_id])
    assert sorted(run.data.tags["vadbench.fingerprint"] for run in runs) == [f"{i:016x}" for i in range(RACERS)]
    assert {run.info.status for run in runs} == {"FINISHED"}


def _get(root: Path, gains: dict[str, float], diary: Path, answers) -> None:
    arrays = FeatureStore(root).get(Rows(gains, diary, seconds=0.3), video())
    answers.put(sorted(arrays))


def test_processes_that_want_overlapping_outputs_do_not_wait_in_a_circle(tmp_path):
    """Each of six wants another pair out of four outputs; every output is made once."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    gains = {name: float(i + 1) for i, name in enumerate("abcd")}
    pairs = ["ab", "bc", "cd", "da", "ac", "bd"]
    wanted = [{name: gains[name] for name in pair} for pair in pairs]
    jobs = [context.Process(target=_get, args=(tmp_path / "cache", w, tmp_path / "diary", answers)) for w in wanted]
    for job in jobs:
        job.start()
    got = sorted(answers.get(timeout=200) for _ in jobs)
    for job in jobs:
        job.join(60)
    assert got == sorted(sorted(pair) for pair in pairs)
    made = [line.split()[2] for line in (tmp_path / "diary").read_text().splitlines()]
    assert sorted(",".join(made).split(",")) == ["a", "b", "c", "d"]
