"""Distance to the nearest training samples, calibrated by leaving out each group in turn.

Shape legend: N training samples, M samples to score, D feature size, K neighbours.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.backbones.imports import torch_device
from vadbench.config.parts import STRICT, PartConfig
from vadbench.density.bank import Bank, BankKind, SampleBank, build_bank, parse_bank
from vadbench.density.base import Remember, require_samples
from vadbench.density.calibration import RULES, calibrate
from vadbench.density.collecting import CollectingEstimator, Samples, as_array, as_given
from vadbench.density.state import State
from vadbench.errors import ConfigError, DataError, nearest, one_of

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

DISTANCES = ("l2", "squared_l2")

# Training samples that "auto" calibrates by at most.
_MOST_CALIBRATED = 20_000

# Where distances are cached, so many neighbours are searched for, so that other numbers of them find theirs.
_DEPTH = 16


class GroupedKNNEstimator(CollectingEstimator):
    """Mean distance to the ``n_neighbors`` nearest rows of a bank of training samples: exact, in bounded memory.

    A training sample's own score is measured without the samples of its group (its video), over all groups.

    Parameters
    ----------
    n_neighbors: K.
    distance: "l2", or "squared_l2", which the official code gets from its search library; after calibration they are
        different monotone maps of each other, so that sums over streams differ.
    calibration: "max", "p99.9" or "last_group", see :func:`vadbench.density.calibration.calibrate`.
    bank: "full", "kmeans:k" or "coreset:ratio", see :mod:`vadbench.density.bank`.
    calibration_samples: number of training samples, drawn with ``seed``, whose scores set the calibration; None takes
        all, which costs N² · D multiplications (a minute at 1e5 x 512 on one core, hours at 1e6); "auto" takes all up
        to 20,000 and from there on 20,000, spread evenly over them.
    seed: of the k-means start and of that draw.
    device: "cpu" or a CUDA device; it changes no result beyond rounding in float64.
    """

    def __init__(
        self,
        n_neighbors: int = 1,
        *,
        distance: str = "l2",
        calibration: str = "max",
        bank: str = "full",
        calibration_samples: int | Literal["auto"] | None = "auto",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if n_neighbors < 1:
            raise ConfigError(f"n_neighbors={n_neighbors}: at least 1")
        if distance not in DISTANCES:
            raise ConfigError(f"Unknown distance {distance!r}. {nearest(distance, DISTANCES)}")
        parse_bank(bank)
        super().__init__()
        self.n_neighbors = n_neighbors
        self.distance = distance
        self.rule = one_of("calibration", calibration, RULES)
        self.kind = bank
        self.calibration_samples = calibration_samples
        self.seed = seed
        self.device = device
        self.bank: Bank | None = None
        self._n_groups = 0
        self._n_samples = self._n_calibrated = 0
        self._own: dict[int, tuple[str, np.ndarray]] = {}  # digest of a group's rows, and their scores without it
        self._remember: Remember | None = None
        self._bank_name = ""

    @property
    def uses_seed(self) -> bool:
        """The start of k-means, and the draw of calibration samples."""
        return self.kind.startswith("kmeans") or isinstance(self.calibration_samples, int)

    @property
    def share_calibrated(self) -> float:
        """Share of the training samples that set the calibration, where "auto" chose; else 1. What asks for more scores
        of training samples than that costs more than the calibration did."""
        if self.calibration_samples != "auto" or not self._n_samples:
            return 1.0
        return min(1.0, _MOST_CALIBRATED / self._n_samples)

    def fit(
        self, features: np.ndarray | None = None, groups: np.ndarray | None = None, remember: Remember | None = None
    ) -> None:
        """Build the bank from ``features (N, D)`` with ``groups int (N,)`` and calibrate.

        ``fit()`` takes what :meth:`update` collected.

        A ``float32`` array whose groups ascend is used as it is; it must not be changed afterwards. Distances to the
        nearest rows go through ``remember``.

        Raises
        ------
        DataError: there are samples of one group only, so that nothing is left when it is left out.
        """
        features, groups = self.training_samples(features, groups)
        require_samples(features, groups, self.n_neighbors + 1, f"A bank for {self.n_neighbors} neighbours")
        present = np.unique(groups)
        if len(present) < 2:
            raise DataError(
                "Nearest-neighbour scores are calibrated by leaving out one training video at a time, and only one "
                "training video has samples. Use at least two training videos (cut a long one into parts), or another "
                "density; with AI-VAD, the pose and deep features can be switched off."
            )
        if np.any(groups[1:] < groups[:-1]):
            order = np.argsort(groups, kind="stable")
            features, groups = features[order], groups[order]
        rows = np.asarray(features, dtype=np.float32)
        self.bank = build_bank(self.kind, rows, groups, self.seed, str(torch_device(self.device)))
        self._n_groups = len(present)
        self._remember = remember
        if remember is not None:
            self._bank_name = f"{_digest(rows)} in {_digest(groups)}, bank {self.kind}, seed {self.seed}"
        chosen = self._calibration_rows(len(rows))
        self._n_samples, self._n_calibrated = len(rows), len(chosen)
        scores = self._leave_group_out(rows, groups, chosen)
        self.calibration = calibrate(scores, self.rule, groups[chosen])
        self._own = {}
        if len(chosen) == len(rows):
            ends = np.searchsorted(groups, present, side="right")
            for group, start, end in zip(present, (0, *ends[:-1]), ends, strict=True):
                self._own[int(group)] = _digest(rows[start:end]), scores[start:end]

    def raw(self, features: np.ndarray) -> np.ndarray:
        """Mean distance to the nearest rows, ``float64 (M,)``."""
        bank = self.bank
        if bank is None:
            raise RuntimeError("fit before you score")
        if len(features) == 0:
            return np.zeros(0)
        found = self._remembered(f"of {_digest(features)}", lambda k: {"squared": bank.squared_distances(features, k)})
        return self._reduce(found["squared"])

    def fit_spec(self) -> dict[str, Any]:
        """Return nothing: the digests of bank and queries are in the names of what is memoized."""
        return {}

    def raw_without(self, group: int, features: np.ndarray, remember: Remember | None = None) -> np.ndarray:
        """Return the mean distance ``float64 (M,)`` to the bank without ``group``: a training sample's own score."""
        if self.bank is None:
            raise RuntimeError("fit before you score")
        digest, scores = self._own.get(group, ("", np.empty(0)))
        if digest != _digest(features.astype(np.float32, copy=False)):
            scores = self._reduce(self.bank.squared_distances_without(group, features, self.n_neighbors))
        return scores

    def predict(
        self,
        features: Samples,
        group: str | None = None,
        n_neighbors: int | None = None,
        normalize: bool = True,
    ) -> Samples:
        """Mean distance ``(M,)`` of ``features (M, D)`` to their nearest rows, calibrated if ``normalize`` is True.

        ``group``: a name given to :meth:`update`, whose rows are to count as never seen. ``n_neighbors``: in place of
        K; the calibration stays that of K.
        """
        if self.calibration is None or self.bank is None:
            raise RuntimeError("fit before you predict")
        samples = as_array(features)
        if group is not None and group not in self._group_names:
            raise ConfigError(f"group={group!r}: no training samples of it. {nearest(group, self._group_names)}")
        k = n_neighbors or self.n_neighbors
        if len(samples) == 0:
            squared = np.zeros((0, k))
        elif group is None:
            squared = self.bank.squared_distances(samples, k)
        else:
            squared = self.bank.squared_distances_without(self._group_names.index(group), samples, k)
        distances = self._reduce(squared, k=k)
        return as_given(self.calibration(distances) if normalize else distances, features)

    def summary(self) -> dict[str, Any]:
        """Calibration and size of the bank."""
        if self.bank is None:
            return {}
        found = {**super().summary(), "bank_rows": self.bank.size, "groups": self._n_groups}
        return {**found, "calibration_samples": self._n_calibrated} if self._n_calibrated else found

    def _own_state(self) -> State:
        if self.bank is None:
            return State({}, {})
        return State({"rows": self.bank.searched}, {"groups": self._n_groups, "calibrated": self._n_calibrated})

    def _load_own_state(self, state: State) -> None:
        self.bank, self._own, self._remember = None, {}, None
        if state.arrays:
            rows = state.arrays["rows"]
            self.bank = SampleBank(rows, np.full(len(rows), -1), str(torch_device(self.device)))
            self._n_groups = state.values["groups"]
            self._n_calibrated = state.values.get("calibrated", 0)  # fits from before do not say

    def _calibration_rows(self, n: int) -> np.ndarray:
        bound = _MOST_CALIBRATED if self.calibration_samples == "auto" else self.calibration_samples
        if bound is None or bound >= n:
            return np.arange(n)
        if self.calibration_samples == "auto":
            log.warning(
                "Nearest neighbours are calibrated by %d of the %d training samples, spread evenly "
                "(density.calibration_samples=auto; null takes all, which costs the square of their number)",
                bound,
                n,
            )
            return n - 1 - np.arange(bound)[::-1] * n // bound  # the last is among them: "last_group" needs it
        return np.sort(np.random.default_rng(self.seed).choice(n, bound, replace=False))

    def _leave_group_out(self, rows: np.ndarray, groups: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Scores of the ``chosen`` training samples, each without its own group."""
        assert self.bank is not None
        present, without = np.unique(groups[chosen]).tolist(), self.bank.squared_distances_without
        found = self._remembered(
            f"of {self._calibrated_by(len(rows))} samples without their groups",
            # A group's rows are copied when it is its turn: all of them at once would be a second bank.
            lambda k: {str(group): without(group, rows[chosen[groups[chosen] == group]], k) for group in present},
        )
        return np.concatenate(
            [self._reduce(found[str(group)], " once a training video is left out") for group in present]
        )

    def _calibrated_by(self, n: int) -> str:
        """Return which of ``n`` training samples set the calibration, as their cached distances are named."""
        if self.calibration_samples == "auto":
            return f"{_MOST_CALIBRATED} even" if n > _MOST_CALIBRATED else "all"
        return str(self.calibration_samples or "all")

    def _remembered(self, what: str, search: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return what ``search`` finds for K neighbours or more."""
        if self._remember is None:
            return search(self.n_neighbors)
        depth = _DEPTH * math.ceil(self.n_neighbors / _DEPTH)
        return self._remember(f"distances {what} to {depth} of {self._bank_name}", lambda: search(depth))

    def _reduce(self, squared: np.ndarray, when: str = "", k: int | None = None) -> np.ndarray:
        """Mean over the first K of ``squared (M, K or more)``; DataError where there are fewer."""
        k = k or self.n_neighbors
        if squared.shape[1] < k:
            raise DataError(
                f"n_neighbors={k} with bank={self.kind!r}: there are only {squared.shape[1]} rows{when}."
                " Use fewer neighbours or a larger bank."
            )
        squared = squared[:, :k]
        mean: np.ndarray = (squared if self.distance == "squared_l2" else np.sqrt(squared)).mean(axis=1)
        return mean


@dataclass(config=STRICT, kw_only=True)
class KnnConfig(PartConfig):
    """Mean distance to the nearest training samples, exact."""

    n_neighbors: Annotated[int, Field(ge=1)] = 1
    distance: Literal["l2", "squared_l2"] = "l2"
    bank: BankKind = "full"  # full, kmeans:K or coreset:SHARE
    calibration: Literal["max", "p99.9", "last_group"] = "max"  # what becomes 1 where streams are summed (AI-VAD)
    # Drawn for calibration; auto: 20,000 at most, spread evenly; None: all.
    calibration_samples: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None


@registry.density("knn", config=KnnConfig, calibrated_by=("calibration", "calibration_samples"))
def from_config(config: KnnConfig, seed: int) -> GroupedKNNEstimator:
    """Nearest neighbours: mean distance to the nearest training samples."""
    return GroupedKNNEstimator(
        config.n_neighbors,
        distance=config.distance,
        calibration=config.calibration,
        bank=config.bank,
        calibration_samples=config.calibration_samples,
        seed=seed,
    )


def _digest(array: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
