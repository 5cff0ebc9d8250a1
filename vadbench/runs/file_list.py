"""The files that a run wrote: listed in run.json with size and digest, and held against that list later.

Outside the list is what is drawn and can be drawn again (pictures) or derived from the run (reports).
"""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath
from typing import Any

from vadbench.errors import DataError
from vadbench.files import digest_of
from vadbench.untrusted import read_json

_OUTSIDE = ("pictures", "run.json", "state.json")
_MAY_GO = "maps"


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Return ``{"bytes": size, "sha256": hex digest}`` of every file of a run, by its path within ``folder``."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and parts[0] not in _OUTSIDE and path.is_file() and not path.is_symlink():
            found["/".join(parts)] = {"bytes": path.stat().st_size, "sha256": digest_of(path)}
    return found


def damage(folder: Path, digests: bool = False) -> str | None:
    """Return what is wrong with the run in ``folder``, or None.

    Its run.json must be readable, and the files that it lists must be there with their sizes; with ``digests`` their
    content is read too. Score maps may have been deleted to make room. A run.json without a list, as older versions
    wrote it, is only read.
    """
    try:
        files = read_json(folder / "run.json").get("files", {})
    except DataError as error:
        return str(error).removeprefix(f"{folder}/")
    if not isinstance(files, dict):
        return "run.json holds no record of a run"
    faults = (_fault(folder, name, said, digests) for name, said in files.items())
    return next((fault for fault in faults if fault), None)


def _fault(folder: Path, name: str, said: Any, digests: bool) -> str | None:
    parts = PurePosixPath(name).parts
    if not isinstance(said, dict) or not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        return f"run.json lists {name!r}, which is no file of a run"
    path = folder.joinpath(*parts)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None if parts[0] == _MAY_GO else f"{name} is missing"
    except OSError as error:
        return f"{name} can't be read ({error.strerror})"
    if not stat.S_ISREG(found.st_mode):
        return f"{name} is not a file of its own"
    if found.st_size != said.get("bytes"):
        return f"{name} has {found.st_size} bytes, not {said.get('bytes')}"
    try:
        if digests and digest_of(path) != said.get("sha256"):
            return f"the digest of {name} differs from the one in run.json"
    except OSError as error:
        return f"{name} can't be read ({error.strerror})"
    return None
