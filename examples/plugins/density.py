"""A density: one Gaussian with a diagonal covariance.

python -m vadbench --plugin density.py --plugin model.py model=brightness density=diagonal dataset=synthetic
"""

from dataclasses import dataclass

import numpy as np

from vadbench import plugins


@dataclass
class DiagonalConfig:
    """A Gaussian whose dimensions are independent."""

    floor: float = 1e-6  # added to every variance


@plugins.density("diagonal", config=DiagonalConfig)
class Diagonal(plugins.BaseDensityEstimator):
    """Mean squared distance from the training mean, in standard deviations."""

    def __init__(self, config, seed):
        self.floor = config.floor

    def fit(self, features, groups, remember=None):
        """Learn mean and variance of ``features (N, D)``."""
        self.mean = features.mean(axis=0, dtype=np.float64)
        self.variance = features.var(axis=0, dtype=np.float64) + self.floor

    def raw(self, features):
        """Return ``float64 (M,)`` of ``features (M, D)``."""
        return (np.square(features - self.mean) / self.variance).mean(axis=1)
