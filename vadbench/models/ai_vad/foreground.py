"""Moving blobs between two frames: what differs, outside boxes that are known already, as connected regions.

Shape legend: M boxes, H W pixels.
"""

from __future__ import annotations

import numpy as np

from vadbench.models.ai_vad.region_set import RegionSet, window

FOREGROUND_LABEL = 0
FOREGROUND_SCORE = 0.5  # what anomalib and the official code give to blobs, which have no detector's confidence

# Known boxes are grown by this much before what moves in them is ignored: an object's rim moves too.
_MARGIN = 2


def foreground_mask(
    first: np.ndarray, last: np.ndarray, kernel_size: int, threshold: int, per_channel: bool = False
) -> np.ndarray:
    """``bool (H, W)``: pixels that differ by more than ``threshold`` (0 to 255) after a Gaussian blur.

    ``first`` and ``last`` are ``uint8 (H, W, 3)`` RGB. The blur's sigma is OpenCV's for the kernel size. What differs
    is the grey level of the difference, or, ``per_channel``, any of the three channels.
    """
    import cv2

    kernel = (kernel_size, kernel_size)
    difference = cv2.absdiff(cv2.GaussianBlur(first, kernel, 0), cv2.GaussianBlur(last, kernel, 0))
    if per_channel:
        return difference.max(axis=2) > threshold
    return cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY) > threshold


def foreground_regions(
    first: np.ndarray,
    last: np.ndarray,
    known: np.ndarray,
    kernel_size: int,
    threshold: int,
    min_area: float,
    max_aspect: float | None = None,
    growth: int = 0,
    per_channel: bool = False,
) -> RegionSet:
    """Connected moving regions (8 neighbours) outside ``known`` boxes ``(M, 4)``.

    Parameters
    ----------
    min_area: box area in pixels that must be exceeded (before growing).
    max_aspect: longer over shorter side that a box must stay below.
    growth: pixels added on each side, within the frame.
    per_channel: see :func:`foreground_mask`.

    Boxes are tight: x2 and y2 are one past the last moving pixel. A mask holds the moving pixels of its region.
    """
    import cv2

    mask = foreground_mask(first, last, kernel_size, threshold, per_channel)
    height, width = mask.shape
    for x1, y1, x2, y2 in np.asarray(known, dtype=np.float64):
        rows = slice(max(0, int(np.floor(y1)) - _MARGIN), int(np.ceil(y2)) + _MARGIN)
        mask[rows, max(0, int(np.floor(x1)) - _MARGIN) : int(np.ceil(x2)) + _MARGIN] = False
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    left, top, wide, high = stats[1:, :4].T  # row 0 is the background
    keep = wide * high > min_area
    if max_aspect is not None:
        keep &= np.maximum(wide, high) < max_aspect * np.minimum(wide, high)
    boxes = np.stack([left, top, left + wide, top + high], axis=1)[keep]
    boxes[:, :2] = np.maximum(boxes[:, :2] - growth, 0)
    boxes[:, 2:] = np.minimum(boxes[:, 2:] + growth, [width, height])
    masks = tuple(numbers[window(box)] == number for box, number in zip(boxes, np.flatnonzero(keep) + 1, strict=True))
    return RegionSet(
        boxes.astype(np.float32),
        np.full(len(boxes), FOREGROUND_LABEL, np.int16),
        np.full(len(boxes), FOREGROUND_SCORE, np.float32),
        masks,
    )
