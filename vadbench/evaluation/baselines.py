"""What knows nothing of anomalies: scores that every method has to beat.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def random_scores(labels_by_video: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Uniform ``float64 (T,)`` for each video; its numbers depend on the seed and its id, not on its neighbours."""
    return {video: _generator(video, seed).random(len(y)) for video, y in labels_by_video.items()}


def position_in_clip(labels_by_video: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """(t + 1) / T for frame t from 0: good where anomalies come late in their clips (Ped2 0.750 micro AUROC)."""
    return {video: np.arange(1, len(y) + 1, dtype=np.float64) / max(len(y), 1) for video, y in labels_by_video.items()}


def video_prior(labels_by_video: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The share of anomalous frames of the video, for each of its frames: an oracle, for it reads the test labels."""
    return {
        video: np.full(len(y), np.asarray(y, dtype=np.float64).mean() if len(y) else 0.0)
        for video, y in labels_by_video.items()
    }


def frame_difference(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Mean absolute difference of grey values to the frame before: ``float64 (T,)`` from frames ``uint8 (H, W, 3)``.

    The first frame has none before it and gets the value of the second (0 in a video of one frame). Two frames are
    held at a time.
    """
    energy: list[float] = []
    previous: np.ndarray | None = None
    for frame in frames:
        grey = np.asarray(frame).astype(np.int32)
        grey = grey.sum(axis=2) if grey.ndim == 3 else grey * 3
        energy.append(0.0 if previous is None else float(np.abs(grey - previous).mean()) / 3)
        previous = grey
    if len(energy) > 1:
        energy[0] = energy[1]
    return np.array(energy, dtype=np.float64)


def _generator(video: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(str(video).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
