"""What the operating system says of files and folders, as messages that say how to go on."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from vadbench.errors import StoreError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BARRED = {errno.EACCES, errno.EPERM, errno.EROFS}


def is_full(error: OSError) -> bool:
    """Whether a file could not be written because there is no room; NumPy says so in words only."""
    return error.errno in FULL or (error.errno is None and str(error).endswith(" written"))


def require_writable(folder: Path) -> None:
    """Make a folder below ``results=FOLDER``; StoreError, before any work, where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(f"the folder {folder}", error) from error


def unwritable(what: str, error: OSError) -> StoreError:
    """Return the error for a place of results that can't be written; ``what``: such as "the run folder /a/b"."""
    reason = "no room is left on the disk" if is_full(error) else error.strerror or str(error)
    return StoreError(
        f"{what} can't be written ({reason}). Choose another place with results=FOLDER, or make room; finished runs "
        "and cached features are kept."
    )


def explain(error: OSError) -> str | None:
    """Return what to say of any other file that can't be read or written; None if the error is not about a file or
    disk."""
    if is_full(error):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}no room is left on the disk. Make room; the same command goes on from here."
    if error.filename is None:
        return None
    hint = " Make it accessible, or choose another place." if error.errno in BARRED else ""
    return f"{error.filename}: {error.strerror}.{hint}"
