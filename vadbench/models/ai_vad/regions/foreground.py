"""Moving blobs between two frames: what differs, outside boxes that are known already, as connected regions.

Shape legend: M boxes, H W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vadbench.models.ai_vad.regions.region_set import RegionSet, box_areas, window

if TYPE_CHECKING:
    import torch

FOREGROUND_LABEL = 0
FOREGROUND_SCORE = 0.5  # what anomalib and the official code give to blobs, which have no detector's confidence

# Known boxes are grown by this much before what moves in them is ignored: an object's rim moves too.
_MARGIN = 2


def foreground_mask(
    first: np.ndarray,
    last: np.ndarray,
    kernel_size: int,
    threshold: int,
    per_channel: bool = False,
    blur: str = "opencv",
) -> np.ndarray:
    """``bool (H, W)``: pixels that differ by more than ``threshold`` (0 to 255) after a Gaussian blur.

    ``first`` and ``last`` are ``uint8 (H, W, 3)`` RGB. What differs is the grey level of the difference, or,
    ``per_channel``, any of the three channels. ``blur``: "opencv": whole grey levels, kernels 1 2 1 and 1 4 6 4 1 for
    sizes 3 and 5; "torchvision": floats, sigma 0.15 times the size plus 0.35, its weights of the colours (anomalib).
    """
    import cv2

    if blur == "torchvision":
        return _torchvision_difference(first, last, kernel_size, per_channel).numpy() > np.float32(threshold / 255)
    kernel = (kernel_size, kernel_size)
    difference = cv2.absdiff(cv2.GaussianBlur(first, kernel, 0), cv2.GaussianBlur(last, kernel, 0))
    if per_channel:
        differs: np.ndarray = difference.max(axis=2) > threshold
        return differs
    return cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY) > threshold


def _torchvision_difference(first: np.ndarray, last: np.ndarray, kernel_size: int, per_channel: bool) -> torch.Tensor:
    """``float32 (H, W)``, 0 to 1: by how much the blurred frames differ."""
    import torch
    from torchvision.transforms.functional import gaussian_blur, rgb_to_grayscale

    frames = torch.from_numpy(np.stack([first, last])).permute(0, 3, 1, 2).float() / 255
    a, b = gaussian_blur(frames, [kernel_size, kernel_size])
    difference = (a - b).abs()
    grey: torch.Tensor = difference.amax(0) if per_channel else rgb_to_grayscale(difference)[0]
    return grey


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
    edges: str = "exclusive",
    blur: str = "opencv",
    inclusive_areas: bool = False,
) -> RegionSet:
    """Return connected moving regions (8 neighbours) outside ``known`` boxes ``(M, 4)``.

    Parameters
    ----------
    min_area: box area in pixels that must be exceeded (before growing).
    max_aspect: longer over shorter side that a box must stay below.
    growth: pixels added on each side, within the frame.
    per_channel, blur: see :func:`foreground_mask`.
    edges: "exclusive": x2 and y2 are one past the last moving pixel; "inclusive": they are the last moving pixel
        itself, and a known box covers the pixel in which it ends too (anomalib). An area, a crop and a mask then lack
        the last row and column.
    inclusive_areas: see :func:`vadbench.models.ai_vad.regions.region_set.box_areas`.

    Boxes are tight. A mask holds the moving pixels of its region.
    """
    import cv2

    mask = foreground_mask(first, last, kernel_size, threshold, per_channel, blur)
    height, width = mask.shape
    shift = int(edges == "inclusive")
    for x1, y1, x2, y2 in np.asarray(known, dtype=np.float64):
        # The pixel after the last that is covered: with a corner on a pixel's border, inclusive means one more.
        right, bottom = (np.floor([x2, y2]) + 1 if shift else np.ceil([x2, y2])).astype(int) + _MARGIN
        rows = slice(max(0, int(np.floor(y1)) - _MARGIN), bottom)
        mask[rows, max(0, int(np.floor(x1)) - _MARGIN) : right] = False
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    left, top, wide, high = stats[1:, :4].T  # row 0 is the background
    boxes = np.stack([left, top, left + wide - shift, top + high - shift], axis=1)
    keep = box_areas(boxes, inclusive_areas) > min_area
    if max_aspect is not None:
        keep &= np.maximum(wide, high) < max_aspect * np.minimum(wide, high)
    boxes = boxes[keep]
    boxes[:, :2] = np.maximum(boxes[:, :2] - growth, 0)
    boxes[:, 2:] = np.minimum(boxes[:, 2:] + growth, [width, height])
    masks = tuple(numbers[window(box)] == number for box, number in zip(boxes, np.flatnonzero(keep) + 1, strict=True))
    return RegionSet(
        boxes.astype(np.float32),
        np.full(len(boxes), FOREGROUND_LABEL, np.int16),
        np.full(len(boxes), FOREGROUND_SCORE, np.float32),
        masks,
    )
