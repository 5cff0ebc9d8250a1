"""What a worker takes up and in which order, and what it leaves alone."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import yaml
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from vadbench.errors import VadbenchError
from vadbench.runs.run_folder import RunFolder
from vadbench.sweep.inventory import Item
from vadbench.sweep.multirun import Sweep
from vadbench.sweep.points import expand
from vadbench.sweep.sweep_folder import SweepFolder, Task, Work
from vadbench.sweep.worker import _own_first, _wanted, bounded_threads, work_in


@given(st.lists(st.integers(), max_size=40), st.integers(1, 8))
def test_every_worker_sees_every_point_once_and_its_own_first(points, world):
    orders = [_own_first(points, rank, world) for rank in range(world)]
    for order in orders:
        assert sorted(order) == sorted(points)
    if len(points) >= world and len(set(points)) == len(points):
        assert len({order[0] for order in orders}) == world  # nobody begins where another does


def _work(**changes):
    given = {"since": 100.0, "rerun": False, "retry": False, "threads": 1, "wants_gpu": False, "jobs_per_gpu": 1}
    return Work(tasks=(), directory="/", **(given | changes))


def _folder(path, state=None, written=200.0):
    path.mkdir()
    if state is not None:
        name = "run.json" if state == "complete" else "state.json"
        (path / name).write_text(f'{{"state": "{state}", "host": "h", "pid": 1, "since": "", "reason": ""}}')
        os.utime(path / name, (written, written))
    return RunFolder(path)


def test_what_is_wanted(tmp_path):
    def wanted(state, written=200.0, **changes):
        folder = _folder(tmp_path / f"{state}-{written}-{changes}", state, written)
        return _wanted(Item(None, folder=folder), _work(**changes))

    assert wanted(None)  # never begun
    assert not wanted("complete")
    assert wanted("complete", 50.0, rerun=True)  # an older record does not count
    assert not wanted("complete", 200.0, rerun=True)
    assert wanted("failed", 50.0)  # by an earlier start: tried again
    assert not wanted("failed", 200.0)  # by this one: once is enough
    assert wanted("interrupted", 50.0)
    assert wanted("interrupted", 200.0)  # it was told to stop, as by a preemption
    assert not wanted("running", 200.0)  # it fell silent: it killed a worker of this start
    assert wanted("running", 200.0, retry=True)  # its second chance
    assert wanted("running", 50.0)  # it fell silent in an earlier start


def test_what_another_process_runs_is_left_alone(tmp_path):
    import socket

    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "state.json").write_text(
        f'{{"state": "running", "host": "{socket.gethostname()}", "pid": {os.getpid()}}}'
    )
    with FileLock(tmp_path / "run.lock"):
        assert not _wanted(Item(None, folder=RunFolder(folder)), _work())  # type: ignore[arg-type]


def test_work_goes_to_disk_and_back(tmp_path):
    folder = SweepFolder(tmp_path)
    work = Work((Task(("a=1", "b=[x,y]"), "a=1", "/r"),), 12.5, True, False, 2, True, 3, "/here")
    folder.write_work(work)
    assert folder.read_work() == work


def test_the_record_is_written_only_if_it_changed(tmp_path):
    folder = SweepFolder(tmp_path)
    rows = [{"label": "seed=0", "state": "complete"}]
    folder.write(["seed=0"], rows, None)
    before = (tmp_path / "sweep.json").stat().st_mtime_ns
    folder.write(["seed=0"], rows, None)
    assert (tmp_path / "sweep.json").stat().st_mtime_ns == before
    folder.write(["seed=0"], rows, "sqlite:///x")
    assert folder.read()["mirrored"] == "sqlite:///x"


def test_faults_outside_run_folders_are_kept_and_forgotten(tmp_path):
    folder = SweepFolder(tmp_path)
    folder.begin()
    folder.write_fault(Task(("a=1",), "a=1", ""), "no such root")
    assert folder.fault(["a=1"]) == "no such root"
    assert folder.fault(["a=2"]) is None
    folder.begin()
    assert folder.fault(["a=1"]) is None


def test_threads_are_bounded_inside():
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    with bounded_threads(1):
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
        assert os.environ["OMP_NUM_THREADS"] == "1"
    with bounded_threads(0):
        pass


def test_a_sweep_is_run_by_one_process_at_a_time(tmp_path):
    twice = pytest.raises(VadbenchError, match="another process")
    with SweepFolder(tmp_path).alone(), twice, SweepFolder(tmp_path).alone():
        pass
    with SweepFolder(tmp_path).alone():
        pass


@pytest.fixture
def sweep_of_two(tmp_path):
    """Two points whose work is written, not done: (sweep, folder)."""
    words = ["model=position", "dataset=synthetic", f"dataset.root={tmp_path / 'data'}", "dataset.n_frames=24"]
    words += ["dataset.n_train=1", "dataset.n_test=1", "dataset.size=[48,64]", "tracking=none"]
    words += ["protocol=raw,gaussian", f"results={tmp_path}"]
    sweep = Sweep(words, expand(words))
    sweep.since = sweep.folder.begin()
    sweep.folder.write_work(sweep._work(sweep.items, jobs=1, retry=False))
    return sweep


def test_a_worker_runs_what_was_composed_before_and_composes_nothing(sweep_of_two, monkeypatch):
    monkeypatch.setattr("hydra.compose", None)
    work_in(str(sweep_of_two.folder.path), 0, 1)
    assert [folder.complete for folder in sweep_of_two.folders] == [True, True]
    said = [yaml.safe_load((folder.path / "config.yaml").read_text()) for folder in sweep_of_two.folders]
    assert [one["protocol"]["name"] for one in said] == ["raw", "gaussian"]
    assert [one["evaluation"]["pixels"] for one in said] == ["histogram"] * 2


def test_a_worker_composes_what_json_can_not_hold(sweep_of_two):
    values = {**sweep_of_two.items[0].point.values, "store": {"options": {1: "one"}}}
    item = replace(sweep_of_two.items[0], point=replace(sweep_of_two.items[0].point, values=values))
    assert Task.of(item).values is None
    sweep_of_two.folder.write_work(replace(sweep_of_two._work(sweep_of_two.items, 1, False), tasks=(Task.of(item),)))
    work_in(str(sweep_of_two.folder.path), 0, 1)
    assert [folder.complete for folder in sweep_of_two.folders] == [True, False]
