"""What a run leaves on disk: its key, its state, its files; the folder is the truth and run.json is written last."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from vadbench.errors import StoreError

SCHEMA_VERSION = 1

# Keys that can't change a result: where data, caches and results lie, what runs it, what is drawn and where it is
# mirrored. `backbone` is left out because the extractor's spec says the same and more (the digest of the weights).
_NOT_IN_KEY = {
    "backbone",
    "dataset.root",
    "dataset.masks_root",
    "launcher",
    "model.evaluator",
    "model.heatmap_frames",
    "model.visualizer",
    "on_existing",
    "results",
    "runtime",
    "store.max_gb",
    "store.path",
    "sweep",
    "tracking",
}
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "av", "opencv-python-headless")


def fingerprint(config: Mapping[str, Any], specs: Mapping[str, Any], dataset_digest: str, label_digest: str) -> str:
    """The key of a run: 16 hex digits over exactly what can change its result.

    Parameters
    ----------
    config: the whole configuration as a plain mapping. specs: the extractor's outputs.
    """
    key = {
        "schema": SCHEMA_VERSION,
        "config": _trimmed(config),
        "features": specs,
        "dataset": dataset_digest,
        "labels": label_digest,
    }
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _trimmed(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        name: _trimmed(value, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        for name, value in values.items()
        if f"{prefix}{name}" not in _NOT_IN_KEY
    }


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
        """complete, failed, interrupted, running, or absent."""
        if self.complete:
            return "complete"
        try:
            state = json.loads((self.path / "state.json").read_text())
        except (OSError, ValueError):
            return "absent"
        if state["state"] == "running" and not _alive(state):
            return "interrupted"
        return str(state["state"])

    def read(self) -> dict[str, Any]:
        """The record of a complete run."""
        record = json.loads((self.path / "run.json").read_text())
        assert isinstance(record, dict)
        return record

    def begin(self, config_yaml: str, overrides: list[str]) -> None:
        """Make the folder, mark it as running, write what is known before the work."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "run.json").unlink(missing_ok=True)
            self._mark("running")
            write_atomically(self.path / "config.yaml", config_yaml)
            write_atomically(self.path / "overrides.txt", "".join(f"{word}\n" for word in overrides))
            write_atomically(self.path / "environment.json", json.dumps(environment(), indent=1))
        except OSError as error:
            raise StoreError(
                f"the run folder {self.path} can't be written ({error.strerror or error}). Choose another place with "
                "results=FOLDER, or make room; finished runs and cached features are kept."
            ) from error

    def end(self, state: str, reason: str = "") -> None:
        """Mark a run that did not finish: failed or interrupted, with the reason."""
        self._mark(state, reason)

    def finish(self, record: dict[str, Any]) -> None:
        """Write run.json, the last file of a complete run."""
        record = {"schema_version": SCHEMA_VERSION, "status": "complete", **record}
        write_atomically(self.path / "run.json", json.dumps(record, indent=1, default=_plain))
        (self.path / "state.json").unlink(missing_ok=True)

    def _mark(self, state: str, reason: str = "") -> None:
        mark = {"state": state, "host": socket.gethostname(), "pid": os.getpid(), "since": now(), "reason": reason}
        write_atomically(self.path / "state.json", json.dumps(mark))


def write_atomically(path: Path, text: str) -> None:
    """Write to a name of our own beside ``path``, then rename: a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _alive(state: Mapping[str, Any]) -> bool:
    """Whether the process that wrote ``state`` still runs; on another host nobody can tell, so it counts as alive."""
    if state["host"] != socket.gethostname():
        return True
    try:
        os.kill(int(state["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def environment() -> dict[str, Any]:
    """The machine, the packages and the source that ran."""
    versions = {}
    for package in ("vadbench", *_PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "packages": versions,
        **source_version(),
    }


def source_version() -> dict[str, Any]:
    """Git commit of the source and whether it was changed since; None where the source is no checkout."""
    here = Path(__file__).resolve().parent
    try:
        sha = _git(here, "rev-parse", "HEAD").strip()
        top = Path(_git(here, "rev-parse", "--show-toplevel").strip())
        if here.parent != top:  # installed somewhere inside an unrelated checkout
            return {"git_sha": None, "git_dirty": None}
        return {"git_sha": sha, "git_dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.SubprocessError):
        return {"git_sha": None, "git_dirty": None}


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True, timeout=10
    ).stdout
