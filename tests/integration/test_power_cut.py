"""The power goes off right after a run has said that it is complete: it is still complete.

Once for real, on an ext4 file system of its own in a file, which is shut down without a flush (needs root and loop
devices, as in a container with the rights to mount). And once anywhere, on what a process with recorded ``fsync`` calls
leaves if only the bytes that were synced had reached the disk: every name survives, with the bytes of its last fsync.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vadbench.cli.main import main
from vadbench.runs.run_folder import RunFolder

_EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """A small ext4 file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "disk.img", folder / "disk"
        self.place.mkdir()
        self.image.touch()
        os.truncate(self.image, 64 << 20)
        self._call("mkfs.ext4", "-q", str(self.image))
        self.mount()

    def mount(self) -> None:
        # No commit by the clock while the test runs: what is on the disk was synced.
        self._call("mount", "-o", "loop,commit=600", str(self.image), str(self.place))

    def unmount(self) -> None:
        self._call("umount", str(self.place))

    def lose_power(self) -> None:
        """Drop what is not on the disk, and start again from what is."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.unmount()
        self.mount()

    @staticmethod
    def _call(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "mount", "umount"))):
        pytest.skip("a file system of its own needs root and mkfs.ext4")
    try:
        disk = Disk(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield disk
    disk.unmount()


def words(tmp_path: Path, results: Path, *more: str) -> list[str]:
    """A tiny run; its data are elsewhere and lose nothing."""
    data = ["dataset=synthetic", "dataset.n_train=1", "dataset.n_test=2", "dataset.n_frames=24"]
    data += ["dataset.size=[48,64]", f"dataset.root={tmp_path / 'data'}", f"store.path={tmp_path / 'cache'}"]
    return ["model=random", "runtime.threads=1", *data, f"results={results}", *more]


def only_run(results: Path) -> RunFolder:
    (path,) = results.glob("runs/*/*/[!.]*[!k]")
    return RunFolder(path)


def test_a_complete_run_outlives_a_power_cut(tmp_path: Path, disk: Disk) -> None:
    results = disk.place / "results"
    given = words(tmp_path, results, "tracking=none")
    assert main(given) == 0
    scores = (only_run(results).path / "scores.parquet").read_bytes()
    disk.lose_power()
    assert main(["verify", str(results)]) == 0
    assert (only_run(results).path / "scores.parquet").read_bytes() == scores
    assert all(path.stat().st_size for path in only_run(results).path.rglob("*.png"))

    assert main([*given, "on_existing=rerun"]) == 0
    disk.lose_power()
    assert main(["verify", str(results)]) == 0
    assert (only_run(results).path / "scores.parquet").read_bytes() == scores


def test_only_synced_bytes_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be mounted: bytes that no fsync asked for are taken away."""
    synced: dict[tuple[int, int], bytes] = {}
    names: set[str] = set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        found = os.fstat(descriptor)
        if path.is_dir():
            names.update(str(child) for child in path.iterdir())
        else:
            synced[found.st_dev, found.st_ino] = path.read_bytes()

    monkeypatch.setattr(os, "fsync", recorded)
    results = tmp_path / "results"
    assert main(words(tmp_path, results, "tracking=none")) == 0
    run = only_run(results)
    for path in run.path.rglob("*"):
        if path.is_file():
            found = path.stat()
            path.write_bytes(synced.get((found.st_dev, found.st_ino), b""))
    assert main(["verify", str(results)]) == 0
    for path in (run.path, *(p for p in run.path.rglob("*")), *run.path.parents[:3]):
        assert str(path) in names, f"the name of {path} would be lost"
