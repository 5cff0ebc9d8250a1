"""What a density estimate of one stream of feature vectors has to offer.

Shape legend: N training samples, M samples to score, D feature size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from vadbench.density.calibration import Calibration
from vadbench.errors import DataError

Remember = Callable[[str, Callable[[], dict[str, np.ndarray]]], dict[str, np.ndarray]]
"""``remember(name, make)``: what ``make()`` returns, now or at an earlier call under the same name."""


class BaseDensityEstimator(ABC):
    """Fits on samples that come in groups, scores samples: higher is less likely under the training data.

    A group is a set of samples that resemble each other for a reason that must not count (those of one video).
    """

    calibration: Calibration | None = None

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores."""
        return False

    @abstractmethod
    def fit(self, features: np.ndarray, groups: np.ndarray, remember: Remember | None = None) -> None:
        """Learn from ``features (N, D)`` with ``groups int (N,)`` and calibrate. Deterministic for a seed.

        A costly part may go through ``remember``, then and when scoring, under a name that says what it depends on.
        """

    @abstractmethod
    def raw(self, features: np.ndarray) -> np.ndarray:
        """Scores ``float64 (M,)`` of ``features (M, D)`` in the estimator's own unit."""

    def score(self, features: np.ndarray) -> np.ndarray:
        """Calibrated scores ``float64 (M,)``: 0 for the least anomalous training sample, about 1 for the most."""
        if self.calibration is None:
            raise RuntimeError("fit before you score")
        if len(features) == 0:
            return np.zeros(0)
        return self.calibration(self.raw(features))

    def score_without(self, group: int, features: np.ndarray) -> np.ndarray:
        """Calibrated scores of training samples of ``group`` as if that group had never been seen, where the estimator
        would recognise them otherwise; those of :meth:`score` where a few samples make no difference."""
        return self.score(features)

    def summary(self) -> dict[str, Any]:
        """What the fit found, JSON-able."""
        if self.calibration is None:
            return {}
        return {"low": self.calibration.low, "high": self.calibration.high}


def require_samples(features: np.ndarray, groups: np.ndarray, at_least: int, what: str) -> None:
    """DataError unless there are ``at_least`` finite samples ``(N, D)``, each with a group."""
    if features.ndim != 2 or len(features) != len(groups):
        raise ValueError(f"features {features.shape} and groups {groups.shape} don't go together")
    if len(features) < at_least:
        raise DataError(
            f"{what} needs at least {at_least} training samples and got {len(features)}. "
            "Are there regions in the training videos at all (detector, score threshold, minimum area)?"
        )
    for start in range(0, len(features), 1 << 16):  # in blocks: a bank may be most of the memory there is
        if not np.isfinite(features[start : start + (1 << 16)]).all():
            raise DataError(f"{what} got training features that are not finite")
