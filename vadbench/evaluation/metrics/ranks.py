"""Rank metrics from one small table: for each distinct score of a positive, how many of each class are where.

Frames, pixels and the order statistics of the pixel-level criterion all end here. Every count is an integer, so a
value does not depend on the order in which scores came or on how they were cut into blocks. Arithmetic is in place,
for a table may have millions of rows.

Shape legend: U distinct scores of positives, P positives, N negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RankTable:
    """Where the positives stand among the negatives.

    Attributes
    ----------
    score: ``(U,)`` the distinct scores of positives, from high to low.
    positives: ``(U,) int64`` positives with that score.
    above, equal: ``(U,) int64`` negatives with a score above it, and equal to it.
    n_positive, n_negative: P and N.
    weight: ``(U,) float64`` summed region weights of those positives, 1 in all (for AUPRO); None without regions.
    """

    score: np.ndarray
    positives: np.ndarray
    above: np.ndarray
    equal: np.ndarray
    n_positive: int
    n_negative: int
    weight: np.ndarray | None = None

    @property
    def one_class(self) -> bool:
        """True if there are no positives or no negatives, so that no ranking can be judged."""
        return self.n_positive == 0 or self.n_negative == 0


def rank_table(scores: np.ndarray, labels: np.ndarray) -> RankTable:
    """Return the table of ``scores (T,)`` finite and ``labels (T,) bool``; one sort of each class."""
    negatives = np.sort(scores[~labels])
    score, positives = np.unique(scores[labels], return_counts=True)
    above, equal = count_negatives(negatives, score)
    return RankTable(score[::-1], positives[::-1], above[::-1], equal[::-1], int(positives.sum()), int(negatives.size))


def count_negatives(negatives: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count how many of the sorted ``negatives`` lie above and at each ascending ``score (U,)``: two ``(U,) int64``."""
    left = np.searchsorted(negatives, score, side="left")
    equal = np.zeros(score.size, dtype=np.int64)
    # Most scores tie with no negative; only those that do need the second search.
    inside = np.flatnonzero(left < negatives.size)
    tied = inside[negatives[left[inside]] == score[inside]]
    equal[tied] = np.searchsorted(negatives, score[tied], side="right") - left[tied]
    return negatives.size - left - equal, equal


def auroc(table: RankTable) -> float:
    """(#pairs positive above negative + ½ #pairs equal) / (P·N), in [0, 1]; NaN for one class.

    The count of pairs is an exact integer at any size, so the result is the correctly rounded quotient.
    """
    if table.one_class:
        return float("nan")
    below_twice = table.n_negative - table.above
    below_twice *= 2
    below_twice -= table.equal
    return int_dot(table.positives, below_twice) / (2 * table.n_positive * table.n_negative)


def average_precision(table: RankTable) -> float:
    """Σ (Rₙ − Rₙ₋₁)·Pₙ over distinct scores (a step, not a trapezoid), in [0, 1]; NaN for one class."""
    if table.one_class:
        return float("nan")
    hits = np.cumsum(table.positives)
    precision = hits / _ranked(table, hits)
    precision *= table.positives
    return float(np.sum(precision) / table.n_positive)


def equal_error_rate(table: RankTable) -> float:
    """Return the false positive rate where the piecewise linear ROC meets FPR = 1 − TPR, in [0, 1]; NaN for one
    class."""
    if table.one_class:
        return float("nan")
    hits = np.cumsum(table.positives)
    after = (table.above + table.equal) / table.n_negative
    after += hits / table.n_positive
    # FPR + TPR only grows, so the line that crosses 1 ends in this row, or lies after the last one.
    i = int(np.searchsorted(after, 1.0))
    corners = [(0, 0)] if i == 0 else [(table.above[i - 1] + table.equal[i - 1], hits[i - 1])]
    if i < hits.size:
        corners += [(table.above[i], corners[0][1]), (table.above[i] + table.equal[i], hits[i])]
    corners.append((table.n_negative, table.n_positive))
    alarms, caught = np.array(corners, dtype=np.float64).T
    return crossing(alarms / table.n_negative, caught / table.n_positive)


def crossing(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """FPR at the first point of the path (from the strictest threshold on, starting at (0, 0)) with FPR ≥ 1 − TPR."""
    x, y = np.append(0.0, fpr), np.append(0.0, tpr)
    i = int(np.argmax(x + y >= 1.0))
    gained = (x[i] + y[i]) - (x[i - 1] + y[i - 1])
    share = (1.0 - x[i - 1] - y[i - 1]) / gained
    return float(x[i - 1] + share * (x[i] - x[i - 1]))


def best_f1(table: RankTable) -> tuple[float, float]:
    """(largest F1 over all thresholds, its threshold): an oracle, for it reads the test labels; NaN for one class."""
    if table.one_class:
        return float("nan"), float("nan")
    hits = np.cumsum(table.positives)
    total = _ranked(table, hits)
    total += table.n_positive
    hits *= 2
    f1 = hits / total
    best = int(np.argmax(f1))
    return float(f1[best]), float(table.score[best])


def aupro(table: RankTable, fpr_limit: float = 0.3) -> float:
    """(1/L) ∫₀ᴸ PRO dFPR with L = ``fpr_limit``, in [0, 1]; NaN without regions or without negatives.

    A positive of weight w whose score ties with the negatives between FPR f₀ and f₁ adds w·(L − (f₀ + f₁)/2) if
    f₁ ≤ L, w·(L − f₀)² / (2·(f₁ − f₀)) if f₀ < L < f₁, else nothing: the closed form of Bergmann et al. 2019.
    """
    if table.one_class or table.weight is None:
        return float("nan")
    f0 = table.above / table.n_negative
    f1 = (table.above + table.equal) / table.n_negative
    inside = f1 <= fpr_limit
    cut = (f0 < fpr_limit) & ~inside
    whole = f0 + f1
    whole /= 2
    np.subtract(fpr_limit, whole, out=whole)
    whole[~inside] = 0.0
    whole[cut] = (fpr_limit - f0[cut]) ** 2 / (2 * (f1[cut] - f0[cut]))
    whole *= table.weight
    return float(np.sum(whole) / fpr_limit)


def int_dot(left: np.ndarray, right: np.ndarray) -> int:
    """Σ left·right of non-negative ``int64``, exact for Σ left < 2⁴²: ``right`` is cut into limbs of 21 bits."""
    total = 0
    for shift in (0, 21, 42):
        limb = right >> shift
        limb &= 0x1FFFFF
        total += int(left @ limb) << shift
    return total


def _ranked(table: RankTable, hits: np.ndarray) -> np.ndarray:
    """Return how many of both classes have each score or more, ``(U,) int64``; ``hits``: how many positives."""
    ranked: np.ndarray = hits + table.above
    ranked += table.equal
    return ranked
