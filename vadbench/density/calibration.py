"""Bring scores of different units to one scale: 0 is the least and 1 (about) the most anomalous training sample.

AI-VAD sums streams whose raw scores have nothing in common (a log-likelihood, a distance), after mapping each by the
range that it takes on the training data.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from vadbench.errors import ConfigError, nearest

log = logging.getLogger(__name__)

RULES = ("max", "p99.9", "last_group")


@dataclass(frozen=True)
class Calibration:
    """The affine map (score - low) / (high - low); scores outside the training range leave [0, 1], nothing is clamped.

    Attributes
    ----------
    low: training score that becomes 0.
    high: training score that becomes 1.
    """

    low: float
    high: float

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated scores, ``float64``, same shape as ``raw``; NaN stays NaN."""
        span = self.high - self.low
        # Training scores that are all equal say nothing about the unit; it is left as it is.
        return (np.asarray(raw, dtype=np.float64) - self.low) / (span if span > 0 else 1.0)


def calibrate(raw: np.ndarray, rule: str = "max", groups: np.ndarray | None = None) -> Calibration:
    """Return the calibration that training scores ask for.

    Parameters
    ----------
    raw: ``(N,)`` scores of training samples, N >= 1.
    rule: what becomes 1. "max": the largest score (the AI-VAD paper); "p99.9": the 99.9th percentile (the official
        code, for velocity and pose); "last_group": the largest score in the last group only, which is what anomalib
        computes for its k-nearest-neighbour streams.
    groups: ``(N,)`` group of each sample, needed by "last_group": the largest number is the last, which is the video
        that was loaded last.
    """
    if rule not in RULES:
        raise ConfigError(f"Unknown calibration {rule!r}. {nearest(rule, RULES)}")
    raw = np.asarray(raw, dtype=np.float64)
    low = float(raw.min())
    if rule == "max":
        high = float(raw.max())
    elif rule == "p99.9":
        high = float(np.percentile(raw, 99.9))
    elif groups is None:
        raise ConfigError("calibration 'last_group' needs the group of every sample")
    else:
        high = max(low, float(raw[groups == groups.max()].max()))
    if not high > low:
        log.warning("All training scores used for calibration are %g: the scale of this stream is left as it is", low)
    return Calibration(low, high)
