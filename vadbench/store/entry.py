"""One entry of the store on disk: arrays first, manifest last, each under a temporary name until it is whole.

<root>/<first two of key>/<key>.safetensors    the arrays
<root>/<first two of key>/<key>.json           the manifest: exists only if the arrays are complete
<root>/locks/<key>.lock                        held by the process that makes the entry
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.files import clear_leftovers, digest_of, file_state, left_behind, replacing, write_atomically
from vadbench.store import arrays as array_file

log = logging.getLogger(__name__)

_HOST = socket.gethostname()
_verified: dict[Path, tuple[int, ...]] = {}  # data file to its state when this process last checked its digest


@dataclass(frozen=True)
class Entry:
    """The place of one key under a root."""

    root: Path
    key: str

    @property
    def data(self) -> Path:
        """The safetensors file."""
        return self.root / self.key[:2] / f"{self.key}.safetensors"

    @property
    def manifest(self) -> Path:
        """The manifest; its existence means that the entry is complete."""
        return self.root / self.key[:2] / f"{self.key}.json"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.root / "locks" / f"{self.key}.lock"

    def complete(self) -> bool:
        """Return True if the manifest exists. Cheap; says nothing of damage done later."""
        return self.manifest.is_file()

    def note(self) -> dict[str, Any] | None:
        """Return the manifest, or None if there is none that can be read."""
        try:
            note = json.loads(self.manifest.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, UnicodeDecodeError):
            return None
        return note if isinstance(note, dict) and "sha256" in note and "bytes" in note else None

    def open(self) -> dict[str, np.ndarray] | None:
        """Return the arrays, memory-mapped and read-only; None if the entry is absent or damaged (damage is logged)."""
        if not self.complete():
            return None
        fault = self.fault()
        if fault is None:
            try:
                content = array_file.read(self.data)
            except FileNotFoundError:  # pruned by another process since the check
                return None
            except ValueError as error:
                fault = str(error)
            else:
                self._mark_used()
                return content
        if self.complete():  # pruned meanwhile is no damage
            log.warning("Store entry %s is damaged (%s); it is recomputed.", self.data, fault)
        return None

    def fault(self, *, fresh: bool = False) -> str | None:
        """Return what is wrong with the entry, or None. The digest is read once a process, or always if ``fresh``."""
        note = self.note()
        if note is None:
            return "its manifest can't be read"
        try:
            mark = file_state(self.data)
            size = self.data.stat().st_size
        except FileNotFoundError:
            return "its data file is missing"
        if size != note["bytes"]:
            return f"it has {size} bytes, not {note['bytes']}"
        if fresh or _verified.get(self.data) != mark:
            if digest_of(self.data) != note["sha256"]:
                return "its digest differs from its manifest"
            _verified[self.data] = mark
        return None

    def write(
        self, content: Mapping[str, np.ndarray], note: Mapping[str, Any], types: Mapping[str, np.dtype] | None = None
    ) -> int:
        """Write arrays, in ``types`` where these are given, then manifest; returns the bytes of the arrays. OSError
        leaves nothing behind."""
        types = types or {name: array.dtype for name, array in content.items()}
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        # A manifest that outlives the arrays it describes would lie while they are being replaced.
        self.manifest.unlink(missing_ok=True)
        with replacing(self.data) as file:
            sha, size = array_file.write(file, content, types)
        _verified[self.data] = file_state(self.data)
        full = {
            **note,
            "key": self.key,
            "sha256": sha,
            "bytes": size,
            "arrays": {name: {"shape": list(a.shape), "dtype": types[name].name} for name, a in content.items()},
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "host": _HOST,
        }
        write_atomically(self.manifest, json.dumps(full, indent=1, sort_keys=True))
        return size

    def remove(self) -> None:
        """Delete the entry, manifest first, so that no moment shows a complete entry without its arrays."""
        self.manifest.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def sweep_leftovers(self) -> None:
        """Delete what killed writers of this machine left of this entry. Only for whoever holds its lock: nobody else
        on this machine can then be writing it."""
        clear_leftovers(self.manifest.parent, f"{self.key}.")

    def _mark_used(self) -> None:
        try:
            os.utime(self.manifest)
        except OSError:
            log.debug("Can't mark %s as used (a read-only store?)", self.manifest)


def entries(root: Path) -> Iterator[Entry]:
    """Every complete entry under ``root``, in no order."""
    for manifest in root.glob("[0-9a-f][0-9a-f]/*.json"):
        yield Entry(root, manifest.stem)


def leftovers(root: Path) -> Iterator[Path]:
    """Temporary files whose writer is dead."""
    for path in root.glob("[0-9a-f][0-9a-f]/*.tmp"):
        if left_behind(path):
            yield path
