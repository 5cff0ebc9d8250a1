"""Making a store smaller: what has not been used for longest goes first, and what crashes left goes always."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from vadbench.store.entry import Entry, entries, leftovers


@dataclass(frozen=True)
class Pruned:
    """What :func:`prune` did, in entries and bytes."""

    removed: int
    bytes_freed: int
    bytes_left: int
    leftovers: int


@dataclass(frozen=True)
class Held:
    """One complete entry, its size and when it was last used (seconds since the epoch)."""

    entry: Entry
    size: int
    used: float


def held(root: Path) -> list[Held]:
    """Return the complete entries under ``root``, longest unused first."""
    found = []
    for entry in entries(root):
        try:
            manifest, data = entry.manifest.stat(), entry.data.stat()
        except FileNotFoundError:  # another process is pruning too, or the arrays are gone
            continue
        found.append(Held(entry, manifest.st_size + data.st_size, manifest.st_mtime))
    return sorted(found, key=lambda h: (h.used, h.entry.key))


def prune(root: Path, max_bytes: int | None, keep: Collection[str] = (), unused_since: float | None = None) -> Pruned:
    """Remove the entries unused for longest until at most ``max_bytes`` are left.

    Parameters
    ----------
    max_bytes: the bound; None: no bound.
    keep: keys that stay in any case.
    unused_since: seconds since the epoch; entries last used before it go, whatever the size.

    An entry that another process is making or has locked stays. A process that has an entry open keeps reading it: on
    a POSIX system its pages live as long as its mapping.
    """
    found = held(root)
    total, removed, freed = sum(h.size for h in found), 0, 0
    for h in found:
        over = max_bytes is not None and total - freed > max_bytes
        stale = unused_since is not None and h.used < unused_since
        if h.entry.key not in keep and (over or stale) and _remove(h.entry):
            removed += 1
            freed += h.size
    return Pruned(removed, freed, total - freed, _clear(root))


def _remove(entry: Entry) -> bool:
    try:
        with FileLock(entry.lock, timeout=0):
            entry.remove()
    except Timeout:
        return False
    return True


def _clear(root: Path) -> int:
    """Remove temporary files of dead writers and arrays that never got their manifest; returns how many."""
    count = 0
    for path in leftovers(root):
        path.unlink(missing_ok=True)
        count += 1
    for data in root.glob("[0-9a-f][0-9a-f]/*.safetensors"):
        entry = Entry(root, data.stem)
        if entry.complete():
            continue
        try:
            with FileLock(entry.lock, timeout=0):  # locked: its writer is about to add the manifest
                if not entry.complete():
                    entry.remove()
                    count += 1
        except Timeout:
            continue
    return count
