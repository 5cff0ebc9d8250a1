"""The contract of a density: fit on feature vectors, score feature vectors.

A density of one's own writes ``fit`` and ``raw``; everything else follows from them, and is overridden where something
cheaper is equal.

Shape legend: N training samples, M samples to score, D feature size, L locations, C t h w feature map.
"""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vadbench.density.calibration import Calibration, calibrate
from vadbench.density.state import State, joined, of_attributes, part, set_attributes
from vadbench.errors import DataError

log = logging.getLogger(__name__)

Remember = Callable[[str, Callable[[], dict[str, np.ndarray]]], dict[str, np.ndarray]]
"""``remember(name, make)``: what ``make()`` returns, now or at an earlier call under the same name."""


class BaseDensityEstimator(ABC):
    """Fits on samples that come in groups, scores samples: higher is less likely under the training data.

    A group is a set of samples that resemble each other for a reason that must not count (those of one video). A
    subclass need not call ``super().__init__()``.

    Attributes
    ----------
    calibration: set by :meth:`calibrate`, or by a ``fit`` that knows better.
    rule: how :meth:`calibrate` does it, see :func:`vadbench.density.calibration.calibrate`.
    device: "cpu", "auto" or a CUDA device, set before the fit; it changes no result beyond rounding.
    result_version: raised when scores change at the same settings and samples. result_note: what changed then.
    """

    calibration: Calibration | None = None
    rule: str = "max"
    device: str = "cpu"
    result_version: int = 1
    result_note: str = ""
    _blank: BaseDensityEstimator | None = None  # a copy from before the fit
    _refit: Callable[[int], BaseDensityEstimator] | None = None  # a fit without one group
    _cells: Sequence[BaseDensityEstimator] = ()

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores."""
        return False

    @abstractmethod
    def fit(self, features: np.ndarray, groups: np.ndarray, remember: Remember | None = None) -> None:
        """Learn from ``features (N, D)`` with ``groups int (N,)``. Deterministic for a seed.

        A costly part may go through ``remember``, then and when scoring, see :meth:`fit_spec`.
        """

    @abstractmethod
    def raw(self, features: np.ndarray) -> np.ndarray:
        """Return scores ``float64 (M,)`` of ``features (M, D)`` in the estimator's own unit."""

    def fit_spec(self) -> dict[str, Any] | None:
        """Return what the memoized parts of a fit depend on beside the features, JSON-able; empty where their names
        say it all, digests of the features included; None where nothing is memoized, as here."""
        return None

    def fit_parts(self, parts: Sequence[np.ndarray], groups: np.ndarray, remember: Remember | None = None) -> None:
        """Fit as :meth:`fit`, on ``parts (n_i, D)`` that together are the features; here they are joined in memory."""
        self.fit(parts[0] if len(parts) == 1 else np.concatenate(parts), groups, remember)

    def learn(self, parts: Sequence[np.ndarray], groups: np.ndarray, remember: Remember | None = None) -> None:
        """Fit on ``parts (n_i, D)`` with ``groups int (N,)``, so that a group can be left out later."""
        self.calibration = None
        if type(self).raw_without is BaseDensityEstimator.raw_without:
            blank = self._unfitted()

            def refit(group: int) -> BaseDensityEstimator:
                features, kept = np.concatenate(parts), groups != group
                if not kept.any():
                    log.warning("There is one group of training samples only: their own scores are those of the fit")
                    return self
                again = blank._unfitted()
                again.fit(features[kept], groups[kept])
                return again

            self._refit = refit
        self.fit_parts(parts, groups, remember if self.fit_spec() is not None else None)

    def calibrate(self, features: np.ndarray, groups: np.ndarray) -> None:
        """Set the calibration by the raw scores of the training samples, unless the fit has set one."""
        if self.calibration is None:
            self.calibration = calibrate(self.raw(features), self.rule, groups)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated scores ``float64 (M,)``: 0 for the least anomalous training sample, about 1 for the
        most."""
        if self.calibration is None:
            raise RuntimeError("fit before you score")
        return self.calibration(self.raw(features)) if len(features) else np.zeros(0)

    def raw_without(self, group: int, features: np.ndarray, remember: Remember | None = None) -> np.ndarray:
        """Return raw scores ``float64 (M,)`` of the training samples of ``group``, as :meth:`learn` was given them, as
        if that group had never been seen: here by a fit without it. The only group has nothing else to fit on.

        ``remember``: for an estimator that scores through it.
        """
        if self._refit is None:
            raise RuntimeError("learn before you leave a group out")
        return self._refit(group).raw(features)

    def score_without(self, group: int, features: np.ndarray) -> np.ndarray:
        """Return calibrated scores ``float64 (M,)`` of training samples of ``group``, see :meth:`raw_without`."""
        if self.calibration is None:
            raise RuntimeError("fit before you score")
        return self.calibration(self.raw_without(group, features)) if len(features) else np.zeros(0)

    def location_energy(
        self, features: np.ndarray, shape: tuple[int, ...], remember: Remember | None = None
    ) -> np.ndarray | None:
        """Return what each location of a feature map adds to the raw score: ``float64 (M, h, w)`` of ``features
        (M, D)``, which are flattened maps of ``shape`` (C, t, h, w); None, as here, where that can't be said."""
        return None

    @property
    def has_location_energy(self) -> bool:
        """Whether :meth:`location_energy` says something."""
        return type(self).location_energy is not BaseDensityEstimator.location_energy

    def fit_cells(self, cells: np.ndarray, groups: np.ndarray, remember: Remember | None = None) -> None:
        """Fit one density for each location: ``cells (L, N, D)``, ``groups int (N,)``; here one after the other."""
        blank = self._unfitted()
        self._cells = [blank._unfitted() for _ in cells]
        for number, (cell, features) in enumerate(zip(self._cells, cells, strict=True)):
            cell.learn([features], groups, prefixed(remember, f"cell {number} "))

    def raw_cells(self, cells: np.ndarray) -> np.ndarray:
        """Return raw scores ``float64 (L, M)`` of ``cells (L, M, D)`` after :meth:`fit_cells`."""
        return np.stack([cell.raw(features) for cell, features in zip(self._cells, cells, strict=True)])

    def raw_cells_without(self, group: int, cells: np.ndarray) -> np.ndarray:
        """Return raw scores ``float64 (L, M)`` of training samples of ``group`` as if it had never been seen."""
        pairs = zip(self._cells, cells, strict=True)
        return np.stack([cell.raw_without(group, features) for cell, features in pairs])

    def summary(self) -> dict[str, Any]:
        """Return what the fit found, JSON-able."""
        if self.calibration is None:
            return {}
        return {"low": self.calibration.low, "high": self.calibration.high}

    def state(self) -> State:
        """Return the fit: enough for :meth:`load_state` to score new samples to the bit, not to leave out a group."""
        found = self._own_state()
        scale = None if self.calibration is None else [self.calibration.low, self.calibration.high]
        cells = joined({str(number): cell.state() for number, cell in enumerate(self._cells)})
        return joined({"own": found, "cells": cells, "calibration": State({}, {"range": scale})})

    def load_state(self, state: State) -> None:
        """Take over the fit of an estimator with the same settings."""
        self._load_own_state(part(state, "own"))
        scale = part(state, "calibration").values["range"]
        self.calibration = None if scale is None else Calibration(*scale)
        cells = part(state, "cells")
        blank = self._unfitted()
        self._cells = [blank._unfitted() for _ in cells.values]
        for number, cell in enumerate(self._cells):
            cell.load_state(part(cells, str(number)))

    def _own_state(self) -> State:
        """Return the state of this very density; here its attributes, which must be arrays and JSON-able values."""
        return of_attributes(self, _FRAMEWORK)

    def _load_own_state(self, state: State) -> None:
        set_attributes(self, state)

    def _unfitted(self) -> BaseDensityEstimator:
        """Return a copy of the estimator as it was before its first fit."""
        if self._blank is None:
            self._blank = copy.deepcopy(self)
        return copy.deepcopy(self._blank)


_FRAMEWORK = frozenset({"calibration", "rule", "device", "_blank", "_refit", "_cells"})


def prefixed(remember: Remember | None, start: str = "", end: str = "") -> Remember | None:
    """Return ``remember`` under longer names."""
    return remember and (lambda name, make: remember(f"{start}{name}{end}", make))


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
