"""The rows that new samples are compared with: all training samples, their k-means centres, or a greedy coreset.

Every kind can answer as if one group had never been seen, which leave-group-out calibration needs.

Shape legend: N training samples, M queries, D feature size, K neighbours, C centres.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from vadbench.density.nearest import NearestNeighbours, bank_mean
from vadbench.errors import ConfigError

KINDS = ("full", "kmeans:<number of centres>", "coreset:<share of samples>")

_MAX_ITERATIONS = 50


class Bank(ABC):
    """A searchable set of rows."""

    @property
    @abstractmethod
    def searched(self) -> np.ndarray:
        """The rows that are searched, ``float32 (K, D)``."""

    @property
    def size(self) -> int:
        """Number of rows that are searched."""
        return len(self.searched)

    @abstractmethod
    def squared_distances(self, queries: np.ndarray, k: int) -> np.ndarray:
        """To the ``k`` nearest rows of each of ``queries (M, D)``, or to all if they are fewer, ascending:
        ``float64 (M, k)``."""

    @abstractmethod
    def squared_distances_without(self, group: int, queries: np.ndarray, k: int) -> np.ndarray:
        """Return the same as if the samples of ``group`` had never been put in."""


class SampleBank(Bank):
    """Training samples themselves, all or some of them.

    ``rows float32 (N, D)`` with ``groups int (N,)`` ascending; the array is used as it is, not copied.
    """

    def __init__(self, rows: np.ndarray, groups: np.ndarray, device: str = "cpu") -> None:
        self.rows, self.groups = rows, groups
        self._nearest = NearestNeighbours(rows, device)

    @property
    def searched(self) -> np.ndarray:
        return self.rows

    def squared_distances(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self._nearest.search(queries, k)[0]

    def squared_distances_without(self, group: int, queries: np.ndarray, k: int) -> np.ndarray:
        start, stop = np.searchsorted(self.groups, [group, group + 1])
        return self._nearest.search(queries, k, skip=(int(start), int(stop)))[0]


class CentreBank(Bank):
    """k-means centres; a group is taken out by subtracting its samples from the sums that the centres are means of."""

    def __init__(self, rows: np.ndarray, groups: np.ndarray, n_centres: int, seed: int, device: str = "cpu") -> None:
        self.rows, self.groups, self.device = rows, groups, device
        centres, self.assignment = kmeans(rows, n_centres, seed, device)
        self.counts = np.bincount(self.assignment, minlength=len(centres))
        self.sums = _sums(rows, self.assignment, len(centres))
        self._nearest = NearestNeighbours(_means(self.sums, self.counts), device)

    @property
    def searched(self) -> np.ndarray:
        return self._nearest.bank

    def squared_distances(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self._nearest.search(queries, k)[0]

    def squared_distances_without(self, group: int, queries: np.ndarray, k: int) -> np.ndarray:
        start, stop = np.searchsorted(self.groups, [group, group + 1])
        assignment = self.assignment[start:stop]
        counts = self.counts - np.bincount(assignment, minlength=len(self.counts))
        sums = self.sums - _sums(self.rows[start:stop], assignment, len(self.counts))
        return NearestNeighbours(_means(sums, counts), self.device).search(queries, k)[0]


def parse_bank(kind: str) -> tuple[str, float]:
    """("full", 0), ("kmeans", centres) or ("coreset", share); ConfigError for anything else."""
    name, _, value = kind.partition(":")
    try:
        if name == "full" and not value:
            return "full", 0.0
        if name == "kmeans" and int(value) >= 1:
            return "kmeans", int(value)
        if name == "coreset" and 0 < float(value) <= 1:
            return "coreset", float(value)
    except ValueError:
        pass
    raise ConfigError(
        f"Unknown bank {kind!r}. Available: {', '.join(KINDS)}, for example 'kmeans:100' or 'coreset:0.1'."
    )


def _checked(kind: str) -> str:
    try:
        parse_bank(kind)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return kind


BankKind = Annotated[str, AfterValidator(_checked)]
"""The type of a configuration's key that names a bank."""


def build_bank(kind: str, rows: np.ndarray, groups: np.ndarray, seed: int = 0, device: str = "cpu") -> Bank:
    """Return the bank that ``kind`` asks for, of ``rows float32 (N, D)`` whose ``groups`` ascend."""
    name, value = parse_bank(kind)
    if name == "kmeans":
        return CentreBank(rows, groups, min(int(value), len(rows)), seed, device)
    if name == "coreset":
        chosen = greedy_coreset(rows, math.ceil(value * len(rows)), device)
        return SampleBank(np.ascontiguousarray(rows[chosen]), groups[chosen], device)
    return SampleBank(rows, groups, device)


def kmeans(rows: np.ndarray, k: int, seed: int, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm from a k-means++ start on a sample.

    Returns
    -------
    centres ``float32 (C, D)``, C <= k (a centre that lost all its samples is dropped), and for each row the number of
    its centre ``int64 (N,)``.
    """
    from sklearn.cluster import kmeans_plusplus

    draw = np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(10 * k, 10_000)])
    centres = np.asarray(kmeans_plusplus(rows[draw], k, random_state=seed)[0], dtype=np.float32)
    assignment = np.full(len(rows), -1)
    for _ in range(_MAX_ITERATIONS):
        before, assignment = assignment, _nearest_centre(rows, centres, device)
        if np.array_equal(before, assignment):
            break
        counts = np.bincount(assignment, minlength=len(centres))
        centres = _means(_sums(rows, assignment, len(centres)), counts)
        assignment = (np.cumsum(counts > 0) - 1)[assignment]
    else:
        # The centres have moved once more since the rows were assigned.
        assignment = _nearest_centre(rows, centres, device)
    return centres, assignment


def greedy_coreset(rows: np.ndarray, size: int, device: str = "cpu") -> np.ndarray:
    """Greedy k-centre choice of ``size`` rows: from the row nearest the mean, always the one farthest from all chosen.

    At most twice the smallest possible covering radius (Gonzalez 1985). Costs N · size · D multiplications.

    Returns
    -------
    row numbers ``int64 (size,)``, ascending.
    """
    import torch

    centred = torch.from_numpy(np.subtract(rows, bank_mean(rows), dtype=np.float32)).to(device)
    squares = centred.square().sum(1)
    chosen = torch.empty(size, dtype=torch.int64)
    chosen[0] = squares.argmin()
    distance = torch.full_like(squares, torch.inf)
    for i in range(1, size):
        last = centred[chosen[i - 1]]
        distance = torch.minimum(distance, squares - 2 * (centred @ last) + last.square().sum())
        distance[chosen[i - 1]] = -torch.inf  # rounding must not let a row be chosen twice
        chosen[i] = distance.argmax()
    return np.sort(chosen.numpy())


def _nearest_centre(rows: np.ndarray, centres: np.ndarray, device: str) -> np.ndarray:
    return NearestNeighbours(centres, device).search(rows, 1)[1][:, 0]


def _sums(rows: np.ndarray, assignment: np.ndarray, k: int) -> np.ndarray:
    """Sum of the rows of each of ``k`` clusters, ``float64 (k, D)``."""
    from scipy.sparse import csr_matrix

    total = np.zeros((k, rows.shape[1]))
    for start in range(0, len(rows), 1 << 14):
        part = assignment[start : start + (1 << 14)]
        member = csr_matrix((np.ones(len(part)), (part, np.arange(len(part)))), shape=(k, len(part)))
        total += member @ rows[start : start + (1 << 14)].astype(np.float64)
    return total


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of the clusters that have samples, ``float32 (C, D)``."""
    kept = counts > 0
    means: np.ndarray = (sums[kept] / counts[kept, None]).astype(np.float32)
    return means
