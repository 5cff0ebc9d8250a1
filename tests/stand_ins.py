"""Tiny stand-ins for what is large in real runs: videos from arrays and a backbone of a few random filters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Video


def video(name: str, n_frames: int = 20, size: tuple[int, int] = (24, 32), seed: int = 0, **more: Any) -> Video:
    """A video of moving noise, its own for every name."""
    rng = np.random.default_rng([seed, *name.encode()])
    frames = rng.integers(0, 256, (n_frames, *size, 3), dtype=np.uint8)
    return Video(name, ArraySource(frames), **more)


class RandomFilters:
    """A backbone of random linear filters of 4x4 patches; every call and frame is counted."""

    def __init__(self, layers: tuple[str, ...] = ("one",), channels: int = 3, seed: int = 0) -> None:
        self.layers = layers
        self.channels = channels
        self.seed = seed
        self.needs_calibration = False
        self.frames_prepared = 0
        self.clips_seen = 0

    def spec(self, layer: str) -> dict[str, Any]:
        return {"name": "random_filters", "layer": layer, "channels": self.channels, "seed": self.seed}

    def weights_digest(self) -> str | None:
        return None

    def calibrate(self, clips: Iterable[np.ndarray]) -> None:
        raise AssertionError("nothing to calibrate")

    def per_frame(self, frame: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        self.frames_prepared += 1
        return frame.astype(np.float32) / 255

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        self.clips_seen += len(clips)
        return {layer: self.filtered(clips, layer) for layer in self.layers}

    def filtered(self, clips: np.ndarray, layer: str) -> np.ndarray:
        """``(N, C, T, H/4, W/4)``."""
        n, t, h, w, _ = clips.shape
        filters = np.random.default_rng([self.seed, *layer.encode()]).normal(size=(4 * 4 * 3, self.channels))
        patches = clips.reshape(n, t, h // 4, 4, w // 4, 4, 3).transpose(0, 1, 2, 4, 3, 5, 6)
        maps = np.maximum(patches.reshape(n, t, h // 4, w // 4, -1) @ filters, 0)
        return np.ascontiguousarray(maps.transpose(0, 4, 1, 2, 3), dtype=np.float32)
