"""``on_existing=rerun`` keeps the old result until the new one is whole, whenever it is killed and however it fails."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import vadbench
from vadbench import files
from vadbench.cli.main import main
from vadbench.config.compose import compose
from vadbench.experiment import run as run_module
from vadbench.report.tables import find_runs
from vadbench.runs.file_list import damage
from vadbench.runs.find_run import run_folders
from vadbench.runs.run_folder import RunFolder
from vadbench.runs.states import clear_rerun

TINY = ["model=random", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24"]
TINY += ["dataset.size=[48,64]", "tracking=none", "model.visualizer=false", "model.evaluator=false"]


def words(place: Path) -> list[str]:
    return [*TINY, f"dataset.root={place}", f"results={place / 'results'}"]


def names_beside(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.path.parent.iterdir())


def in_a_child(work: Callable[[], object]) -> int:
    """Do ``work`` in a fork; returns its status, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def file_events(results: Path, event: Callable[[int], None]) -> None:
    """Call ``event`` with 1, 2, ... before each change that this process makes to files of runs."""
    count = 0
    changes = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")

    def hook(name: str, given: tuple[Any, ...]) -> None:
        nonlocal count
        writes = name == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        # os.fsync of a folder opens it for reading: the moments around an exchange, which is no event of its own.
        looks = name == "open" and isinstance(given[2], int) and given[2] & os.O_DIRECTORY
        if (writes or looks or name in changes) and str(results / "runs") in str(given[0]):
            count += 1
            event(count)

    sys.addaudithook(hook)


def kill_at(number: int, results: Path, given: list[str]) -> int:
    def work() -> None:
        file_events(results, lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == number else None)
        main(given)

    return in_a_child(work)


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_killed_before_changes_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, step: int
) -> None:
    if not can_exchange:
        monkeypatch.setattr("vadbench.runs.run_folder.exchange", lambda first, second: False)
    results = tmp_path / "results"
    folder = run_module.run(compose(words(tmp_path))).folder
    (folder.path / "report.html").write_text("of the old result")
    before = (folder.path / "scores.parquet").read_bytes()
    made = {(folder.path / "run.json").stat().st_ino}
    number, statuses = 0, {-signal.SIGKILL}
    while statuses == {-signal.SIGKILL}:
        number += step
        statuses = {kill_at(number, results, [*words(tmp_path), "on_existing=rerun"])}
        (found,) = run_folders(results)
        assert find_runs(results) == [found]
        assert RunFolder(found).complete and damage(found, digests=True) is None, f"killed at {number}"
        assert (found / "scores.parquet").read_bytes() == before
        clear_rerun(folder)
        assert names_beside(folder) == [folder.path.name, f"{folder.path.name}.lock"]
        assert damage(folder.path, digests=True) is None
        made.add((folder.path / "run.json").stat().st_ino)
    assert statuses == {0} and number > 20 and len(made) > 1
    assert not (folder.path / "report.html").exists()  # it was of another record


def test_a_failed_rerun_leaves_the_old_result_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run_module.run(compose(words(tmp_path))).folder
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "coverage", lambda scores: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_module.run(compose([*words(tmp_path), "on_existing=rerun"]))
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    assert RunFolder(folder.path).state == "complete" and folder.rerun.state == "failed"
    assert f"the old result stays in {folder.path}, the log is in {folder.rerun.path}" in caplog.text
    assert "ZeroDivisionError" in (folder.rerun.path / "log.txt").read_text()
    assert not list(folder.rerun.path.glob("*.parquet"))  # nothing half-made lies about
    assert run_module.run(compose(words(tmp_path))).existed
    assert names_beside(folder) == [folder.path.name, f"{folder.path.name}.lock"]


def test_a_rerun_that_ends_leaves_one_whole_run(tmp_path: Path) -> None:
    first = run_module.run(compose(words(tmp_path)))
    (first.folder.path / "run.json").write_text(json.dumps(first.record | {"created": "2020-01-01T00:00:00+00:00"}))
    again = run_module.run(compose([*words(tmp_path), "on_existing=rerun"]))
    assert again.folder.path == first.folder.path and again.record["created"] > "2020-01-02"
    assert again.record["files"].keys() == first.record["files"].keys()
    assert again.record["fingerprint"] == first.record["fingerprint"] == first.folder.path.name
    assert names_beside(first.folder) == [first.folder.path.name, f"{first.folder.path.name}.lock"]


def test_readers_find_a_whole_run_at_every_moment_of_a_rerun(tmp_path: Path) -> None:
    """Looked at, from the process itself, before each change of a file."""
    results = tmp_path / "results"
    folder = run_module.run(compose(words(tmp_path))).folder
    faults = []

    def look(number: int) -> None:
        if looking:
            return
        looking.append(number)
        if not RunFolder(folder.path).complete or damage(folder.path, digests=True):
            faults.append(number)
        looking.clear()

    looking: list[int] = []

    def work() -> None:
        file_events(results, look)
        main([*words(tmp_path), "on_existing=rerun"])
        if faults:
            os._exit(3)

    assert in_a_child(work) == 0


def test_a_sweep_that_is_run_again_and_killed_keeps_its_old_results(tmp_path: Path) -> None:
    results = tmp_path / "results"
    sweep = ["-m", *words(tmp_path), "seed=0,1,2", "launcher.jobs=1"]
    assert main(sweep) == 0
    before = {path.name: (path / "scores.parquet").read_bytes() for path in run_folders(results)}
    for number in (20, 60):
        assert kill_at(number, results, [*sweep, "on_existing=rerun"]) == -signal.SIGKILL
        assert all(damage(path, digests=True) is None for path in run_folders(results))
        assert {path.name: (path / "scores.parquet").read_bytes() for path in run_folders(results)} == before
    assert main(sweep) == 0
    assert not list(results.glob("runs/*/*/.*"))


def test_a_sweep_says_which_rerun_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    results = tmp_path / "results"
    sweep = ["-m", *words(tmp_path), "seed=0,1", "launcher.jobs=1"]
    assert main(sweep) == 0
    capsys.readouterr()
    real = run_module.describe_dataset
    calls: list[int] = []

    def fails_once(*given: Any) -> Any:
        calls.append(1)
        return 1 / 0 if len(calls) == 1 else real(*given)

    monkeypatch.setattr(run_module, "describe_dataset", fails_once)
    assert main([*sweep, "on_existing=rerun"]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 points are not complete" in said
    assert "ZeroDivisionError: division by zero (the old result stays)" in said and ".new/log.txt" in said
    assert len(calls) == 2 and len(run_folders(results)) == 2
    assert all(damage(path, digests=True) is None for path in run_folders(results))
    assert main(sweep) == 0 and len(calls) == 2  # what is there counts


@pytest.mark.slow
def test_two_workers_recompute_each_point_once(tmp_path: Path) -> None:
    sweep = ["-m", *words(tmp_path), "seed=0,1,2,3"]
    assert main([*sweep, "launcher.jobs=1"]) == 0
    found = vadbench(*sweep, "launcher.jobs=2", "on_existing=rerun")
    assert found.returncode == 0, found.stderr
    begun = [
        line
        for path in (tmp_path / "results").glob("sweeps/*/workers/*.txt")
        for line in path.read_text().splitlines()
        if "done: " in line
    ]
    assert len(begun) == 4, begun
    assert not list((tmp_path / "results").glob("runs/*/*/.*"))


def test_names_are_exchanged_in_one_step_or_not_at_all(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert files.exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "two").exists() and (tmp_path / "two" / "one").exists()
    with pytest.raises(FileNotFoundError):
        files.exchange(tmp_path / "one", tmp_path / "none")
