"""What knows nothing of anomalies: scores that every method has to beat, from the labels of the videos.

Shape legend: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vadbench.models import baselines


def random_scores(labels_by_video: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Return the scores of ``model=random`` for each video, ``float64 (T,)``."""
    return {video: baselines.random_scores(str(video), len(y), seed) for video, y in labels_by_video.items()}


def position_scores(labels_by_video: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the scores of ``model=position`` for each video, ``float64 (T,)``."""
    return {video: baselines.position_scores(len(y)) for video, y in labels_by_video.items()}


def video_prior(labels_by_video: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the share of anomalous frames of the video, for each of its frames: an oracle, for it reads the test
    labels."""
    return {
        video: np.full(len(y), np.asarray(y, dtype=np.float64).mean() if len(y) else 0.0)
        for video, y in labels_by_video.items()
    }
