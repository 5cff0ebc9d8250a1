"""Files: written whole or not at all, their digests, fetched from the web, and what to say where one is refused."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vadbench.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BARRED = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
BLOCK = 1 << 20

HOST = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())
"""The name of this machine as it stands in the names of temporary files."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the name ``path`` at the end, when it is whole and on the disk.

    Readers see the old file or the whole new one. An exception leaves the old one and nothing else; a killed process
    leaves a temporary file that :func:`left_behind` and :func:`clear_leftovers` know by its name.
    """
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{os.urandom(6).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, see :func:`replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk, so that none is lost in a power cut."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(folder: Path) -> None:
    """Bring every file below ``folder`` to the disk, and every name; links are not followed."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                _sync(path, os.O_RDONLY)
        sync_folder(Path(place))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that can't sync a folder say so
            raise
    finally:
        os.close(descriptor)


def exchange(first: Path, second: Path) -> bool:
    """Give each of two files or folders of one file system the other's name, in one step; False, with nothing done,
    where the system can't (other systems than Linux, NFS)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename is None:
        return False
    if rename(here, os.fsencode(first), here, os.fsencode(second), swap) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(second))


def bounded(name: str, most: int = 200) -> str:
    """Return ``name``, or where it has more than ``most`` bytes its beginning and a digest: file systems take 255."""
    if len(name.encode()) <= most:
        return name
    start = name.encode()[: most - 17].decode(errors="ignore")
    return f"{start}-{sha256([name.encode()])[:16]}"


def left_behind(temporary: Path) -> bool:
    """Return True if a temporary file's writer is known to be dead: its process on this machine is gone."""
    host, pid = temporary.name.split(".")[-4:-2] if temporary.name.count(".") >= 4 else ("", "")
    if host != HOST or not pid.isdigit():
        return False  # another machine's: it may still be writing
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def clear_leftovers(folder: Path, name: str = "") -> None:
    """Delete temporary files of killed writers of this machine, of the files whose names begin with ``name``.

    Only for whoever is alone in ``folder``, or alone in writing these files.
    """
    # The second form is that of older feature stores.
    for path in [*folder.glob(f".{name}*.{HOST}.*"), *folder.glob(f"{name}*.{HOST}.*.tmp")]:
        path.unlink(missing_ok=True)


def sha256(blocks: Iterable[bytes]) -> str:
    """Return the hex SHA-256 of the concatenated ``blocks``."""
    total = hashlib.sha256()
    for block in blocks:
        total.update(block)
    return total.hexdigest()


def digest_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return sha256(iter(lambda: file.read(BLOCK), b""))


def file_state(path: Path) -> tuple[int, ...]:
    """Return what tells whether a file was changed since: device, inode, size and both times.

    The change time moves with every write, also where the modification time is set back.
    """
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, by libyaml's parser where it is there, which is eight times as fast."""
    import yaml

    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def cache_folder() -> Path:
    """Return where this user's programs keep caches: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def remembered(kind: str, key: Any, make: Callable[[], Any]) -> Any:
    """Return ``make()``, or what it gave for the same ``key`` before, from the user's cache folder.

    ``kind``: the folder in there. ``key`` and what ``make`` returns are JSON-able, and lists where they could be
    tuples. Where the cache can't be read or written, or was damaged, it is made anew.
    """
    said = json.dumps(key, sort_keys=True)
    path = cache_folder() / "vadbench" / kind / f"{sha256([said.encode()])}.json"
    with suppress(OSError, ValueError):  # the latter is what damaged text gives
        digest, _, text = path.read_text(encoding="utf-8").partition("\n")
        if digest == sha256([said.encode(), text.encode()]):
            return json.loads(text)
    made = make()
    text = json.dumps(made)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{sha256([said.encode(), text.encode()])}\n{text}")
    return made


@dataclass(frozen=True)
class Incoming:
    """What a server sends: ``blocks`` from byte ``start`` on, of ``total`` bytes (None: it does not say)."""

    blocks: Iterator[bytes]
    start: int
    total: int | None


@contextmanager
def fetching(url: str, have: int = 0, seconds: float = 30, method: str = "GET") -> Iterator[Incoming]:
    """Yield the file at ``url`` from byte ``have`` on, or all of it where the server can't resume.

    ``seconds`` without a byte end it with an OSError, as does a server that can't be reached.
    """
    import urllib.request  # slow to import, and most commands fetch nothing

    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {}, method=method)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        start, length = have if resumed else 0, answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        yield Incoming(iter(lambda: answer.read(BLOCK), b""), start, total)


def is_full(error: OSError) -> bool:
    """Return whether a file could not be written because there is no room; NumPy says so in its message only."""
    return error.errno in FULL or (error.errno is None and str(error).endswith(" written"))


def require_writable(folder: Path) -> None:
    """Make a folder below ``results=FOLDER``; StoreError, before any work, where nothing can be written there or no
    file be locked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise StoreError(f"the folder {folder}: {_without_locks(error)}") from error
        raise unwritable(f"the folder {folder}", error) from error


def _without_locks(error: OSError) -> str:
    return (
        f"files can't be locked there ({error.strerror}), which keeps two processes from making the same run. Choose a "
        "place on another file system with results=FOLDER, or have this one mounted with locks."
    )


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
    if error.errno in NO_LOCKS:
        return f"{error.filename or 'the results folder'}: {_without_locks(error)}"
    if error.filename is None:
        return None
    hint = " Make it accessible, or choose another place." if error.errno in BARRED else ""
    return f"{error.filename}: {error.strerror}.{hint}"


def drop_pages(array: np.ndarray) -> None:
    """Forget the pages of a memory-mapped array that were read: they stay in the system's cache, but no longer count as
    memory of this process. Nothing is done to an array in memory, nor to one whose mapping could hold changes."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED") and memoryview(base).readonly:
        base.madvise(mmap.MADV_DONTNEED)


def rows_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ``array[0]``, ``array[1]``, ...; the pages of a memory-mapped array are dropped after each."""
    for row in array:
        yield row
        drop_pages(array)
