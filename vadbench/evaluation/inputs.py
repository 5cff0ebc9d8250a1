"""What every metric refuses: scores that are not finite, labels that are not binary, videos that do not match.

Shape legend: T frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vadbench.errors import DataError, nearest


def as_scores(scores: Any, video: str | None = None) -> np.ndarray:
    """``float64 (T,)`` copy-free view of ``scores``; DataError naming video and frame if one is not finite."""
    array = np.asarray(scores)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise DataError(
            f"Scores{_of(video)} have shape {array.shape} and type {array.dtype}; "
            "one number a frame, shape (T,), is wanted."
        )
    values = array.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"Score{_of(video)} at frame {bad[0]} is {values[bad[0]]} ({bad.size} of {values.size} are not finite). "
            "Every frame needs a finite score; fill or drop these frames before evaluation."
        )
    return values


def as_labels(labels: Any, n_frames: int, video: str | None = None) -> np.ndarray:
    """``bool (T,)`` from booleans or from numbers that are all 0 or 1; DataError otherwise or if T differs."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.shape[0] != n_frames:
        raise DataError(f"Labels{_of(video)} have shape {array.shape}, but there are {n_frames} scores; one a frame.")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise DataError(f"Labels{_of(video)} have type {array.dtype}; booleans or 0 and 1 are wanted.")
    wrong = np.flatnonzero((array != 0) & (array != 1))
    if wrong.size:
        raise DataError(
            f"Label{_of(video)} at frame {wrong[0]} is {array[wrong[0]]}; only 0 (normal) and 1 (anomalous)."
        )
    return array.astype(np.bool_)


def same_videos(first: Mapping[str, Any], second: Mapping[str, Any], names: tuple[str, str]) -> None:
    """DataError unless both mappings have the same video ids; it names one that is missing and the nearest there is."""
    for here, there, other in ((first, second, names[1]), (second, first, names[0])):
        missing = [video for video in here if video not in there]
        if missing:
            raise DataError(
                f"Video {missing[0]!r} has no {other} ({len(missing)} of {len(here)} videos have none). "
                + nearest(str(missing[0]), [str(video) for video in there])
            )


def each_video(
    scores_by_video: Mapping[str, Any], labels_by_video: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield checked (video, scores ``float64 (T,)``, labels ``bool (T,)``) in the order of ``scores_by_video``."""
    same_videos(scores_by_video, labels_by_video, ("scores", "labels"))
    for video, values in scores_by_video.items():
        scores = as_scores(values, video)
        yield video, scores, as_labels(labels_by_video[video], scores.size, video)


def _of(video: str | None) -> str:
    return "" if video is None else f" of video {video!r}"


def frame_label_digest(labels_by_video: Mapping[str, Any]) -> str:
    """Sha256 (hex) of video ids, lengths and labels ``bool (T,)``, in the order of the ids."""
    found = hashlib.sha256()
    for video in sorted(labels_by_video, key=str):
        labels = np.asarray(labels_by_video[video]).astype(np.bool_)
        found.update(f"{video}\0{labels.size}\0".encode())
        found.update(np.packbits(labels).tobytes())
    return found.hexdigest()
