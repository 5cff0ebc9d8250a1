"""The regions of one frame or of a whole video, and the compact arrays that they are stored as.

Shape legend: M regions of a frame, R regions of a video, H W pixels, K bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadbench.models.base import Features

# Corners are kept as whole multiples of 1/256 pixel: no storage precision can move a box, and what is computed from
# stored regions is what is computed from fresh ones.
STEPS_A_PIXEL = 256


@dataclass(frozen=True)
class RegionSet:
    """Regions of one frame.

    Attributes
    ----------
    boxes: ``float32 (M, 4)``, x1, y1, x2, y2 in pixels: left and top edge, right and bottom edge (exclusive).
    labels: ``int16 (M,)``, COCO category (1 is person), 0 for moving foreground of no known class.
    scores: ``float32 (M,)``, the detector's confidence; 0.5 for foreground.
    masks: for each region ``bool (h, w)`` over the pixels of :func:`window`, or None where all of it counts.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: tuple[np.ndarray | None, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def empty() -> RegionSet:
        """No regions."""
        return RegionSet(np.zeros((0, 4), np.float32), np.zeros(0, np.int16), np.zeros(0, np.float32), ())

    def take(self, keep: np.ndarray) -> RegionSet:
        """Return the regions chosen by a mask or by indices."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep.astype(np.int64)
        masks = tuple(self.masks[i] for i in index)
        return RegionSet(self.boxes[index], self.labels[index], self.scores[index], masks)


def join(parts: Sequence[RegionSet]) -> RegionSet:
    """All regions of ``parts``, in order."""
    return RegionSet(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.scores for p in parts]),
        tuple(mask for p in parts for mask in p.masks),
    )


def on_grid(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes ``float32 (M, 4)`` clipped to a frame of ``size`` (H, W), corners on the grid that is stored."""
    high = np.array([size[1], size[0], size[1], size[0]], dtype=np.float64)
    clipped = np.clip(np.asarray(boxes, np.float64).reshape(-1, 4), 0, high)
    return (np.round(clipped * STEPS_A_PIXEL) / STEPS_A_PIXEL).astype(np.float32)


def box_areas(boxes: np.ndarray, inclusive: bool = False) -> np.ndarray:
    """Areas ``(M,)`` of ``(M, 4)`` boxes x1, y1, x2, y2; ``inclusive`` counts both end pixels: one more on each side
    (official code)."""
    areas: np.ndarray = (boxes[:, 2] - boxes[:, 0] + inclusive) * (boxes[:, 3] - boxes[:, 1] + inclusive)
    return areas


def window(box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box ``(4,)`` touches."""
    x1, y1 = int(np.floor(box[0])), int(np.floor(box[1]))
    return slice(y1, int(np.ceil(box[3]))), slice(x1, int(np.ceil(box[2])))


def pack(frames: Sequence[int], sets: Sequence[RegionSet]) -> Features:
    """Return the regions of a video as arrays: ``sets[i]`` are those of frame ``frames[i]``, frames ascending.

    Returns
    -------
    frame ``int32 (R,)``; corners ``int32 (R, 4)`` in 1/256 pixel; labels ``int16 (R,)``; scores ``float32 (R,)``;
    mask_bits ``uint8 (K,)``, the masks one after the other, each packed to whole bytes; mask_ends ``int64 (R,)``, where
    in mask_bits the mask of a region ends (it begins where the one before ends; an empty one means the whole box).
    """
    regions = join([RegionSet.empty(), *sets])
    packed = [np.zeros(0, np.uint8) if mask is None else np.packbits(mask) for mask in regions.masks]
    return {
        "frame": np.repeat(np.asarray(frames, np.int32), [len(s) for s in sets]).astype(np.int32),
        "corners": np.round(regions.boxes.astype(np.float64) * STEPS_A_PIXEL).astype(np.int32),
        "labels": regions.labels.astype(np.int16),
        "scores": regions.scores.astype(np.float32),
        "mask_bits": np.concatenate([np.zeros(0, np.uint8), *packed]),
        "mask_ends": np.cumsum([len(p) for p in packed], dtype=np.int64),
    }


def unpack_boxes(regions: Features) -> np.ndarray:
    """Boxes ``float32 (R, 4)`` of packed regions, in pixels."""
    return np.asarray(regions["corners"]).astype(np.float32) / STEPS_A_PIXEL


def unpack_mask(regions: Features, region: int) -> np.ndarray | None:
    """Mask ``bool (h, w)`` over :func:`window` of one packed region; None if all of its box counts."""
    ends = regions["mask_ends"]
    start = int(ends[region - 1]) if region else 0
    stop = int(ends[region])
    if stop == start:
        return None
    rows, columns = window(np.asarray(regions["corners"][region]) / STEPS_A_PIXEL)
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    bits = np.unpackbits(np.asarray(regions["mask_bits"][start:stop]), count=shape[0] * shape[1])
    return bits.reshape(shape).astype(bool)
