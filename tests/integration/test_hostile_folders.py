"""No folder of results makes a command crash, write elsewhere or run code; what is sound is shown all the same."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import hostile
from vadbench.cli.main import main
from vadbench.cli.sync import run_folders
from vadbench.config import compose as composing
from vadbench.errors import VadbenchError
from vadbench.sweep import points
from vadbench.tracking.run_entry import read_entry

SECONDS = 60
"""After which a command is taken to wait for ever, such as for a pipe."""


@dataclass(frozen=True)
class Place:
    """A results folder with two runs and the sweep over them, a sound copy of it, and a folder beside that is not ours.

    ``victim`` is the run whose folder is damaged, ``words`` make it, ``sweep`` makes both.
    """

    root: Path
    words: list[str]
    sweep: list[str]
    victim: Path
    other: Path
    sweep_folder: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def restore(self) -> None:
        """Make everything as it was."""
        for name in ("results", "outside"):
            shutil.rmtree(self.root / name)
            shutil.copytree(self.root / "sound" / name, self.root / name)
        (self.root / "page.html").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_ped2: Path) -> Place:
    root = tmp_path_factory.mktemp("hostile")
    data = ["dataset=ucsd_ped2", f"dataset.root={small_ped2}", "tracking=none", f"results={root / 'results'}"]
    sweep = ["-m", "model=frame_difference,position", *data]
    assert main(sweep) == 0
    (victim,), (other,) = (
        list((root / "results").glob(f"runs/*/{model}/*[0-9a-f]")) for model in ("frame_difference", "position")
    )
    scores = pd.read_parquet(victim / "scores.parquet")
    regions = scores[["video", "frame"]].assign(**{"class": "person", "detector_score": 0.5})
    for name in ("x1", "y1", "x2", "y2", "velocity", "pose", "deep", "total"):
        regions[name] = 1.0
    regions.to_parquet(victim / "regions.parquet", index=False)
    (sweep_folder,) = (root / "results" / "sweeps").iterdir()
    (root / "outside").mkdir()
    (root / "outside" / "secret.png").write_bytes(b"secret")
    for name in ("results", "outside"):
        shutil.copytree(root / name, root / "sound" / name)
    return Place(root, ["model=frame_difference", *data], sweep, victim, other, sweep_folder)


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composing takes most of the time and has nothing to do with folders."""
    compose = cache(lambda words: real(list(words)))
    real = composing.compose
    for module in (composing, points):
        monkeypatch.setattr(module, "compose", lambda words: compose(tuple(words)), raising=False)


@contextmanager
def not_for_ever() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def content(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below ``folder``, links as what they point to."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


class Commands:
    """Runs commands on a place and holds what must be true of each."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        self.place, self._capsys, self._caplog = place, capsys, caplog
        self.failed: list[str] = []

    def __call__(self, said: str, *words: str, named: Path | None = None) -> str:
        """Run a command; returns what it printed. Where it fails its message has the folder ``named``."""
        before = content(self.place.outside)
        self._caplog.clear()
        try:
            with not_for_ever():
                status = main(list(words))
        except Exception as error:
            raise AssertionError(f"{said}: {words[0]} raised {type(error).__name__}: {error}") from error
        out, err = self._capsys.readouterr()
        err += self._caplog.text
        assert status in (0, 1, 2), f"{said}: {words[0]} ended with {status}"
        if status:
            self.failed.append(words[0])
        if status == 2 and named is not None:
            assert named.name in err, f"{said}: {words[0]} does not say which folder: {err}"
        assert "Traceback" not in err, f"{said}: {words[0]}: {err}"
        assert not {"\x1b", "\x07", "\x9b"} & {*out}, f"{said}: {words[0]} prints what a terminal obeys"
        assert content(self.place.outside) == before, f"{said}: {words[0]} wrote elsewhere"
        assert not hostile.canary(self.place.outside).exists(), f"{said}: {words[0]} ran code"
        return out


@pytest.fixture
def commands(
    place: Place, composed_once: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Commands]:
    yield Commands(place, capsys, caplog)
    place.restore()


def try_all(run: Commands, said: str, turn: int) -> None:
    """Every command on a folder that was changed."""
    place = run.place
    victim, other, results = (str(path) for path in (place.victim, place.other, place.results))
    assert "position" in run(said, "table", results), f"{said}: table lost the other run"
    run(said, "table", results, "--format", ("csv", "latex")[turn % 2])
    run(said, "table", str(place.sweep_folder))
    run(said, "report", victim, "--out", str(place.root / "page.html"), named=place.victim)
    run(said, "report", place.victim.name[:6], "--results", results, "--out", str(place.root / "page.html"))
    if (place.root / "page.html").exists():
        assert "secret" not in (place.root / "page.html").read_text()
        assert "c2VjcmV0" not in (place.root / "page.html").read_text()  # in base 64
    run(said, "compare", victim, other, "--resamples", "20", named=place.victim)
    run(said, "explain", victim, "--video", "01", *(() if turn % 4 == 0 else ("--no-picture",)))
    run(said, "evaluate", victim, "--resamples", "20", named=place.victim)
    for folder in run_folders(place.results):
        entry = None
        try:
            with not_for_ever():
                entry = read_entry(folder)
        except VadbenchError as error:
            assert folder == place.victim and folder.name in str(error)
        for path in () if entry is None else entry.files:
            assert path.resolve().is_relative_to(place.results), f"{said}: {path} would be copied"
    run(said, "plan", *place.sweep)
    run(said, *place.words, named=place.victim)
    assert "position" in run(said, *place.sweep) or "sweep" in said
    if turn % 5 == 1:
        run(said, *place.words, "on_existing=rerun")


def fuzz(run: Commands, count: int, seed: int) -> Iterator[str]:
    """Change a folder, run every command, and yield what was done before everything is made as it was."""
    for turn in range(count):
        random = np.random.default_rng([seed, turn])
        folder = run.place.sweep_folder if turn % 7 == 6 else run.place.victim
        mutate = hostile.MUTATIONS[int(random.integers(len(hostile.MUTATIONS)))]
        said = (
            f"seed {seed}, turn {turn}: {'sweep ' if turn % 7 == 6 else ''}{mutate(folder, random, run.place.outside)}"
        )
        try_all(run, said, turn)
        yield said
        run.place.restore()


def test_every_command_works_on_sound_folders(commands: Commands) -> None:
    try_all(commands, "unchanged", 0)
    try_all(commands, "unchanged", 1)
    assert commands.failed == []


@pytest.mark.parametrize("name", ["per_video.parquet", "scores.parquet", "run.json", "log.txt"])
def test_a_folder_in_the_place_of_a_file_is_said_by_a_run_made_again(commands: Commands, name: str) -> None:
    (commands.place.victim / name).unlink()
    (commands.place.victim / name).mkdir()
    commands(name, *commands.place.words, "on_existing=rerun", named=commands.place.victim)
    assert (commands.place.victim / name).is_file() or commands.failed


def test_no_mutation_of_a_folder_makes_a_command_crash_write_elsewhere_or_run_code(commands: Commands) -> None:
    assert len(list(fuzz(commands, 6, seed=1))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_no_mutation_of_many(commands: Commands, seed: int) -> None:
    store = commands.place.root / "store"
    for turn, said in enumerate(fuzz(commands, 100, seed)):
        if turn % 10 == 0:  # each store is new: MLflow caches the entries of one
            out = commands(
                said, "sync", "--results", str(commands.place.results), "--uri", f"sqlite:///{store}{turn}.db"
            )
            assert "mirrored" in out, f"{said}: sync lost the other run"
            shutil.rmtree(commands.place.root / "artifacts")
            for path in commands.place.root.glob("store*"):
                path.unlink()
