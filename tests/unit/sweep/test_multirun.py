"""How often a sweep asks for what it knows already: counted, since times depend on the machine."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from vadbench.config import composed_grid
from vadbench.data import registry as data_registry
from vadbench.runs.run_folder import RunFolder
from vadbench.sweep import inventory, multirun
from vadbench.sweep.multirun import Sweep
from vadbench.sweep.points import expand


@pytest.fixture
def words(tmp_path) -> list[str]:
    """A sweep over what takes no time, without its values."""
    data = [f"dataset.root={tmp_path / 'data'}", "dataset.n_frames=24", "dataset.n_train=1", "dataset.n_test=1"]
    return ["model=random", "dataset=synthetic", *data, "dataset.size=[48,64]", "tracking=none", f"results={tmp_path}"]


def test_a_start_composes_once_and_loads_the_dataset_once(words, monkeypatch):
    asked: Counter[str] = Counter()

    def counted(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: asked.update([name]) or real(*given))

    counted(composed_grid, "composition")
    counted(inventory, "load_dataset")
    Sweep(words, expand([*words, "seed=range(12)"]))
    assert asked == {"composition": 1, "load_dataset": 1}
    assert inventory.load_dataset is not data_registry.load_dataset


class Opened:
    """Counts the files in a folder that this process opens while it is told to."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.names: Counter[str] = Counter()
        sys.addaudithook(self._note)  # which can't be taken back

    def _note(self, event: str, given: tuple) -> None:
        if event == "open" and self.folder is not None and str(given[0]).startswith(str(self.folder)):
            self.names[Path(str(given[0])).name] += 1

    def during(self, folder: Path, work) -> Counter[str]:
        """Name of a file to how often it was opened."""
        self.folder, self.names = folder, Counter()
        try:
            work()
        finally:
            self.folder = None
        return self.names


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


def test_a_finished_point_costs_few_files_when_the_sweep_is_given_again(words, opened, tmp_path, capsys):
    """What 4 points more open: each its record and its configuration, for its state and for the table."""
    found = []
    for count in (2, 6):
        sweep = [*words, f"seed=range({count})", "model.visualizer=false"]
        assert multirun.run(sweep) == 0
        found.append(opened.during(tmp_path / "runs", lambda sweep=sweep: multirun.run(sweep)))
    more = found[1] - found[0]
    assert set(more) == {"run.json", "config.yaml"}
    assert sum(more.values()) <= 4 * 8


class _Worker:
    """A worker that is at work for a while."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def fault(self) -> str | None:
        self.looks -= 1
        return None if self.looks > 0 else ""

    def stop(self) -> None:
        pass


class _Mirror:
    def __init__(self) -> None:
        self.put_once: list[int] = []

    def put(self, folders) -> None:
        self.put_once.append(len(folders))


def test_points_that_are_done_are_not_asked_again(words, monkeypatch, tmp_path):
    sweep = Sweep(words, expand([*words, "seed=range(5)"]))
    done, asked = {sweep.folders[0].path}, Counter()
    last = sweep.folders[-1].path

    def complete(folder: RunFolder) -> bool:
        asked[folder.path] += 1
        return folder.path in done or (folder.path == last and asked[last] > 2)

    monkeypatch.setattr(RunFolder, "complete", property(complete))
    monkeypatch.setattr(multirun, "_POLL_S", 0)
    mirror = _Mirror()
    sweep._watch([_Worker(10)], mirror)
    assert asked[sweep.folders[0].path] == 1 and asked[last] == 3 and asked[sweep.folders[1].path] == 11
    assert mirror.put_once == [2]
