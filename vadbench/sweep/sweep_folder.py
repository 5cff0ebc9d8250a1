"""The folder of a sweep: its record, what its workers are told, what they say. The run folders stay the truth.

results/sweeps/<id>/sweep.json       the command and its points with their states; unchanged if nothing changed
results/sweeps/<id>/work.json        what the workers of this start are to do
results/sweeps/<id>/began.txt        when the last start that had something to do began
results/sweeps/<id>/log.txt          one line for each start and end
results/sweeps/<id>/workers/*.txt    what each worker printed
results/sweeps/<id>/faults/*.json    points that failed before they had a run folder
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vadbench.config.schema import no_settings
from vadbench.errors import DataError, VadbenchError
from vadbench.files import clear_leftovers, write_atomically
from vadbench.runs.provenance import now
from vadbench.runs.sweep_record import read_sweep
from vadbench.store.key import digest
from vadbench.sweep.inventory import Item
from vadbench.untrusted import component, read_json

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Task:
    """One point as a worker is told of it.

    Attributes
    ----------
    folder: its run folder.
    values: what ``words`` compose to, so that no worker composes them again; None if JSON can't hold that.
    """

    words: tuple[str, ...]
    label: str
    folder: str
    values: dict[str, Any] | None = None

    @classmethod
    def of(cls, item: Item) -> Task:
        """Return the task to run a point that can be run."""
        assert item.folder is not None
        words, label, values = item.point.words, item.point.label, item.point.values
        same = json.loads(json.dumps(values, default=str)) == values
        return cls(words, label, str(item.folder.path), values if same else None)


@dataclass(frozen=True)
class Work:
    """What the workers of one start are to do together.

    Attributes
    ----------
    tasks: points to run.
    since: when the start began (seconds since the epoch); with ``rerun`` an older record does not count.
    retry: run points that a dead worker of this start left behind.
    threads: numeric threads of a worker; 0 leaves them alone.
    wants_gpu: workers lease a GPU where there is one.
    jobs_per_gpu: processes that may share a GPU.
    directory: where relative paths in the overrides begin.
    plugins: files of plug-ins, absolute; a worker on another machine has no environment to inherit.
    """

    tasks: tuple[Task, ...]
    since: float
    rerun: bool
    retry: bool
    threads: int
    wants_gpu: bool
    jobs_per_gpu: int
    directory: str
    plugins: tuple[str, ...] = ()


class SweepFolder:
    """``results/sweeps/<id>``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, results: Path, items: Sequence[Item]) -> SweepFolder:
        """Return the folder of the sweep over ``items``: the same points, the same folder, whoever launches them."""
        config, how = items[0].point.config, no_settings()
        words = [sorted(w for w in item.point.words if not w.lstrip("+~").startswith(how)) for item in items]
        name = f"{config.dataset.name}-{config.model.name}-{digest(sorted(words))[:8]}"
        return cls(results / "sweeps" / component(name))

    @property
    def id(self) -> str:
        """The name of the sweep."""
        return self.path.name

    @property
    def workers(self) -> Path:
        """Where workers print to."""
        return self.path / "workers"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only start of this sweep; VadbenchError if there is one already."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "sweep.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise VadbenchError(
                f"another process runs this sweep: see {self.path / 'log.txt'}. Wait for it, or end it first."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def begin(self) -> float:
        """Make the folders and forget faults of an earlier start; returns the time by the clock of the file system."""
        self.workers.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.path)
        for path in (self.path / "faults").glob("*.json"):
            path.unlink()
        write_atomically(self.path / "began.txt", now())
        return (self.path / "began.txt").stat().st_mtime

    def write_work(self, work: Work) -> None:
        """Return what workers are to do."""
        write_atomically(self.path / "work.json", json.dumps(asdict(work)))

    def read_work(self) -> Work:
        """Return what workers are to do."""
        given = json.loads((self.path / "work.json").read_text())
        tasks = tuple(Task(**{**task, "words": tuple(task["words"])}) for task in given.pop("tasks"))
        return Work(tasks=tasks, **{**given, "plugins": tuple(given.get("plugins", ()))})

    def write_fault(self, task: Task, reason: str) -> None:
        """Say why a point failed outside its run folder."""
        folder = self.path / "faults"
        name = digest(list(task.words))[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{name}.json", json.dumps({"label": task.label, "reason": reason}))
        except OSError as error:  # such as the full disk that is the reason
            log.error("%s: %s (%s)", task.label, reason, error)

    def fault(self, words: Sequence[str]) -> str | None:
        """Return why the point ``words`` failed outside its run folder; None if it did not."""
        try:
            said = read_json(self.path / "faults" / f"{digest(list(words))[:16]}.json")
        except DataError:
            return None
        return str(said["reason"]) if "reason" in said else None

    def read(self) -> dict[str, Any]:
        """Return the record, empty if there is none."""
        try:
            return read_sweep(self.path)
        except DataError as error:
            if (self.path / "sweep.json").exists():
                log.warning("The record of this sweep is made anew: %s", error)
            return {}

    def write(self, command: Sequence[str], rows: Sequence[dict[str, Any]], mirrored: str | None) -> None:
        """Write the record, unless it says so already."""
        old = self.read()
        record = {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "words": list(command),
            "created": old.get("created", now()),
            "mirrored": mirrored,
            "points": list(rows),
        }
        path, text = self.path / "sweep.json", json.dumps(record, indent=1)
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)

    def note(self, text: str) -> None:
        """Add a line to the log."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{now()} {text}\n")
