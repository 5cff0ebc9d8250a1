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


def from_lengths(labels_by_video: Mapping[str, Any], seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores of the baselines that look at no frame, by the name of the baseline and the video."""
    return {
        baselines.Random.name: random_scores(labels_by_video, seed),
        baselines.Position.name: position_scores(labels_by_video),
    }
