"""A store behind an fsspec URL: entries are copied to a local folder to be read, and back when they are made."""

from __future__ import annotations

import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

from filelock import FileLock

from vadbench.files import cache_folder, digest_of, sha256
from vadbench.store.entry import Entry

log = logging.getLogger(__name__)


def is_remote(path: str | Path) -> bool:
    """Return True for a URL with a protocol, such as ``s3://bucket/x``; False for a folder."""
    return "://" in str(path)


def local_copy(url: str, folder: str | Path | None) -> Path:
    """Return where the local copy of ``url`` lives: ``folder``, or one of its own in the user's cache folder."""
    if folder is not None:
        return Path(folder).absolute()
    return cache_folder() / "vadbench" / "features" / sha256([url.encode()])[:16]


class Remote:
    """The far side of a store. Its failures are warnings: the local copy is enough to go on.

    No locks are taken there. Writers may write the same entry twice, with the same content; the manifest goes last, so
    whoever sees it sees the arrays.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opened: tuple[int, Any, str] | None = None

    def fetch(self, entry: Entry) -> bool:
        """Copy an entry here; True if it is now here and its digest is right."""
        try:
            return self._fetch(entry)
        except Exception as error:  # fsspec back ends raise whatever their client raises
            log.warning("Can't read %s (%s: %s); going on without it.", self.url, type(error).__name__, error)
            return False

    def push(self, entry: Entry) -> bool:
        """Copy an entry there, manifest last; True if it is there now."""
        try:
            files, base = self._files()
            manifest = f"{base}/{self._at(entry.manifest, entry)}"
            if files.exists(manifest):
                return True
            files.makedirs(manifest.rsplit("/", 1)[0], exist_ok=True)
            for path in (entry.data, entry.manifest):
                target = f"{base}/{self._at(path, entry)}"
                temporary = f"{target}.{os.getpid()}.{secrets.token_hex(6)}.tmp"
                files.put_file(str(path), temporary)
                files.mv(temporary, target)
        except Exception as error:
            log.warning("Can't write %s (%s: %s); kept in %s.", self.url, type(error).__name__, error, entry.root)
            return False
        return True

    def _fetch(self, entry: Entry) -> bool:
        files, base = self._files()
        manifest = f"{base}/{self._at(entry.manifest, entry)}"
        if not files.exists(manifest):
            return False
        text = files.cat_file(manifest)
        note = json.loads(text)
        entry.manifest.parent.mkdir(parents=True, exist_ok=True)
        entry.lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{entry.lock}.fetch"):
            if entry.complete() and entry.fault() is None:
                return True
            part = entry.data.with_name(f"{entry.data.name}.{os.getpid()}.{secrets.token_hex(6)}.part")
            try:
                files.get_file(f"{base}/{self._at(entry.data, entry)}", str(part))
                if part.stat().st_size != note["bytes"] or digest_of(part) != note["sha256"]:
                    log.warning("%s holds a damaged copy of %s; it is replaced.", self.url, entry.key)
                    files.rm_file(manifest)  # or push would take the copy for whole and keep it
                    return False
                entry.manifest.unlink(missing_ok=True)
                part.replace(entry.data)
                part.write_bytes(text)
                part.replace(entry.manifest)
            finally:
                part.unlink(missing_ok=True)
        return True

    def _files(self) -> tuple[Any, str]:
        """Return the file system and the base path in it; opened anew after a fork, which some back ends don't
        survive."""
        if self._opened is None or self._opened[0] != os.getpid():
            import fsspec.core

            files, base = fsspec.core.url_to_fs(self.url)
            self._opened = (os.getpid(), files, base.rstrip("/"))
        return self._opened[1], self._opened[2]

    @staticmethod
    def _at(path: Path, entry: Entry) -> str:
        return path.relative_to(entry.root).as_posix()
