"""When the run of a point was last tried or completed, and what a killed one left behind."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from vadbench.files import clear_leftovers
from vadbench.runs.run_folder import RunFolder


def settle(folder: RunFolder) -> None:
    """Finish what a run that was killed after its record was written did not get to: its mark goes."""
    if folder.complete and (folder.path / "state.json").exists():
        try:
            with folder.lock(timeout=0):
                if folder.complete:
                    (folder.path / "state.json").unlink(missing_ok=True)
                    clear_leftovers(folder.path)
        except Timeout:  # its process is about to do so itself
            return


def clear_rerun(folder: RunFolder) -> None:
    """Remove what a rerun of an earlier start left behind; nothing where one is at work, or the folder can't be
    written."""
    if folder.has_leftovers:
        with suppress(Timeout, OSError), folder.lock(timeout=0):
            folder.clear_rerun()


def state_since(folder: RunFolder, since: float) -> str:
    """Return the state of a run that is recomputed where it was completed before ``since``."""
    if complete_since(folder, since) or not folder.complete:
        return folder.state
    state = folder.rerun.state
    return "interrupted" if state == "complete" else state  # killed before it took the place of the old one


def attempt(folder: RunFolder) -> RunFolder:
    """Return where the work on a run was last done: beside a complete one, else in its folder."""
    return folder.rerun if folder.complete and folder.rerun.path.is_dir() else folder


def tried_since(folder: RunFolder, since: float) -> bool:
    """Return True if a run that did not finish began or ended after ``since`` (seconds since the epoch)."""
    return _changed(attempt(folder).path / "state.json") >= since


def complete_since(folder: RunFolder, since: float) -> bool:
    """Return True if the run was completed after ``since``."""
    return _changed(folder.path / "run.json") >= since


def _changed(path: Path) -> float:
    """When a file was last written, by its file system's clock, which all machines share; -inf without the file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
