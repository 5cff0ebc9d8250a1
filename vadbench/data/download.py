"""Fetching public datasets: resumable downloads with checksum and bound, archives that can't leave their folder."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from vadbench.data.datasets.folder_layout import is_stray
from vadbench.errors import DataError
from vadbench.files import BLOCK, digest_of, fetching

log = logging.getLogger(__name__)

_SECONDS = 60  # without a byte, before a download is given up (the next call resumes it)


@dataclass(frozen=True)
class Remote:
    """A file to fetch: where it is, its SHA-256 and its size in bytes."""

    url: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


def download(remote: Remote, folder: Path) -> Path:
    """``remote`` in ``folder``; nothing is fetched if it is there already.

    An interrupted download leaves ``<name>.part`` and goes on from there the next time. The file gets its name only
    when it is whole and its checksum is right.

    Raises
    ------
    DataError: unreachable, larger than announced, cut short, or of another checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    if target.is_file() and digest_of(target) == remote.sha256:
        return target
    if part.is_file() and part.stat().st_size > remote.bytes:
        part.unlink()
    if not part.is_file() or part.stat().st_size < remote.bytes:
        try:
            _fetch(remote, part)
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise DataError(
                f"{remote.url}: {reason}. What has come so far is kept in {part}; the same command goes on from there. "
                f"A copy from elsewhere can be put at {target}; its checksum is verified."
            ) from None
    size = part.stat().st_size
    if size < remote.bytes:
        raise DataError(f"{remote.url}: {size:,} of {remote.bytes:,} bytes came; the same command goes on from there.")
    found = digest_of(part)
    if found != remote.sha256:
        part.unlink()
        raise DataError(
            f"{remote.url}: its SHA-256 is {found}, not {remote.sha256}: not the published file, so it was not kept."
        )
    return part.replace(target)


def _fetch(remote: Remote, part: Path) -> None:
    """Append to ``part`` what is missing; begin anew where the server can't resume."""
    have = part.stat().st_size if part.is_file() else 0
    if remote.url.partition(":")[0] not in ("http", "https"):
        raise DataError(f"{remote.url}: only http and https are fetched.")
    with fetching(remote.url, have, _SECONDS) as incoming, part.open("ab" if incoming.start else "wb") as file:
        have = incoming.start
        for block in incoming.blocks:
            have += len(block)
            if have > remote.bytes:
                file.close()
                part.unlink()
                raise DataError(f"{remote.url}: it is larger than the {remote.bytes:,} bytes that it should be.")
            file.write(block)


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpack the files of a .zip or .tar.gz into ``folder``; all of them or none.

    Raises
    ------
    DataError: a member that would leave the folder, a link or a device, more than ``max_bytes`` in all, damage, or a
        name that is in the folder already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _aside(folder) as place:
        left = max_bytes
        try:
            for name, size, content in _members(archive):
                left -= size
                if left < 0:
                    raise DataError(f"{archive}: it unpacks to more than {max_bytes:,} bytes; refused.")
                _write(place / name, content, size, archive)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(f"{archive}: it can't be unpacked: {error}. Remove it and fetch it again.") from None
        tops = sorted(place.iterdir())
        there = [top.name for top in tops if (folder / top.name).exists()]
        if there:
            raise DataError(f"{folder / there[0]} exists already; remove or rename it to unpack {archive.name} anew.")
        for top in tops:
            top.rename(folder / top.name)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Yield a folder on the same disk that is removed in the end, whatever happens."""
    place = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(path: Path, content: IO[bytes], size: int, archive: Path) -> None:
    """Copy ``size`` bytes; a member that holds more or fewer than its header says is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while block := content.read(min(BLOCK, size + 1)):
            size -= len(block)
            if size < 0:
                break
            file.write(block)
    if size:
        raise DataError(f"{archive}: {path.name} is not as long as the archive says; refused.")


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    """Safe name, size and content of every file; what file managers leave behind is skipped."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                kind = info.external_attr >> 28  # the type bits of a Unix mode
                if kind not in (0, 4, 8):
                    raise DataError(f"{archive}: {info.filename} is a link or device; refused.")
                name = _safe(info.filename, archive)
                if not info.is_dir() and not any(is_stray(part) for part in name.parts):
                    with packed.open(info) as content:
                        yield name, info.file_size, content
        return
    with gzip.open(archive) as inflated:
        with tarfile.open(fileobj=inflated, mode="r|") as stream:
            yield from _tar_members(stream, archive)
        while inflated.read(BLOCK):
            pass  # to the end, where the checksum of the whole is compared


def _tar_members(stream: tarfile.TarFile, archive: Path) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    for member in stream:
        name = _safe(member.name, archive)
        if member.isdir() or any(is_stray(part) for part in name.parts):
            continue
        unpacked = stream.extractfile(member) if member.isreg() else None
        if unpacked is None:
            raise DataError(f"{archive}: {member.name} is a link or device; refused.")
        yield name, member.size, unpacked


def _safe(name: str, archive: Path) -> PurePosixPath:
    """``name`` as a relative path; refused if it leaves the folder on any system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{archive}: the member {name!r} would leave the target folder; refused, nothing was unpacked.")
    return path
