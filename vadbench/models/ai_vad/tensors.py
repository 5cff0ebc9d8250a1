"""Frames, boxes and regions as tensors in the documented layout, to and from the arrays that the stages work on.

Shape legend: N frames, M regions (of a frame or of all of them), H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.density.collecting import as_array
from vadbench.errors import DataError
from vadbench.models.ai_vad.regions.region_set import RegionSet, window

if TYPE_CHECKING:
    import torch


def is_tensor(value: Any) -> bool:
    """Return whether it is a tensor; torch is not imported to know."""
    return hasattr(value, "new_tensor")


def to_frames(batch: torch.Tensor) -> np.ndarray:
    """``uint8 (N, H, W, 3)`` of RGB frames ``(N, 3, H, W)``, floats in [0, 1] or bytes.

    Videos have 8 bits, so that a value is the nearest of 256.

    Raises
    ------
    DataError: another shape; values outside [0, 1], such as normalised ones.
    """
    frames = as_array(batch)
    if frames.ndim != 4 or frames.shape[1] != 3:
        raise DataError(f"frames of shape {tuple(frames.shape)}: (N, 3, H, W) is expected")
    frames = frames.transpose(0, 2, 3, 1)
    if frames.dtype == np.uint8:
        return frames
    if frames.size and not (frames.min() >= 0 and frames.max() <= 1):
        raise DataError(
            f"frames with values from {frames.min():g} to {frames.max():g}: RGB in [0, 1] is expected, not normalised"
        )
    return np.round(frames * 255).astype(np.uint8)


def to_boxes(boxes: Any, n_frames: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the boxes ``float32 (M_i, 4)`` of each of N frames.

    ``boxes``: one ``(M_i, 4)`` for each frame, or all in one ``(M, 5)`` whose first column is the number of the frame.
    Also returned: ``int (M,)``, the row of ``boxes`` that each of them was.

    Raises
    ------
    DataError: another shape, or a frame that there is not.
    """
    if isinstance(boxes, Sequence):
        parts = [as_array(part).astype(np.float32, copy=False) for part in boxes]
        return parts, np.arange(sum(map(len, parts)))
    rows = as_array(boxes)
    if rows.ndim != 2 or rows.shape[1] != 5:
        raise DataError(f"boxes of shape {rows.shape}: (M, 5) or one (M, 4) for each frame is expected")
    frame = rows[:, 0].astype(np.int64)
    if len(rows) and not (frame.min() >= 0 and frame.max() < n_frames):
        raise DataError(f"boxes of frames {frame.min()} to {frame.max()} in a batch of {n_frames}")
    order = np.argsort(frame, kind="stable")
    ends = np.searchsorted(frame[order], np.arange(1, n_frames))
    return np.split(rows[order, 1:].astype(np.float32), ends), order


def in_order(made: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows made for the boxes of :func:`to_boxes`, in the order in which these were given."""
    result = np.empty_like(made)
    result[order] = made
    return result


def region_dict(regions: RegionSet, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the regions of a frame as tensors on the device of ``batch (N, 3, H, W)``.

    Returns
    -------
    boxes ``float32 (M, 4)``; labels ``int64 (M,)``; scores ``float32 (M,)``; masks ``float32 (M, 1, H, W)``, 0 or 1.
    """
    import torch

    masks = np.zeros((len(regions), 1, *batch.shape[-2:]), np.float32)
    for plane, box, mask in zip(masks[:, 0], regions.boxes, regions.masks, strict=True):
        plane[window(box)] = 1 if mask is None else mask
    arrays = {"boxes": regions.boxes, "labels": regions.labels.astype(np.int64), "scores": regions.scores}
    return {name: torch.from_numpy(array).to(batch.device) for name, array in {**arrays, "masks": masks}.items()}
