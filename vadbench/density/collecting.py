"""The documented interface of density classes: `update` with samples as they come, `fit()` on all of them, `predict`.

An adapter on the classes that have it, beside the contract of :mod:`vadbench.density.base`, which does not ask for it.

Shape legend: N training samples, M samples to score, D feature size.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from vadbench.density.base import BaseDensityEstimator, Remember
from vadbench.errors import DataError

if TYPE_CHECKING:
    import torch

Samples = TypeVar("Samples", np.ndarray, "torch.Tensor")
"""Tensors are answered with tensors, arrays with arrays."""


class CollectingEstimator(BaseDensityEstimator):
    """A density that also collects its training samples itself.

    Features are arrays or tensors ``(N, D)``; scores come back as the same kind, a tensor on the same device.
    """

    def __init__(self) -> None:
        self._collected: dict[str, list[np.ndarray]] = {}
        self._group_names: list[str] = []

    def update(self, features: np.ndarray | torch.Tensor, group: str | None = None) -> None:
        """Keep training samples ``(N, D)`` of a ``group`` (a video) for :meth:`fit`; None: of a group "default"."""
        samples = as_array(features)
        if samples.ndim != 2:
            raise DataError(f"update takes features (N, D) and got {samples.shape}")
        self._collected.setdefault(group or "default", []).append(samples)

    @abstractmethod
    def fit(
        self, features: np.ndarray | None = None, groups: np.ndarray | None = None, remember: Remember | None = None
    ) -> None:
        """As in the contract; without arguments learn from what :meth:`update` collected."""

    @abstractmethod
    def predict(self, features: Samples) -> Samples:
        """Calibrated scores ``(M,)`` of ``features (M, D)``; higher is less likely under the training data."""

    def __call__(self, features: Samples) -> Samples:
        """As :meth:`predict`."""
        return self.predict(features)

    def training_samples(self, features: np.ndarray | None, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return what was given to :meth:`fit`; else what was collected, groups numbered as they came, and drop it."""
        if features is not None and groups is not None:
            self._group_names = []
            return features, groups
        if not self._collected:
            raise DataError(
                "fit() has nothing to learn from: call update(features, group) with training samples before"
            )
        counts = [sum(map(len, parts)) for parts in self._collected.values()]
        self._group_names = list(self._collected)
        samples = np.concatenate([part for parts in self._collected.values() for part in parts])
        self._collected = {}
        return samples, np.repeat(np.arange(len(counts)), counts)


def as_array(features: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return an array of an array or a tensor."""
    return np.asarray(features.detach().cpu().numpy() if hasattr(features, "detach") else features)


def as_given(values: np.ndarray, given: Samples) -> Samples:
    """``values`` as a tensor of the type and on the device of ``given`` if that is one; else as they are."""
    return cast(Samples, given.new_tensor(values) if hasattr(given, "new_tensor") else values)
