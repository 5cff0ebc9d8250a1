"""Digests of large files, cached between runs, as long as the files' size, times and place on disk stay the same."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vadbench.files import cache_folder, sha256, write_atomically

_SMALLEST = 64 << 20  # bytes; less is read again as quickly
_SETTLED_SECONDS = 5.0  # a file that changed this lately may change again within one tick of its clock


def remembered(paths: Iterable[Path], make: Callable[[], str]) -> str:
    """``make()``, or what it gave for the same files before.

    Files are the same if path, size, inode and both times are (the change time moves with every write and can't be set
    back). Where the cache can't be read or written, the digest is simply made.
    """
    try:
        stats = [(os.fspath(path.absolute()), path.stat()) for path in paths]
    except OSError:
        return make()
    newest = max((max(s.st_mtime, s.st_ctime) for _, s in stats), default=0.0)
    if sum(s.st_size for _, s in stats) < _SMALLEST or time.time() - newest < _SETTLED_SECONDS:
        return make()
    named = [(p, s.st_size, s.st_dev, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for p, s in stats]
    entry = folder() / sha256([repr(named).encode()])
    with contextlib.suppress(OSError):
        known = entry.read_text()
        if len(known) == 64:
            return known
    made = make()
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(entry, made)
    return made


def folder() -> Path:
    """Return the folder of cached digests, in the cache folder of the user."""
    return cache_folder() / "vadbench" / "digests"
