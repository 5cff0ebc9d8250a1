"""F1 at a threshold that was chosen honestly, and, labelled as an oracle, the best F1 that any threshold reaches.

Shape legend: T frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vadbench.errors import ConfigError
from vadbench.evaluation.inputs import as_labels, as_scores
from vadbench.evaluation.metrics import ranks


def training_threshold(training_scores: Any, quantile: float = 0.995) -> float:
    """Return the smallest training score that at least ``quantile`` of the training scores do not exceed (no
    interpolation).

    ``training_scores (N,)``: scores of normal training frames. ``quantile`` in [0, 1]; 0.995 lets 1 in 200 normal
    frames exceed it if test frames are like training frames. Where the training frames built a memory that scores
    them, their scores are too low, so leave out each one's own video.
    """
    scores = as_scores(training_scores)
    if not 0 <= quantile <= 1:
        raise ConfigError(f"quantile={quantile} must lie in [0, 1]; 0.995 is the default.")
    if not scores.size:
        raise ConfigError("There are no training scores to take a quantile of.")
    return float(np.quantile(scores, quantile, method="inverted_cdf"))


def f1_at(scores: Any, labels: Any, threshold: float) -> float:
    """F1 = 2·TP / (2·TP + FP + FN) of the frames with score > ``threshold``, in [0, 1]; NaN for one class.

    Strictly above, so that a training maximum as threshold flags nothing that was seen in training.
    """
    values = as_scores(scores)
    truth = as_labels(labels, values.size)
    if truth.all() or not truth.any():
        return float("nan")
    flagged = values > threshold
    return float(2 * np.count_nonzero(flagged & truth) / (np.count_nonzero(flagged) + np.count_nonzero(truth)))


def oracle_f1(scores: Any, labels: Any) -> tuple[float, float]:
    """(best F1 over all thresholds, the score at and above which it flags). It reads the test labels: not a result."""
    values = as_scores(scores)
    return ranks.best_f1(ranks.rank_table(values, as_labels(labels, values.size)))
