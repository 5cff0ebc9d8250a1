"""AUROC, AP and EER of thousands of resampled sets of videos at once, without writing a single one out.

Shape legend: V videos, B resamples, U tie groups (distinct scores) from the highest score down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Draw = Callable[[np.ndarray], np.ndarray]
"""From how often each video was drawn, ``(B, V)``, to the metric of each resample ``(B,)``; NaN for one class."""

Rows = list[tuple[np.ndarray, np.ndarray]]
"""Scores ``float64 (T,)`` and labels ``bool (T,)`` of each video."""

_CHUNK = 4_000_000  # numbers in one array


def pair_counts(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs between videos, and anomalous ``(V,)`` and normal ``(V,)`` frames.

    ``pairs (V, V)``: twice the number of (anomalous frame of v above normal frame of w), ties counted once.
    """
    n_videos = len(rows)
    positives = np.array([y.sum() for _, y in rows], dtype=np.float64)
    negatives = np.array([(~y).sum() for _, y in rows], dtype=np.float64)
    scores = np.concatenate([s[y] for s, y in rows])
    owner = np.repeat(np.arange(n_videos), positives.astype(np.int64))
    order = np.argsort(scores)  # sorted needles are found much faster
    scores, owner = scores[order], owner[order]
    pairs = np.empty((n_videos, n_videos))
    for w, (s, y) in enumerate(rows):
        normal = np.sort(s[~y])
        below = np.searchsorted(normal, scores, "left") + np.searchsorted(normal, scores, "right")
        pairs[:, w] = np.bincount(owner, weights=below, minlength=n_videos)
    return pairs, positives, negatives


def pair_auroc(pairs: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> Draw:
    """AUROC from pair counts: cᵀUc / (2·cᵀP·cᵀN) for drawn counts c, since a pair counts as often as it was drawn."""

    def draw(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            total = ((counts @ pairs) * counts).sum(axis=1)
            shares: np.ndarray = total / (2 * (counts @ positives) * (counts @ negatives))
            return shares

    return draw


def weighted_ap(rows: Rows) -> Draw:
    """AP of resamples: Σ (Rₙ − Rₙ₋₁)·Pₙ over the tie groups that hold an anomalous frame."""
    ranked = _RankedFrames(rows)

    def draw(counts: np.ndarray) -> np.ndarray:
        total, caught = np.zeros(len(counts)), np.zeros(len(counts))
        for normal, anomalous in ranked.cumulative(_CHUNK // max(counts.shape)):
            gains = np.any(np.diff(anomalous, axis=0) > 0, axis=1)
            hits = anomalous[1:][gains] @ counts.T
            alarms = normal[1:][gains] @ counts.T
            # Where nothing was drawn yet nothing is gained either, so any denominator will do.
            total += (np.diff(hits, axis=0, prepend=caught[None]) * (hits / np.maximum(hits + alarms, 1))).sum(axis=0)
            caught = anomalous[-1] @ counts.T
        with np.errstate(invalid="ignore"):
            return np.where(counts @ ranked.negatives > 0, total / (counts @ ranked.positives), np.nan)

    return draw


def weighted_eer(rows: Rows) -> Draw:
    """EER of resamples: FPR + TPR only grows along the ranks, so where it reaches 1 is found by bisection."""
    ranked = _RankedFrames(rows)

    def draw(counts: np.ndarray) -> np.ndarray:
        positives, negatives = counts @ ranked.positives, counts @ ranked.negatives
        values, open_ = np.full(len(counts), np.nan), (positives > 0) & (negatives > 0)
        for normal, anomalous in ranked.cumulative(_CHUNK // counts.shape[1]):
            mine = np.flatnonzero(open_)
            done = normal[-1] @ counts[mine].T / negatives[mine] + anomalous[-1] @ counts[mine].T / positives[mine] >= 1
            mine = mine[done]
            values[mine] = crossings(normal, anomalous, counts[mine], negatives[mine], positives[mine])
            open_[mine] = False
        return values

    return draw


def crossings(
    normal: np.ndarray, anomalous: np.ndarray, counts: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """FPR of each resample where FPR + TPR reaches 1, by bisection along the ranks.

    ``normal``, ``anomalous (U, V)``: frames (or pixels) of each video down to a rank; the sum is below 1 at the first
    row and not at the last. ``counts (B, V)``; ``negatives``, ``positives (B,)``: all of each resample.
    """

    def rates(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (normal[row] * counts).sum(axis=1) / negatives, (anomalous[row] * counts).sum(axis=1) / positives

    below, reached = np.zeros(len(counts), dtype=np.int64), np.full(len(counts), len(normal) - 1)
    while np.any(reached - below > 1):
        middle = (below + reached) // 2
        enough = np.add(*rates(middle)) >= 1
        reached, below = np.where(enough, middle, reached), np.where(enough, below, middle)
    (x0, y0), (x1, y1) = rates(below), rates(reached)
    crossing: np.ndarray = x0 + (1 - x0 - y0) / (x1 + y1 - x0 - y0) * (x1 - x0)
    return crossing


class _RankedFrames:
    """All frames from the highest score down, as counts a video and tie group."""

    def __init__(self, rows: Rows) -> None:
        scores = np.concatenate([s for s, _ in rows])
        labels = np.concatenate([y for _, y in rows])
        video = np.repeat(np.arange(len(rows)), [s.size for s, _ in rows])
        distinct, group = np.unique(-scores, return_inverse=True)
        self._n_videos, self._n_groups = len(rows), distinct.size
        self._classes = [self._sorted(group[labels == c], video[labels == c]) for c in (False, True)]
        self.negatives, self.positives = (np.bincount(v, minlength=len(rows)).astype(float) for _, v in self._classes)

    def cumulative(self, n_groups: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield normal and anomalous frames of each video down to a tie group: ``(groups + 1, V)``, at most n_groups at
        once.

        The first row of a piece is the last one of the piece before (zeros at the top).
        """
        step, last = max(int(n_groups), 1), [np.zeros((1, self._n_videos))] * 2
        for start in range(0, self._n_groups, step):
            stop = min(start + step, self._n_groups)
            pieces = []
            for carried, (group, video) in zip(last, self._classes, strict=True):
                a, b = np.searchsorted(group, [start, stop])
                flat = (group[a:b] - start) * self._n_videos + video[a:b]
                counted = np.bincount(flat, minlength=(stop - start) * self._n_videos).reshape(-1, self._n_videos)
                pieces.append(np.concatenate([carried, carried + np.cumsum(counted, axis=0)]))
            last = [piece[-1:] for piece in pieces]
            yield pieces[0], pieces[1]

    @staticmethod
    def _sorted(group: np.ndarray, video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(group, kind="stable")
        return group[order], video[order]
