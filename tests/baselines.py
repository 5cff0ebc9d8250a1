"""The baselines by name, and the scores of those that look at no frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vadbench.evaluation.baselines import from_lengths
from vadbench.models.baselines import Baseline

BASELINES = {baseline.name: baseline for baseline in Baseline.__subclasses__()}


def random_scores(labels_by_video: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Scores of ``model=random`` by video."""
    return from_lengths(labels_by_video, seed)["random"]


def position_scores(labels_by_video: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Scores of ``model=position`` by video."""
    return from_lengths(labels_by_video)["position"]
