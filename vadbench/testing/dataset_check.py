"""Conformance of datasets: frames, labels and masks are what the videos say, at every pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import zip_longest

import numpy as np

from vadbench.config.compose import compose
from vadbench.config.schema import DatasetConfig
from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.errors import VadbenchError
from vadbench.testing.require import require, require_same, run_checks
from vadbench.testing.variants import part_variants


def check_dataset(name: str, *overrides: str, fixed: Collection[str] = ()) -> list[str]:
    """Return what holds of a registered dataset. Every frame of what is loaded is decoded twice.

    Nonconformance where it does not: as many frames as the video says, ``uint8 (H, W, 3)`` of its size, the same at
    every pass and when it is loaded again; labels and masks for every frame that agree; no anomalous training frame;
    and a digest that changes with the frames.

    Parameters
    ----------
    overrides: such as ``"dataset.root=/data/mine"``, as on the command line.
    fixed: keys such as ``"dataset.root"`` that are not varied.
    """
    config = compose(["model=random", f"dataset={name}", *overrides]).dataset
    return run_checks(f"dataset {name!r}", lambda: _checks(config, fixed))


def _checks(config: DatasetConfig, fixed: Collection[str]) -> Iterable[str]:
    data = load_dataset(config)
    require(data.train, "has no training videos")
    require(data.test, "has no test videos")
    again = load_dataset(config)
    for split, (first, other) in _pairs(data, again):
        require(first.id == other.id, f"is not deterministic: loaded again, it has other {split} videos")
        _check_frames(split, first, other)
    yield "every frame as the video says: number, size, uint8"
    yield "two passes, and two loads, that are equal to the bit"
    for video in data.train:
        anomalous = video.labels is not None and bool(np.any(video.labels))
        require(not anomalous, f"training video {video.id!r} has frames that are labelled anomalous")
    for _, (first, other) in _pairs(_without_training(data), _without_training(again)):
        _check_truth(first, other)
    yield "labels and masks that agree in every frame"
    for key, changed in part_variants(config):
        if f"dataset.{key}" not in fixed:
            _check_key(key, changed, data)
    yield "no key that changes frames and not their digest"


def _without_training(data: Dataset) -> Dataset:
    """Return ``data`` without training videos, which have no ground truth."""
    return Dataset(data.name, (), data.test)


def _pairs(data: Dataset, again: Dataset) -> Iterable[tuple[str, tuple[Video, Video]]]:
    for split in ("train", "test"):
        first, other = getattr(data, split), getattr(again, split)
        require(len(first) == len(other), f"is not deterministic: loaded again, it has other {split} videos")
        yield from ((split, pair) for pair in zip(first, other, strict=True))


def _check_frames(split: str, video: Video, again: Video) -> None:
    """Three passes side by side: two of one video, one of the video that was loaded again."""
    whose, count = f"{split} video {video.id!r}", 0
    for count, (frame, *others) in enumerate(zip_longest(video.frames(), video.frames(), again.frames()), 1):
        require(frame is not None, f"{whose}: a second pass yields more frames than the first")
        size = (*video.size, 3)
        said = f"{whose}: frame {count - 1} is {frame.dtype} {frame.shape} and not uint8 {size}"
        require(frame.dtype == np.uint8 and frame.shape == size, said)
        for other in others:
            require(other is not None, f"{whose}: a second pass yields fewer frames than the first")
            require_same(frame, other, f"{whose}: two passes differ in frame {count - 1}")
    require(count == video.n_frames, f"{whose}: {count} frames came, and n_frames says {video.n_frames}")
    require(video.source.digest() == again.source.digest(), f"{whose}: its digest is another one when loaded again")


def _check_truth(video: Video, again: Video) -> None:
    whose, shape = f"test video {video.id!r}", (video.n_frames,)
    labels, masks = video.labels, video.masks
    if labels is not None:
        require(labels.shape == shape, f"{whose}: {labels.shape} labels for {video.n_frames} frames")
        require(labels.dtype == bool, f"{whose}: its labels are {labels.dtype} and not bool")
        require_same(labels, again.labels, f"{whose}: its labels are others when it is loaded again")
    if masks is not None:
        require(len(masks) == video.n_frames, f"{whose}: {len(masks)} masks for {video.n_frames} frames")
        for frame in range(video.n_frames):
            mask = np.asarray(masks[frame])
            said = f"{whose}: the mask of frame {frame} is {mask.dtype} {mask.shape} and not bool {video.size}"
            require(mask.dtype == bool and mask.shape == video.size, said)
            if labels is not None:
                kinds = ("normal", "anomalous")
                said = f"{kinds[bool(mask.any())]} by its mask and {kinds[bool(labels[frame])]} by its label"
                require(mask.any() == labels[frame], f"{whose}: masks contradict labels, frame {frame} is {said}")
    if video.tracks is not None:
        inside = video.tracks["frame"].between(0, video.n_frames - 1).all()
        require(inside, f"{whose}: its tracks are in frames that it does not have")


def _check_key(key: str, changed: DatasetConfig, data: Dataset) -> None:
    """Videos of another configuration that have the same digest have the same frames."""
    try:
        other = load_dataset(changed)
    except VadbenchError:
        return  # a value that the key can't have beside the others
    for split in ("train", "test"):
        known = {video.id: video for video in getattr(data, split)}
        for video in getattr(other, split)[:2]:
            first = known.get(video.id)
            if first is None or _stored_under(first) != _stored_under(video):
                continue
            fault = f"the key {key} changes frames of {split} video {video.id!r} but not the digest of its source"
            for one, two in zip_longest(first.frames(), video.frames()):
                require(one is not None and two is not None, fault)
                require_same(one, two, fault)


def _stored_under(video: Video) -> tuple[str, str]:
    return video.source.digest(), video.source.decoder
