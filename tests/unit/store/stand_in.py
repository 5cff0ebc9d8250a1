"""Small extractors and videos that stand in for real ones, and say what was asked of them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.data.video import Video
from vadbench.models.base import Features


class ArraySource:
    """Frames from an array."""

    decoder = "array-1"

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    @property
    def n_frames(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> tuple[int, int]:
        return self._frames.shape[1:3]

    def digest(self) -> str:
        return hashlib.sha256(self._frames.tobytes()).hexdigest()

    def frames(self) -> Iterator[np.ndarray]:
        yield from self._frames


def video(seed: int = 0, name: str = "01", n_frames: int = 6) -> Video:
    """A video of noise."""
    rng = np.random.default_rng(seed)
    return Video(name, ArraySource(rng.integers(0, 256, (n_frames, 8, 10, 3), dtype=np.uint8)))


class Rows:
    """Each output is the frames times a gain; every call leaves a line in ``diary``."""

    def __init__(
        self,
        gains: Mapping[str, float] | None = None,
        diary: Path | None = None,
        seconds: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        self.gains = dict(gains or {"a": 1.0})
        self.diary = diary
        self.seconds = seconds
        self.dtype = dtype
        self.calls: list[list[str]] = []

    def prepare(self, train: Sequence[Video]) -> None:
        pass

    def outputs(self) -> dict[str, dict[str, Any]]:
        return {name: {"extractor": "rows", "gain": gain} for name, gain in self.gains.items()}

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        self.calls.append(sorted(wanted))
        if self.diary is not None:
            with self.diary.open("a") as file:
                file.write(f"{os.getpid()} {video.id} {','.join(sorted(wanted))}\n")
        time.sleep(self.seconds)
        frames = np.stack(list(video.frames())).astype(self.dtype)
        return {
            name: {"features": frames * np.dtype(self.dtype).type(self.gains[name]), "starts": np.arange(len(frames))}
            for name in wanted
        }
