"""Frames brought to another size: by area averages, by torchvision's antialiased triangles, or bilinearly.

Shape legend: H W pixels.
"""

from __future__ import annotations

import numpy as np

from vadbench.errors import ConfigError, nearest

METHODS = ("area_or_linear", "antialiased", "linear")


def resize(frame: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """``uint8 (H, W, C)`` resized to ``size`` = (H, W), each axis by itself, in grey levels of 0 to 255.

    Parameters
    ----------
    how: "area_or_linear" takes the average over the area of the new pixel along an axis that shrinks and interpolates
        linearly along one that grows; the result is ``uint8``. "antialiased" weighs pixels by a triangle that is as
        wide as two new pixels where an axis shrinks, as torchvision's ``resize(antialias=True)`` does on floats;
        "linear" interpolates between the nearest pixels whatever the size, as ``antialias=False`` does. Both give
        ``float32``.
    """
    import cv2

    if how == "antialiased":
        return _antialiased(frame, size)
    if how == "linear":
        return np.asarray(cv2.resize(frame.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))
    height, width = frame.shape[:2]
    if size[0] <= height and size[1] <= width:
        return np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA))
    if size[0] >= height and size[1] >= width:
        return np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR))
    # OpenCV's INTER_AREA is no average as soon as one side grows: the side that shrinks goes first, alone.
    smaller = (min(size[1], width), min(size[0], height))
    averaged = cv2.resize(frame.astype(np.float32), smaller, interpolation=cv2.INTER_AREA)
    return to_bytes(cv2.resize(averaged, size[::-1], interpolation=cv2.INTER_LINEAR))


def to_bytes(frame: np.ndarray) -> np.ndarray:
    """Grey levels rounded to ``uint8``."""
    return frame if frame.dtype == np.uint8 else np.rint(frame).clip(0, 255).astype(np.uint8)


def check_method(how: str) -> None:
    """ConfigError with the nearest choices for a method that does not exist."""
    if how not in METHODS:
        raise ConfigError(f"resize={how!r}: no such method. {nearest(how, METHODS)}")


def _antialiased(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)[None]
    resized = interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).contiguous().numpy()
