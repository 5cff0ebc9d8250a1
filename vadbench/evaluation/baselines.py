"""What knows nothing of anomalies: scores that every method has to beat, from the lengths of the videos.

Shape legend: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vadbench.models.baselines import Position, Random, position_scores, random_scores


def from_lengths(labels_by_video: Mapping[str, Any], seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores, ``float64 (T,)`` by video, of each baseline that looks at no frame."""
    return {
        Random.name: {video: random_scores(str(video), len(y), seed) for video, y in labels_by_video.items()},
        Position.name: {video: position_scores(len(y)) for video, y in labels_by_video.items()},
    }
