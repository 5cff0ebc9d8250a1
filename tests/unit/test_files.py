"""Files and folders that the operating system refuses: said in one line, before any work where that can be known."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.unit.test_architecture import MODULES
from vadbench.cli.main import main
from vadbench.files import (
    HOST,
    cache_folder,
    clear_leftovers,
    digest_of,
    drop_pages,
    explain,
    fetching,
    is_full,
    left_behind,
    remembered,
    replacing,
    write_atomically,
)
from vadbench.store import arrays

SMALL = ["dataset=synthetic", "dataset.n_test=1", "dataset.n_train=1", "dataset.n_frames=24", "tracking=none"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*SMALL, "model=random", f"dataset.root={tmp_path_factory.mktemp('data')}"]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Writing beyond ``n_bytes`` of a file fails inside, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of stderr, which must be the only one but for what is logged."""
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("INFO: ")]
    assert len(lines) == 1 and lines[0].startswith("vadbench: "), lines
    return lines[0]


@pytest.mark.parametrize("mode", [[], ["-m"]])
@pytest.mark.parametrize("place", ["/proc/none", "{file}"])
def test_results_that_cannot_be_written_are_answered_before_any_work(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str], mode: list[str], place: str
) -> None:
    (tmp_path / "file").write_text("")
    place = place.format(file=tmp_path / "file")
    assert main([*mode, *words, f"results={place}"]) == 2
    said = one_line(capsys)
    assert f"{place}/" in said and "can't be written" in said and "results=FOLDER" in said


def test_a_disk_that_fills_up_in_a_run_is_named_and_the_run_says_that_it_failed(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"

    def full(*_: object, **__: object) -> None:
        with largest_file(100):
            np.save(tmp_path / "big.npy", np.zeros(1000))  # the way in which maps are kept; NumPy's error has no number

    monkeypatch.setattr("vadbench.experiment.run.write_scores", full)
    assert main([*words, f"results={results}"]) == 2
    said = one_line(capsys)
    assert "the run folder" in said and "no room is left on the disk" in said and "results=FOLDER" in said
    folder = next(results.glob("runs/*/*/*/"))
    assert '"failed"' in (folder / "state.json").read_text() and "Traceback" in (folder / "log.txt").read_text()


def test_a_log_that_cannot_be_written_prints_no_traceback(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        with largest_file(100):
            (tmp_path / "big").write_bytes(bytes(200))

    monkeypatch.setattr("vadbench.experiment.run._work", full)
    monkeypatch.setattr("vadbench.experiment.run_log._RunLog.emit", _emit_to_a_full_disk)
    assert main([*words, f"results={tmp_path / 'results'}"]) == 2
    assert "no room is left on the disk" in one_line(capsys)


def _emit_to_a_full_disk(handler: object, record: object) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError:
        handler.handleError(record)  # type: ignore[attr-defined]


def test_other_files_that_cannot_be_written_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("video,frame,score,label\na,0,0.1,0\na,1,0.2,1\n")
    assert main(["evaluate", str(table), "--json", "/proc/none/out.json"]) == 2
    assert "/proc/none" in one_line(capsys)


def test_an_error_of_no_file_stays_an_error() -> None:
    assert explain(OSError("anything")) is None and not is_full(OSError("anything"))
    assert explain(OSError(errno.ENOSPC, "No space left on device")) is not None
    assert explain(PermissionError(errno.EACCES, "Permission denied", "/a/b")) == (
        "/a/b: Permission denied. Make it accessible, or choose another place."
    )


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half\ud800")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", []
    synced = os.fsync

    def fsync(number: int) -> None:
        synced(number)
        seen.append((os.fstat(number).st_size, path.read_text()))

    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, "whole")
    assert seen == [(5, "old")] and path.read_text() == "whole"


def test_a_written_file_has_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "whole", "")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_writer_left_is_known_by_its_name_and_cleared(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from vadbench.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as file:\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    for name in ("ab.json", "cd.json"):
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path / name)]).returncode == -signal.SIGKILL
    first, second = sorted(tmp_path.iterdir())
    assert left_behind(first) and left_behind(second)
    with replacing(tmp_path / "mine"):
        mine = next(path for path in tmp_path.iterdir() if ".mine." in path.name)
        assert not left_behind(mine) and not left_behind(mine.with_name(mine.name.replace(HOST, "another-host")))
    clear_leftovers(tmp_path, "ab.")
    assert sorted(tmp_path.iterdir()) == [second, tmp_path / "mine"]
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10_000)
    assert digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_cache_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache"


def test_a_file_is_fetched_whole_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    with fetching((tmp_path / "file").as_uri()) as incoming:
        assert (incoming.start, incoming.total) == (0, 3_000_000) and b"".join(incoming.blocks) == b"x" * 3_000_000


@pytest.mark.parametrize("what", ["urlopen(", "os.fsync(", "XDG_CACHE", "os.replace(", "read_bytes()).hexdigest("])
def test_files_are_written_fetched_and_digested_in_one_module(what: str) -> None:
    assert [path.name for path in MODULES if what in path.read_text()] in (["files.py"], [])


class _Made:
    """Counts how often it was made."""

    def __init__(self, value: object) -> None:
        self.value, self.times = value, 0

    def __call__(self) -> object:
        self.times += 1
        return self.value


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vadbench" / "layers"


def test_what_was_made_is_remembered_by_its_key(cache: Path) -> None:
    made = _Made({"a": [1, None, "x"], "b": 0.1})
    for _ in range(3):
        assert remembered("layers", {"clip": [4, 8, 8]}, made) == made.value
    assert made.times == 1
    assert remembered("layers", {"clip": [4, 8, 9]}, made) == made.value
    assert remembered("other", {"clip": [4, 8, 8]}, made) == made.value
    assert made.times == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-3],
        lambda text: text.replace("1", "2"),
        lambda text: "\x00" * len(text),
        lambda text: text + "]",
        lambda text: text.partition("\n")[2],
    ],
)
def test_damage_is_noticed_and_repaired(cache: Path, damage) -> None:
    made = _Made([1, 10, 100])
    remembered("layers", "key", made)
    (path,) = cache.iterdir()
    path.write_text(damage(path.read_text()))
    assert remembered("layers", "key", made) == made.value
    assert made.times == 2
    assert remembered("layers", "key", made) == made.value
    assert made.times == 2


def test_what_another_key_gave_is_not_taken_for_this_one(cache: Path) -> None:
    remembered("layers", "key", lambda: 1)
    (first,) = cache.iterdir()
    remembered("layers", "other", lambda: 2)
    (second,) = set(cache.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert remembered("layers", "other", lambda: 2) == 2


def test_without_a_cache_it_is_made_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made = _Made(1)
    assert [remembered("layers", "key", made) for _ in range(2)] == [1, 1]
    assert made.times == 2


def _mapped_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0]) / 1e3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_dropped_pages_no_longer_count_and_read_the_same(tmp_path):
    values = np.random.default_rng(0).normal(size=(4000, 1000))  # 32 MB
    with (tmp_path / "a").open("wb") as file:
        arrays.write(file, {"x": values})
    found = arrays.read(tmp_path / "a")["x"]
    total = found.sum()
    read = _mapped_mb()
    drop_pages(found[3:].reshape(-1))  # a view of a view
    assert read - _mapped_mb() > 25
    assert found.sum() == total
    drop_pages(values)  # nothing is mapped: nothing is done
    np.testing.assert_array_equal(found, values)
