"""Several streams of features, each with its own density estimate, summed after calibration.

Shape legend: N training samples, M samples to score, D feature size of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vadbench.density.base import BaseDensityEstimator, Remember
from vadbench.errors import ConfigError, nearest


class CombinedDensityEstimator:
    """Scores each stream by itself and adds up the calibrated scores.

    Parameters
    ----------
    estimators: stream name to estimator.
    in_sum: names of the streams that count in the total; None takes all. The official AI-VAD code computes deep
        features on ShanghaiTech and leaves them out of the sum.

    A sample whose vector of one stream is NaN has no such feature (a pose of what is not a person): it takes no part in
    that stream's fit, its score there is NaN and adds the calibrated minimum, 0, to its total.
    """

    def __init__(self, estimators: Mapping[str, BaseDensityEstimator], in_sum: Sequence[str] | None = None) -> None:
        if not estimators:
            raise ConfigError("No feature stream is on. Switch on at least one of velocity, pose and deep.")
        self.estimators = dict(estimators)
        self.in_sum = tuple(self.estimators) if in_sum is None else tuple(in_sum)
        for name in self.in_sum:
            if name not in self.estimators:
                raise ConfigError(f"The sum asks for stream {name!r}. {nearest(name, self.estimators)}")
        if not self.in_sum:
            raise ConfigError(f"The sum of streams is empty. Available: {', '.join(self.estimators)}.")

    def fit(self, features: Mapping[str, np.ndarray], groups: np.ndarray, remember: Remember | None = None) -> None:
        """Fit every stream: ``features`` stream name to ``(N, D)``, ``groups int (N,)``; see
        :meth:`vadbench.density.base.BaseDensityEstimator.fit`."""
        for name, estimator in self.estimators.items():
            present = _present(features[name])
            if present.all():
                estimator.fit(features[name], groups, remember)
            else:
                estimator.fit(features[name][present], groups[present], remember)

    def score(self, features: Mapping[str, np.ndarray], without: int | None = None) -> dict[str, np.ndarray]:
        """Stream name to calibrated scores ``float64 (M,)``, NaN where a sample has no such feature.

        ``without``: a group of training samples that is to count as never seen, because ``features`` are its own.
        """
        scores = {}
        for name, estimator in self.estimators.items():
            present = _present(features[name])
            scores[name] = np.full(len(present), np.nan)
            vectors = features[name][present]
            scores[name][present] = (
                estimator.score(vectors) if without is None else estimator.score_without(without, vectors)
            )
        return scores

    def total(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Sum over the streams that count, ``float64 (M,)``."""
        return np.sum([np.nan_to_num(scores[name], nan=0.0) for name in self.in_sum], axis=0)

    def summary(self) -> dict[str, Any]:
        """Stream name to what its fit found."""
        return {name: estimator.summary() for name, estimator in self.estimators.items()}


def _present(features: np.ndarray) -> np.ndarray:
    """``bool (n,)``: rows that are not NaN throughout."""
    return np.concatenate(
        [~np.isnan(features[i : i + (1 << 16)]).all(axis=1) for i in range(0, len(features), 1 << 16)]
        or [np.zeros(0, bool)]
    )
