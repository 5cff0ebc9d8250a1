"""Features of a video from a store: opened where they exist, extracted once where they don't."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from vadbench.data.video import Video
from vadbench.errors import StoreError
from vadbench.models.base import Extractor, Features, engine_of, learn, source_of, specs_of, takes
from vadbench.store.arrays import lowered, precisions
from vadbench.store.entry import Entry
from vadbench.store.faults import explained
from vadbench.store.key import derived_key, feature_key
from vadbench.store.made import Made, checked
from vadbench.store.prune import prune
from vadbench.store.remote import Remote, is_remote, local_copy
from vadbench.store.spool import Spool, spool
from vadbench.untrusted import damage

log = logging.getLogger(__name__)

DTYPES = ("float32", "float16")
EAGER = "eager"  # made every entry that does not say what ran its network


@dataclass
class Counts:
    """What a store did since it was opened; entries, seconds and bytes."""

    hits: int = 0
    misses: int = 0
    fetched: int = 0  # hits that came from the remote store
    remade: int = 0  # misses whose entry was there, but damaged or from an engine that isn't taken
    extract_s: float = 0.0
    waited_s: float = 0.0  # for another process that was making the same entry
    read_bytes: int = 0  # size of the entries that were opened, which are memory-mapped
    written_bytes: int = 0


class Store(Protocol):
    """What a run needs of a store."""

    dtype: str
    counts: Counts

    def get(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, Features]:
        """All outputs of ``extractor`` for ``video``, extracted only where they are not there yet."""

    def has(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, bool]:
        """Output name to whether it is there."""

    def put(self, extractor: Extractor, video: Video, made: Mapping[str, Features]) -> None:
        """Take in the outputs of ``extractor`` for ``video`` that are not there yet."""

    def derived(self, name: str, spec: Mapping[str, Any], make: Callable[[], Features]) -> Features:
        """Arrays computed from features (a decomposition), made only where they are not there yet."""

    def engine(self, key: str) -> str:
        """Return what ran the network that made an output which was handed out; "eager" where nothing says so."""


def keys_of(extractor: Extractor, video: Video, dtype: str, video_digest: str | None = None) -> dict[str, str]:
    """Output name to store key, for one video. Hashes the video's bytes unless ``video_digest`` is given."""
    known = video_digest or video.source.digest()
    return {name: feature_key(spec, known, video.source.decoder, dtype) for name, spec in specs_of(extractor).items()}


def _of_source(store: Store, extractor: Extractor, video: Video, video_digest: str | None) -> dict[str, Features]:
    """Return the outputs that those of ``extractor`` are built on, made where they are missing."""
    source = source_of(extractor)
    return store.get(source, video, video_digest) if source is not None else {}


def _check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise StoreError(f"store.dtype={dtype!r} is not a storage precision. Available: {', '.join(DTYPES)}.")


def _engine(entry: Entry) -> str:
    """Return what ran the network that made an entry."""
    return str((entry.note() or {}).get("engine", EAGER))


@dataclass
class MemoryStore:
    """Features in memory, for use from Python: the same interface, nothing on disk, the same precision."""

    dtype: str = "float32"
    counts: Counts = field(default_factory=Counts)
    _held: dict[str, Features] = field(default_factory=dict, repr=False)
    _engines: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check_dtype(self.dtype)

    def get(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, Features]:
        """All outputs of ``extractor`` for ``video``, as :meth:`FeatureStore.get`."""
        keys = keys_of(extractor, video, self.dtype, video_digest)
        held = {name: key for name, key in keys.items() if key in self._held and takes(extractor, self.engine(key))}
        wanted = [name for name in keys if name not in held]
        have = {name: self._held[key] for name, key in held.items()}
        self.counts.hits += len(have)
        if wanted:
            learn(extractor, self.derived)
            have = _of_source(self, extractor, video, video_digest) | have
            started = time.perf_counter()
            made = extractor.extract(video, wanted, have)
            self.counts.extract_s += time.perf_counter() - started
            self.counts.misses += len(wanted)
            checked(made, wanted, video)
            for name in wanted:
                self._held[keys[name]], _ = lowered(made[name], self.dtype)
                self._engines[keys[name]] = engine_of(extractor) or EAGER
        return {name: self._held[key] for name, key in keys.items()}

    def has(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, bool]:
        """Output name to whether it is there."""
        return {name: key in self._held for name, key in keys_of(extractor, video, self.dtype, video_digest).items()}

    def put(self, extractor: Extractor, video: Video, made: Mapping[str, Features]) -> None:
        """Take in the outputs of ``extractor`` for ``video`` that are not there yet."""
        self.get(Made(extractor, made), video)

    def engine(self, key: str) -> str:
        """As :meth:`FeatureStore.engine`."""
        return self._engines.get(key, EAGER)

    def derived(self, name: str, spec: Mapping[str, Any], make: Callable[[], Features]) -> Features:
        """Arrays computed from features, made at most once."""
        key = derived_key(name, spec)
        if key not in self._held:
            self._held[key] = dict(make())
        return self._held[key]


class FeatureStore:
    """Features on disk, addressed by what they depend on; any number of processes may use it at once.

    Parameters
    ----------
    path: a folder, made when first needed, or an fsspec URL (``s3://bucket/features``), which is read and written
        through a local copy.
    dtype: ``"float32"`` or ``"float16"``: the precision in which floating arrays are kept. It is part of the key.
        Arrays come back as stored, also right after extraction, so that a first and a second run see the same numbers.
    max_bytes: bound of the (local) size; entries unused for longest go first, never one that this store handed out.
    local: folder of the local copy of a URL; by default under the user's cache folder.
    made_by: says what makes entries beside their key (device, batch size, threads, versions), for their manifests.
    """

    def __init__(
        self,
        path: str | Path,
        dtype: str = "float32",
        max_bytes: int | None = None,
        local: str | Path | None = None,
        made_by: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        _check_dtype(dtype)
        self.remote = Remote(str(path)) if is_remote(path) else None
        self.root = local_copy(str(path), local) if self.remote else Path(path).absolute()
        self.dtype = dtype
        self.max_bytes = max_bytes
        self.made_by = made_by
        self.counts = Counts()
        self._used: set[str] = set()
        self._engines: dict[str, str] = {}  # key to what made the entry that was handed out

    def has(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, bool]:
        """Output name to whether its entry exists locally; reads no arrays."""
        keys = keys_of(extractor, video, self.dtype, video_digest)
        entries = {name: Entry(self.root, key) for name, key in keys.items()}
        return {name: entry.complete() and takes(extractor, _engine(entry)) for name, entry in entries.items()}

    def get(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, Features]:
        """All outputs of ``extractor`` for ``video``: name to read-only, memory-mapped arrays.

        What is missing is extracted in one pass by whichever process comes first; the others wait for it.

        Raises
        ------
        StoreError: the store can't be read or written (full, read-only); what is finished stays.
        """
        specs = specs_of(extractor)
        digest = video_digest or video.source.digest()
        entries = {n: Entry(self.root, k) for n, k in keys_of(extractor, video, self.dtype, digest).items()}
        with explained(self.root, f"reading the features of video {video.id}"):
            found = self._open(entries, extractor)
        self._recall(video, [entries[name] for name in found])
        self.counts.hits += len(found)
        if len(found) < len(entries):
            missing = {name: entry for name, entry in entries.items() if name not in found}
            with self._locked(missing, f"features of video {video.id}"):
                late = self._open(missing, extractor)  # another process may have made them while this one waited
                self.counts.hits += len(late)
                found.update(late)
                todo = {name: entry for name, entry in missing.items() if name not in late}
                if todo:
                    learn(extractor, self.derived)
                    have = _of_source(self, extractor, video, digest) | found
                    notes = {name: self._note(name, specs[name], video, digest) for name in todo}
                    found.update(self._extract(extractor, video, todo, have, notes))
        return {name: found[name] for name in entries}

    def put(self, extractor: Extractor, video: Video, made: Mapping[str, Features]) -> None:
        """Take in the outputs of ``extractor`` for ``video`` that are not there yet."""
        self.get(Made(extractor, made), video)

    def stored(self, extractor: Extractor, video: Video, output: str) -> Features | None:
        """One output of ``extractor`` for ``video`` if it is there; nothing is extracted."""
        entry = Entry(self.root, keys_of(extractor, video, self.dtype)[output])
        with explained(self.root, f"reading the features of video {video.id}"):
            return self._open({output: entry}).get(output)

    def engine(self, key: str) -> str:
        """Return what ran the network that made an output which was handed out; "eager" where nothing says so."""
        return self._engines.get(key, EAGER)

    def derived(self, name: str, spec: Mapping[str, Any], make: Callable[[], Features]) -> Features:
        """Arrays computed from features, such as a decomposition: made once, kept exactly (no change of precision).

        ``spec`` is JSON-able and holds everything that the arrays depend on, the keys of the features included.
        """
        entry = Entry(self.root, derived_key(name, spec))
        what = f"derived arrays {name!r}"
        with explained(self.root, f"reading {what}"):
            found = self._open({name: entry})
        if name not in found:
            with self._locked({name: entry}, what):
                found = self._open({name: entry})
                if name not in found:
                    started = time.perf_counter()
                    made = make()
                    note = {"output": name, "spec": dict(spec), "seconds": round(time.perf_counter() - started, 4)}
                    found = self._write({name: entry}, {name: made}, {name: note}, what)
        return found[name]

    def _recall(self, video: Video, entries: list[Entry]) -> None:
        """Damaged frames that were found when these features were made are known again, under the policy of today."""
        recall = getattr(video.source, "recall", None)
        if recall is None:
            return
        for entry in entries:
            faults = (entry.note() or {}).get("faults", {})
            if faults:
                with damage(entry.manifest):
                    recall({int(frame): str(message) for frame, message in faults.items()})

    def _open(self, entries: Mapping[str, Entry], extractor: Extractor | None = None) -> dict[str, Features]:
        """Those of ``entries`` that are complete and sound, from disk or, failing that, from the remote store; and that
        were made by an engine that ``extractor`` takes."""
        found: dict[str, Features] = {}
        for name, entry in entries.items():
            content = entry.open()
            if content is None and self.remote is not None and self.remote.fetch(entry):
                content = entry.open()
                self.counts.fetched += content is not None
            if content is not None and extractor is not None:
                self._engines[entry.key] = _engine(entry)
                if not takes(extractor, self._engines[entry.key]):
                    log.info("%s is from another engine (%s); it is recomputed.", entry.data, _engine(entry))
                    content = None
            if content is not None:
                found[name] = content
                self.counts.read_bytes += sum(array.nbytes for array in content.values())
                self._used.add(entry.key)
        return found

    @contextmanager
    def _locked(self, entries: Mapping[str, Entry], what: str) -> Iterator[None]:
        """Hold the locks of ``entries``, taken in the order of their keys so that no two processes wait in a circle."""
        started = time.perf_counter()
        with ExitStack() as stack:
            with explained(self.root, f"locking the {what}"):
                (self.root / "locks").mkdir(parents=True, exist_ok=True)
                for entry in sorted(entries.values(), key=lambda e: e.key):
                    stack.enter_context(FileLock(entry.lock))
            self.counts.waited_s += time.perf_counter() - started
            yield

    def _extract(
        self,
        extractor: Extractor,
        video: Video,
        todo: Mapping[str, Entry],
        have: Mapping[str, Features],
        notes: Mapping[str, dict[str, Any]],
    ) -> dict[str, Features]:
        self.counts.remade += sum(entry.complete() for entry in todo.values())
        writing = f"writing the features of video {video.id}"
        with spool(self.root) as spooled:
            started = time.perf_counter()
            made = self._made(extractor, video, list(todo), have, spooled, writing)
            seconds = time.perf_counter() - started
            self.counts.extract_s += seconds
            self.counts.misses += len(todo)
            checked(made, list(todo), video)
            types: dict[str, Mapping[str, np.dtype]] = {}
            for name, note in notes.items():
                # One pass makes all outputs; its time is shared among them so that sums over entries stay true.
                note["made_by"] = dict(self.made_by())
                note["seconds"] = round(seconds / len(todo), 4)
                if (engine := engine_of(extractor)) is not None:
                    note["engine"] = engine
                self._engines[todo[name].key] = engine or EAGER
                note["faults"] = dict(getattr(video.source, "faults", {}))
                types[name], kept = precisions(made[name], self.dtype)
                if kept:
                    log.warning("Video %s, %s: %s overflows %s; kept in float32.", video.id, name, kept, self.dtype)
                    note["kept_float32"] = kept
            return self._write(todo, made, notes, writing, types)

    def _made(
        self,
        extractor: Extractor,
        video: Video,
        wanted: list[str],
        have: Mapping[str, Features],
        spooled: Spool,
        writing: str,
    ) -> dict[str, Features]:
        """Return what the extractor makes; what comes in pieces is on disk and never whole in memory."""
        pieces = getattr(extractor, "pieces", None)
        if pieces is None:
            return extractor.extract(video, wanted, have)
        for piece in pieces(video, wanted, have):
            with explained(self.root, writing):
                spooled.add(piece)
        return spooled.arrays()

    def _write(
        self,
        entries: Mapping[str, Entry],
        made: Mapping[str, Features],
        notes: Mapping[str, dict[str, Any]],
        what: str,
        types: Mapping[str, Mapping[str, np.dtype]] | None = None,
    ) -> dict[str, Features]:
        found: dict[str, Features] = {}
        for name, entry in entries.items():
            with explained(self.root, what):
                entry.sweep_leftovers()
                self.counts.written_bytes += entry.write(made[name], notes[name], types[name] if types else None)
            self._used.add(entry.key)
            content = entry.open()
            if content is None:
                raise StoreError(f"{entry.data} was written but does not read back. Is the disk at {self.root} sound?")
            found[name] = content
            if self.remote is not None:
                self.remote.push(entry)
        if self.max_bytes is not None:
            self._bound(self.max_bytes)
        return found

    def _bound(self, max_bytes: int) -> None:
        left = prune(self.root, max_bytes, keep=self._used).bytes_left
        if left > max_bytes:
            log.warning(
                "The store holds %.1f MB, over its bound of %.1f MB, all of it in use. Raise store.max_gb.",
                left / 1e6,
                max_bytes / 1e6,
            )

    def _note(self, name: str, spec: Mapping[str, Any], video: Video, digest: str) -> dict[str, Any]:
        """Return what the manifest says of the entry beside what every manifest says."""
        return {
            "output": name,
            "spec": dict(spec),
            "dtype": self.dtype,
            "video": {
                "id": video.id,
                "digest": digest,
                "decoder": video.source.decoder,
                "n_frames": video.n_frames,
            },
        }
