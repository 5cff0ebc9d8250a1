"""What the operating system says when a store can't be read or written, as a message that says how to go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vadbench.errors import StoreError
from vadbench.files import BARRED, is_full

_AGAIN = "Nothing finished is lost: the same command goes on from here."


@contextmanager
def explained(root: Path, what: str) -> Iterator[None]:
    """Turn an OSError raised inside into a StoreError about the store at ``root``; ``what`` was being done."""
    try:
        yield
    except OSError as error:
        raise StoreError(_explain(error, root, what)) from error


def _explain(error: OSError, root: Path, what: str) -> str:
    where = f"The feature store at {root}"
    if is_full(error):
        return (
            f"{where} is full ({_free(root)} free) while {what}: {error.strerror or error}. Make room with "
            f"'python -m vadbench cache prune --path {root} --max-gb N', or put the store elsewhere with "
            f"store.path=FOLDER. {_AGAIN}"
        )
    if error.errno in BARRED:
        return (
            f"{where} can't be written while {what}: {error.strerror} ({error.filename or root}). It can serve what it "
            f"holds, but something is missing: make it writable, or put the store elsewhere with store.path=FOLDER. "
            f"{_AGAIN}"
        )
    return (
        f"{where} failed while {what}: {error}. Check that the path exists and can be written, or put the store "
        f"elsewhere with store.path=FOLDER. {_AGAIN}"
    )


def _free(root: Path) -> str:
    """Free space on the file system of ``root``, as text."""
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return f"{shutil.disk_usage(there).free / 1e6:.0f} MB"
