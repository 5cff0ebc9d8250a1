"""The datasets by name, and what is done to all of them alike: selection, limits, faults, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from vadbench import registry
from vadbench.config.schema import DatasetConfig
from vadbench.data.alike import encodings, sizes
from vadbench.data.datasets.folder_layout import show_tree
from vadbench.data.datasets.known_labels import edited
from vadbench.data.labels.reconcile import reconcile, unsound
from vadbench.data.readers.fault_lines import STANDS_IN, fault_lines
from vadbench.data.readers.source import FirstFrames, Policy, Source, policy_of
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError, nearest

_COUNTED_AT_ONCE = 100  # video files whose packets are counted on every start
_READ_ON_LOAD = 1 << 30  # bytes of images whose headers are looked at on every start under the policy skip


def load_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset that ``config`` describes: videos selected, labels and masks of one length with their frames.

    Frames are not decoded. ``comparable`` is True only for the full official split with its official counts.

    Raises
    ------
    DataError: a root that is not the dataset, a selection that selects nothing, a fault under the policy ``error``.
    """
    policy = policy_of(config)
    dataset: Dataset = registry.get("dataset", config.name).make(config)
    dataset = replace(dataset, test=tuple(map(_with_mask_source, dataset.test)))
    warnings = list(dataset.warnings)
    differ = edited(dataset.name, {video.id: video.labels for video in dataset.test if video.labels is not None})
    if differ:
        shown = ", ".join(f"{clip}: {count}" for clip, count in list(differ.items())[:6])
        more = ", ..." if len(differ) > 6 else ""
        total = f"{sum(differ.values()):,} frames differ from the official labels"
        warnings.append(
            f"{dataset.label_source}: edited, {total} ({shown}{more}); not comparable with published numbers"
        )
        dataset = replace(dataset, label_source=f"{dataset.label_source} (edited: {total})")
    train = _settle(dataset.train, config.train_videos, "train_videos", config.max_frames, policy, warnings)
    test = _settle(dataset.test, config.test_videos, "test_videos", config.max_frames, policy, warnings)
    for split, videos in (("train", train), ("test", test)):
        if len({video.id for video in videos}) < len(videos):
            raise DataError(f"dataset.root={config.root}: two {split} videos have one name; rename one of them.")
    # Frames are cut off or videos left out; a choice of all of them is none.
    chosen = len(train) + len(test) < len(dataset.train) + len(dataset.test) or any(
        isinstance(video.source, FirstFrames) for video in (*train, *test)
    )
    if config.on_fault == "skip" and bytes_on_disk([*train, *test]) <= _READ_ON_LOAD:
        warnings += [line for video in [*train, *test] for line in unsound(video)]
    settled = replace(dataset, train=train, test=test)
    doubts = [*_missing_labels(config, dataset.label_source, test), *_mixed_sizes(settled)]
    unlike = encodings(settled)
    loaded = replace(
        settled,
        comparable=not chosen and not differ and _is_official(settled),
        warnings=(*warnings, *doubts, *unlike),
        # Videos of one's own may lack labels and differ in size; the official ones do not.
        remarks=(*dataset.remarks, *unlike, *(() if dataset.expected else doubts)),
    )
    object.__setattr__(loaded, "loaded_from", config)  # no argument, so that no changed copy inherits it
    return loaded


def _with_mask_source(video: Video) -> Video:
    """``video`` with masks that a plug-in gave as an array ``(T, H, W)`` as what all others are."""
    if not isinstance(video.masks, np.ndarray):
        return video
    from vadbench.data.readers.masks import StackMasks

    return replace(video, masks=StackMasks(video.masks))


def _mixed_sizes(dataset: Dataset) -> list[str]:
    found = sizes(dataset)
    return [f"frames differ in size: {found}"] if found else []


def _missing_labels(config: DatasetConfig, label_source: str, test: Sequence[Video]) -> list[str]:
    """Return a line where some test videos have no labels; an error where a masks root was given and nothing was in
    it."""
    bare = [video.id for video in test if video.labels is None]
    if config.masks_root and label_source == "none" and all(video.masks is None for video in test):
        raise DataError(
            f"dataset.masks_root={config.masks_root}: neither labels nor masks of {config.name} are in it or in "
            f"dataset.root. It holds:\n{show_tree(Path(config.masks_root).expanduser())}"
        )
    if not bare or len(bare) == len(test):
        return []
    shown = ", ".join(bare[:6]) + (", ..." if len(bare) > 6 else "")
    return [f"no labels for {len(bare)} of {len(test)} test videos, which are left out of the metrics: {shown}"]


def _settle(
    videos: Sequence[Video],
    wanted: list[str] | None,
    key: str,
    max_frames: int | None,
    policy: Policy,
    warnings: list[str],
) -> tuple[Video, ...]:
    """Return the selected videos, reconciled and cut to ``max_frames``; what was found on the way goes to
    ``warnings``."""
    settled = []
    for video in select(videos, wanted, key):
        whole = reconcile(video, policy, warnings)
        if whole is not None:
            settled.append(first_frames(whole, max_frames) if max_frames else whole)
    return tuple(settled)


def select(videos: Sequence[Video], wanted: list[str] | None, key: str) -> list[Video]:
    """Return the videos whose id equals or matches one of ``wanted`` (``1`` is ``01`` too); all of them for None."""
    if wanted is None:
        return list(videos)
    chosen: set[str] = set()
    for pattern in wanted:
        found = {video.id for video in videos if _matches(video.id, pattern)}
        if not found:
            raise DataError(f"dataset.{key}: {pattern!r} matches no video. {nearest(pattern, (v.id for v in videos))}")
        chosen |= found
    if not chosen:
        raise DataError(f"dataset.{key}=[] selects nothing; leave it null for all videos.")
    return [video for video in videos if video.id in chosen]


def _matches(video: str, pattern: str) -> bool:
    if pattern.isdigit() and video.isdigit():
        return int(pattern) == int(video)
    return fnmatchcase(video, pattern)


def first_frames(video: Video, count: int) -> Video:
    """``video`` cut to its first ``count`` frames, with labels, masks and tracks."""
    from vadbench.data.readers.masks import FirstMasks

    if video.n_frames <= count or not isinstance(video.source, Source):
        return video
    tracks = video.tracks
    return replace(
        video,
        source=FirstFrames(video.source, count),
        labels=None if video.labels is None else video.labels[:count],
        masks=None if video.masks is None else FirstMasks(video.masks, count, video.size),
        tracks=None if tracks is None else tracks[tracks["frame"] < count].reset_index(drop=True),
    )


def _is_official(dataset: Dataset) -> bool:
    """Return True if every count that needs no decoding is the official one; masks are not asked for."""
    found = counts(dataset)
    wanted = {key: n for key, n in dataset.expected.items() if key != "mask_videos"}
    return bool(wanted) and all(found.get(key, n) == n for key, n in wanted.items())


def counts(dataset: Dataset, deep: bool = False) -> dict[str, int]:
    """Return what was loaded, under the names of ``Dataset.expected``.

    ``train_frames`` is left out where counting them means reading more than a hundred video files, unless ``deep``.
    """
    found = {
        "train_videos": len(dataset.train),
        "test_videos": len(dataset.test),
        "test_frames": sum(video.n_frames for video in dataset.test),
        "anomalous_frames": sum(int(video.labels.sum()) for video in dataset.test if video.labels is not None),
        "mask_videos": sum(video.masks is not None for video in dataset.test),
    }
    if deep or sum(hasattr(video.source, "path") for video in dataset.train) <= _COUNTED_AT_ONCE:
        found["train_frames"] = sum(video.n_frames for video in dataset.train)
    return found


def bytes_on_disk(videos: Sequence[Video]) -> int:
    """Bytes of all frames' files; those of a folder of images by its first file."""
    total = 0
    for video in videos:
        path, files = getattr(video.source, "path", None), getattr(video.source, "files", None)
        if path is not None:
            total += path.stat().st_size
        elif files and files[0] is not None:
            total += files[0].stat().st_size * len(files)
    return total


def faults(dataset: Dataset) -> tuple[str, ...]:
    """Frames that were damaged and are stood in for by their neighbours, as far as they have been decoded."""
    found = []
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        for video in videos:
            found += [f"{split} {video.id}: {line}" for line in fault_lines(getattr(video.source, "faults", {}))]
    return tuple(found)


def all_warnings(dataset: Dataset) -> tuple[str, ...]:
    """Return the warnings of ``dataset`` and what was found since it was loaded, each once."""
    new = [line for line in faults(dataset) if f"{line.split(': ', 1)[1]}; {STANDS_IN}" not in dataset.warnings]
    return (*dataset.warnings, *new)


def dataset_digest(dataset: Dataset) -> str:
    """24 hex digits over the videos' ids and the bytes of their frames; where the folder is plays no part."""
    total = hashlib.sha256()
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        for video in videos:
            total.update(f"{split}\0{video.id}\0{video.source.digest()}\n".encode())
    return total.hexdigest()[:24]


def label_digest(dataset: Dataset) -> str:
    """24 hex digits over the test videos' ids, labels, masks and tracks."""
    from vadbench.data.readers.masks import mask_digest

    total = hashlib.sha256()
    for video in dataset.test:
        total.update(f"{video.id}\0{video.n_frames}\0".encode())
        total.update(b"no labels" if video.labels is None else video.labels.astype("u1").tobytes())
        total.update(b"no masks" if video.masks is None else mask_digest(video.masks).encode())
        if video.tracks is not None:
            total.update(video.tracks.to_csv(index=False).encode())
    return total.hexdigest()[:24]
