"""Score maps and masks of a dataset as a stream of frames, checked one by one, so that no video is held whole.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from vadbench.errors import DataError
from vadbench.evaluation.inputs import same_videos


class FrameArrays(Protocol):
    """An array ``(T, H, W)``, or anything with ``len()`` and ``[t] -> (H, W)`` that makes a frame when it is asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, frame: int) -> Any: ...


@dataclass(frozen=True)
class MapFrame:
    """One frame: its mask, and its score map, read when :meth:`scores` is first called."""

    video: str
    frame: int
    mask: np.ndarray
    source: FrameArrays

    def scores(self) -> np.ndarray:
        """``(H, W)`` finite, float32 or float64; DataError naming video and frame otherwise."""
        return self._scores

    @cached_property
    def _scores(self) -> np.ndarray:
        return score_frame(self.source, self.video, self.frame, self.mask.shape)


def map_frames(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays]
) -> Iterator[tuple[str, Iterator[MapFrame]]]:
    """(video, its frames in order) for each video; masks are True where they are above 0.

    A map is read only when its frame's ``scores()`` is called. DataError if videos or frame counts differ.
    """
    same_videos(maps_by_video, masks_by_video, ("score maps", "masks"))
    for video, maps in maps_by_video.items():
        masks = masks_by_video[video]
        if len(maps) != len(masks):
            raise DataError(f"Video {video!r} has {len(maps)} score maps, but {len(masks)} masks; one of each a frame.")
        yield video, (MapFrame(video, t, as_mask(masks[t], video, t), maps) for t in range(len(masks)))


def as_mask(mask: Any, video: str, frame: int) -> np.ndarray:
    """``bool (H, W)``: True where ``mask`` (bool, 0 and 1, or 0 and 255) is above 0."""
    array = np.asarray(mask)
    if array.ndim != 2:
        raise DataError(f"Video {video!r}, frame {frame}: the mask has shape {array.shape}; (H, W) is wanted.")
    return array if array.dtype == np.bool_ else array > 0


def score_frame(maps: FrameArrays, video: str, frame: int, size: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the checked score map of one frame: finite float32 or float64 ``(H, W)``, of the ``size`` of its mask."""
    values = np.asarray(maps[frame])
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f"Video {video!r}, frame {frame}: the score map has shape {values.shape} and type {values.dtype}; "
            "numbers (H, W) are wanted."
        )
    if values.dtype not in (np.float32, np.float64):
        # float16 fits in float32; integers of any width up to 2^53 fit in float64.
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    if not np.isfinite(values).all():
        y, x = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"Video {video!r}, frame {frame}: the score map is {values[y, x]} at row {y}, column {x}. "
            "Every pixel needs a finite score."
        )
    if size is not None and values.shape != size:
        raise DataError(
            f"Video {video!r}, frame {frame}: the score map has shape {values.shape}, the mask {size}. "
            "Bring the maps to the size of the masks (bilinear) before evaluation."
        )
    return values
