"""The folder of one run: its state, its files, and run.json, which is written last and lists the others.

runs/<dataset>/<model>/<key>/        the run; complete once run.json is there with the files that it lists
runs/<dataset>/<model>/<key>.lock    held by the process that makes it
runs/<dataset>/<model>/.<key>.new/   where a complete run is recomputed, until it takes the place of the old one
runs/<dataset>/<model>/.<key>.old/   the old one meanwhile, where the system can't exchange two folders in one step
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vadbench.errors import DataError
from vadbench.files import clear_leftovers, exchange, is_full, sync_folder, sync_tree, unwritable, write_atomically
from vadbench.runs.file_list import damage, listed
from vadbench.runs.provenance import environment, now
from vadbench.untrusted import read_json

SCHEMA_VERSION = 1

_KEPT = ("config.yaml", "environment.json", "log.txt", "overrides.txt", "state.json")
"""What stays of a run that did not finish."""


class RunFolder:
    """``results/runs/<dataset>/<model>/<fingerprint>/``; ``lock``: its lock file, by default the one beside it."""

    def __init__(self, path: Path, lock: Path | None = None) -> None:
        self.path = path
        self._lock = lock or path.with_suffix(".lock")
        self._checked: tuple[tuple[int, ...], str | None] | None = None

    @property
    def rerun(self) -> RunFolder:
        """Where the run is recomputed while it is complete; it has the same lock."""
        return RunFolder(self.path.with_name(f".{self.path.name}.new"), self._lock)

    @property
    def complete(self) -> bool:
        """True once run.json exists, which is written after everything else, unless the run is damaged."""
        return (self.path / "run.json").is_file() and self.damage is None

    @property
    def damage(self) -> str | None:
        """What is wrong with a run that has a run.json: it can't be read, or a file that it lists is not there with its
        size. None where nothing is wrong or there is no run.json."""
        try:
            found = (self.path / "run.json").stat()
        except OSError:
            return None
        mark = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._checked is None or self._checked[0] != mark:  # a sweep asks all its runs several times a second
            self._checked = mark, damage(self.path)
        return self._checked[1]

    @property
    def state(self) -> str:
        """complete, damaged, failed, interrupted, running, or absent.

        A run counts as running only while its lock is held: the operating system frees the lock of a dead process at
        once, whereas its number may live on as a zombie's or another program's.
        """
        state = self._said()
        if state != "running":
            return state
        try:
            with self.lock(timeout=0):
                state = self._said()  # it may have ended between the two looks
                return "interrupted" if state == "running" else state
        except Timeout:
            return "running"
        except OSError:  # in a folder that can't be written nobody can tell, so its mark is believed
            return state

    def lock(self, timeout: float = -1) -> FileLock:
        """Return what a run holds while it is at work, beside its folder; ``timeout`` in seconds, -1 waits for ever."""
        return FileLock(self._lock, timeout=timeout)

    def mark(self) -> dict[str, Any]:
        """Return what an unfinished run says of itself: state, host, pid, since, reason; empty if it says nothing."""
        try:
            return read_json(self.path / "state.json")
        except DataError:
            return {}

    def _said(self) -> str:
        if self.complete:
            return "complete"
        said = self.mark().get("state")
        known = ("running", "failed", "interrupted")
        return said if said in known else "damaged" if self.damage else "absent"

    def read(self) -> dict[str, Any]:
        """Return the record of a complete run; DataError if there is none that can be read."""
        if self.damage:
            raise DataError(f"{self.path}: this run is damaged: {self.damage}. Its command recomputes it.")
        if not self.complete:
            raise DataError(
                f"{self.path}: no complete run there (state: {self.state}). Give the folder or the id of a run."
            )
        return read_json(self.path / "run.json")

    def begin(self, config_yaml: str, overrides: list[str]) -> None:
        """Make the folder, mark it as running, write what is known before the work."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "run.json").unlink(missing_ok=True)
            clear_leftovers(self.path)
            self._mark("running")
            sync_folder(self.path)  # no power cut brings the old record back beside new files
            (self.path / "config.yaml").write_text(config_yaml, encoding="utf-8")
            (self.path / "overrides.txt").write_text("".join(f"{word}\n" for word in overrides), encoding="utf-8")
            (self.path / "environment.json").write_text(json.dumps(environment(), indent=1))
        except OSError as error:
            raise unwritable(f"the run folder {self.path}", error) from error

    def end(self, state: str, reason: str = "") -> None:
        """Mark a run that did not finish: failed or interrupted, with the reason; what it had made of its result
        goes."""
        if self.complete:  # it was stopped after its last file
            return
        for path in self.path.iterdir():
            if path.name not in _KEPT:
                _remove(path)
        self._mark(state, reason)

    def finish(self, record: dict[str, Any]) -> None:
        """Complete a run: its files are brought to the disk, then run.json, which lists them, then the folder."""
        sync_tree(self.path)
        self.write({"schema_version": SCHEMA_VERSION, "status": "complete", **record, "files": listed(self.path)})
        (self.path / "state.json").unlink(missing_ok=True)

    def write(self, record: dict[str, Any]) -> None:
        """Write run.json; of a complete run, that something was added to the record."""
        write_atomically(self.path / "run.json", json.dumps(plain(record), indent=1))
        for folder in (self.path, *self.path.absolute().parents[:4]):  # up to results, which may be new too
            sync_folder(folder)

    def replace(self) -> None:
        """Put the complete run in :attr:`rerun` in the place of this one, whose lock is held. Whoever reads finds the
        old or the new one, also after a kill."""
        new, old = self.rerun.path, self._old
        if exchange(new, self.path):
            old = new
        else:
            self.path.rename(old)
            new.rename(self.path)
        sync_folder(self.path.parent)
        _remove(old)

    def clear_rerun(self) -> None:
        """Remove what a rerun that was killed or failed left behind, and bring the old result back where it was
        moved aside; the lock is held."""
        if self._old.is_dir() and not self.path.is_dir():
            self._old.rename(self.path)
        for path in (self._old, self.rerun.path):
            _remove(path)

    @property
    def has_leftovers(self) -> bool:
        """Whether a rerun is at work or left something behind."""
        return self._old.exists() or self.rerun.path.exists()

    @property
    def _old(self) -> Path:
        return self.path.with_name(f".{self.path.name}.old")

    def _mark(self, state: str, reason: str = "") -> None:
        mark = {"state": state, "host": socket.gethostname(), "pid": os.getpid(), "since": now(), "reason": reason}
        path = self.path / "state.json"
        try:
            write_atomically(path, json.dumps(mark))
        except OSError as error:
            if not is_full(error):
                raise
            with path.open("r+", encoding="utf-8") as file:  # the block that the mark has is enough
                file.write(json.dumps(mark))
                file.truncate()


def holds_run(path: Path) -> bool:
    """Whether readers count a folder as that of a run: not the one where a rerun works, nor, unless the run was killed
    while its folder was moved aside, the old one."""
    if path.name.startswith("."):
        return path.name.endswith(".old") and not path.with_name(path.name[1:-4]).exists()
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def plain(value: Any) -> Any:
    """``value`` as strict JSON: NumPy numbers as numbers, an undefined number (NaN) or an infinite one as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("a.b", value) of every value in nested mappings; an empty mapping has none."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
