"""Small clips for tests, and writers of every form in which a clip can lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest


def moving_clip(frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """``uint8 (T, H, W, 3)``: blurred noise that slides, a bright box that crosses it; every frame differs."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ground = cv2.GaussianBlur(noise, (0, 0), 2)
    clip = np.stack([np.roll(ground, 2 * t, axis=1) for t in range(frames)])
    for t in range(frames):
        left = 3 * t % (width - 10)
        clip[t, height // 4 : height // 2, left : left + 10] = 255 - t % 200
    return clip


def write_video(
    path: Path,
    frames: np.ndarray,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    stamps: list[int] | None = None,
    rotation: int | None = None,
) -> Path:
    """Encode ``frames`` with PyAV. ``stamps``: presentation stamps in 1/25 s, for a variable frame rate."""
    import av

    source = {3: {1: "gray", 3: "rgb24", 4: "rgba"}}.get(frames.ndim - 1, {}).get(frames.shape[-1], "gray")
    if frames.dtype == np.uint16:
        source = "gray16le"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if rotation is not None:
            if not hasattr(type(stream), "set_display_rotation"):
                pytest.skip("PyAV writes rotations from version 18 on")
            stream.set_display_rotation(rotation)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=source)
            picture.pts = number if stamps is None else stamps[number]
            for packet in stream.encode(picture):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_images(folder: Path, frames: np.ndarray, suffix: str = ".png", first: int = 0, digits: int = 3) -> Path:
    """One image a frame, named by its number; RGB or grey, 8 or 16 bits, or RGBA."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        pixels = cv2.cvtColor(frame, order[frame.shape[2]]) if frame.ndim == 3 else frame
        assert cv2.imwrite(str(folder / f"{number:0{digits}d}{suffix}"), pixels)
    return folder


def packets(path: Path) -> list[tuple[int, int]]:
    """Place in the file and size of every packet of the first video stream."""
    import av

    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def box_masks(frames: int, height: int, width: int, anomalous: range) -> np.ndarray:
    """``bool (T, H, W)``: a box in the frames of ``anomalous``, nothing elsewhere."""
    masks = np.zeros((frames, height, width), bool)
    for t in anomalous:
        masks[t, 2 + t % 5 : 9, 3:12] = True
    return masks
