"""In which state the run of a point is, told by its files and its lock."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vadbench.run_folder import RunFolder, clear_leftovers


def lock_of(folder: Path) -> FileLock:
    """The lock that a run holds while it is at work."""
    return FileLock(folder.with_suffix(".lock"), timeout=0)


def state_of(folder: RunFolder) -> str:
    """complete, failed, interrupted, running or absent.

    A run counts as running only while its lock is held: the operating system frees the lock of a dead process at once,
    whereas its number may live on as a zombie's or another program's.
    """
    state = folder.state
    if state != "running":
        return state
    try:
        with lock_of(folder.path):
            # It may have ended between the two looks.
            state = folder.state
            return "interrupted" if state == "running" else state
    except Timeout:
        return "running"


def mark_of(folder: RunFolder) -> dict[str, Any]:
    """What an unfinished run says of itself: state, host, pid, since, reason; empty if it says nothing."""
    try:
        mark = json.loads((folder.path / "state.json").read_text())
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def settle(folder: RunFolder) -> None:
    """Finish what a run that was killed after its record was written did not get to: its mark goes."""
    if folder.complete and (folder.path / "state.json").exists():
        try:
            with lock_of(folder.path):
                if folder.complete:
                    (folder.path / "state.json").unlink(missing_ok=True)
                    clear_leftovers(folder.path)
        except Timeout:  # its process is about to do so itself
            return


def tried_since(folder: RunFolder, since: float) -> bool:
    """True if a run that did not finish began or ended after ``since`` (seconds since the epoch)."""
    return _changed(folder.path / "state.json") >= since


def complete_since(folder: RunFolder, since: float) -> bool:
    """True if the run was completed after ``since``."""
    return _changed(folder.path / "run.json") >= since


def _changed(path: Path) -> float:
    """When a file was last written, by its file system's clock, which all machines share; -inf without the file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
