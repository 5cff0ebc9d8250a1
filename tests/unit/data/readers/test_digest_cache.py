"""Cached digests: made once for the same files, anew after any change, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.data.clips import moving_clip, write_video
from vadbench.data.readers import digest_cache
from vadbench.data.readers.digest_cache import folder, remembered
from vadbench.data.readers.masks import StackMasks
from vadbench.data.readers.video_file import VideoFile
from vadbench.files import sha256


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "_SMALLEST", 10)
    monkeypatch.setattr(digest_cache, "_SETTLED_SECONDS", -1.0)


def maker(path: Path) -> tuple[Callable[[], str], list[int]]:
    """A digest function that counts its calls."""
    calls: list[int] = []

    def make() -> str:
        calls.append(1)
        return sha256([path.read_bytes()])

    return make, calls


def test_the_same_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    make, calls = maker(path)
    first = remembered([path], make)
    assert remembered([path], make) == first == sha256([b"x" * 100]) and len(calls) == 1


@pytest.mark.parametrize("change", ["content", "same size and time", "replaced", "other name"])
def test_any_change_makes_it_anew(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    before = path.stat()
    make, calls = maker(path)
    remembered([path], make)
    if change == "content":
        path.write_bytes(b"y" * 101)
    elif change == "same size and time":
        path.write_bytes(b"y" * 100)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "replaced":
        (tmp_path / "b.bin").write_bytes(b"y" * 100)
        (tmp_path / "b.bin").replace(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        path = path.rename(tmp_path / "c.bin")
        make, calls = maker(path)
        calls.append(1)
    assert remembered([path], make) == sha256([path.read_bytes()])
    assert len(calls) == 2


def test_small_and_fresh_files_are_always_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    make, calls = maker(path)
    monkeypatch.setattr(digest_cache, "_SMALLEST", 101)
    remembered([path], make)
    monkeypatch.setattr(digest_cache, "_SMALLEST", 10)
    monkeypatch.setattr(digest_cache, "_SETTLED_SECONDS", 60.0)
    remembered([path], make)
    assert len(calls) == 2 and not folder().exists()


def test_a_damaged_entry_or_a_cache_that_cant_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100)
    make, calls = maker(path)
    good = remembered([path], make)
    entry = next(folder().iterdir())
    entry.write_text("half of a dig")
    assert remembered([path], make) == good and entry.read_text() == good
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert remembered([path], make) == good and len(calls) == 3


def test_sources_and_masks_use_it(tmp_path: Path) -> None:
    import numpy as np

    path = write_video(tmp_path / "a.avi", moving_clip(5))
    digest = VideoFile(path).digest()
    np.save(tmp_path / "m.npy", np.ones((4, 5, 6), np.uint8))
    masks = StackMasks(tmp_path / "m.npy").digest()
    assert len(list(folder().iterdir())) == 2
    assert VideoFile(path).digest() == digest == sha256([path.read_bytes()])
    assert StackMasks(tmp_path / "m.npy").digest() == masks == StackMasks(np.ones((4, 5, 6), np.uint8)).digest()
