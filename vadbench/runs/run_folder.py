"""The folder of one run: its state, its files, and run.json, which is written last and so means "complete"."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vadbench.errors import DataError
from vadbench.files import clear_leftovers, unwritable, write_atomically
from vadbench.runs.provenance import environment, now
from vadbench.untrusted import read_json

SCHEMA_VERSION = 1


class RunFolder:
    """``results/runs/<dataset>/<model>/<fingerprint>/``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def complete(self) -> bool:
        """True once run.json exists, which is written after everything else."""
        return (self.path / "run.json").is_file()

    @property
    def state(self) -> str:
        """complete, failed, interrupted, running, or absent.

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
        return FileLock(self.path.with_suffix(".lock"), timeout=timeout)

    def mark(self) -> dict[str, Any]:
        """Return what an unfinished run says of itself: state, host, pid, since, reason; empty if it says nothing."""
        try:
            return read_json(self.path / "state.json")
        except DataError:
            return {}

    def _said(self) -> str:
        said = self.mark().get("state")
        return "complete" if self.complete else said if said in ("running", "failed", "interrupted") else "absent"

    def read(self) -> dict[str, Any]:
        """Return the record of a complete run; DataError if there is none that can be read."""
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
            write_atomically(self.path / "config.yaml", config_yaml)
            write_atomically(self.path / "overrides.txt", "".join(f"{word}\n" for word in overrides))
            write_atomically(self.path / "environment.json", json.dumps(environment(), indent=1))
        except OSError as error:
            raise unwritable(f"the run folder {self.path}", error) from error

    def end(self, state: str, reason: str = "") -> None:
        """Mark a run that did not finish: failed or interrupted, with the reason."""
        self._mark(state, reason)

    def finish(self, record: dict[str, Any]) -> None:
        """Write run.json, the last file of a complete run."""
        record = {"schema_version": SCHEMA_VERSION, "status": "complete", **record}
        write_atomically(self.path / "run.json", json.dumps(plain(record), indent=1))
        (self.path / "state.json").unlink(missing_ok=True)

    def _mark(self, state: str, reason: str = "") -> None:
        mark = {"state": state, "host": socket.gethostname(), "pid": os.getpid(), "since": now(), "reason": reason}
        write_atomically(self.path / "state.json", json.dumps(mark))


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
