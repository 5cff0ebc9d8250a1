"""Which run an argument of the command line means: its folder, its id, or the beginning of its id."""

from __future__ import annotations

import difflib
from pathlib import Path

from vadbench.errors import DataError
from vadbench.runs.run_folder import RunFolder, holds_run


def find_run(given: str | Path, results: Path) -> Path:
    """Return the folder of the complete run that ``given`` means.

    Raises
    ------
    DataError: no such run, several whose ids begin with ``given``, a folder without a complete run.
    """
    folder = locate(given, results)
    RunFolder(folder).read()
    return folder


def locate(given: str | Path, results: Path) -> Path:
    """Return the folder that ``given`` means, whatever is in it; DataError as :func:`find_run`."""
    folder = Path(given)
    return folder if folder.is_dir() else _by_id(str(given), results)


def run_folders(results: Path) -> list[Path]:
    """Every run folder under ``results``, in the order of their names."""
    return sorted(
        path for path in results.glob("runs/*/*/*") if path.is_dir() and not path.is_symlink() and holds_run(path)
    )


def _by_id(given: str, results: Path) -> Path:
    there = run_folders(results)
    found = [path for path in there if path.name.startswith(given)]
    found = [path for path in found if path.name == given] or found
    if len(found) == 1:
        return found[0]
    if found:
        shown = "".join(f"\n  {path}" for path in found)
        raise DataError(f"{given}: the ids of {len(found)} runs begin so. Give more of it:{shown}")
    near = difflib.get_close_matches(given, [path.name for path in there], n=3)
    hint = f" Did you mean: {', '.join(near)}?" if near else ""
    raise DataError(
        f"{given}: neither the folder of a run nor the id of one of the {len(there)} runs in {results}.{hint} A run "
        "prints its folder when it ends; --results FOLDER looks for ids elsewhere."
    )
