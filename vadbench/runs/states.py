"""When the run of a point was last tried or completed, and what a killed one left behind."""

from __future__ import annotations

import math
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


def tried_since(folder: RunFolder, since: float) -> bool:
    """Return True if a run that did not finish began or ended after ``since`` (seconds since the epoch)."""
    return _changed(folder.path / "state.json") >= since


def complete_since(folder: RunFolder, since: float) -> bool:
    """Return True if the run was completed after ``since``."""
    return _changed(folder.path / "run.json") >= since


def _changed(path: Path) -> float:
    """When a file was last written, by its file system's clock, which all machines share; -inf without the file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
