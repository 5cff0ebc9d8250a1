"""Histograms of each video's pixels, from which pixel metrics of resampled videos follow without reading maps again.

They serve intervals only: what they lack in resolution is taken off by comparing them with the exact value once.

Shape legend: V videos, B resamples, E bins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vadbench.evaluation.intervals.resampled import Draw, crossings, pair_auroc

_CHUNK = 500_000  # numbers in one array


@dataclass
class VideoBins:
    """Pixels by video and bin.

    Attributes
    ----------
    edges: ``(E − 1,)`` ascending; bin b holds edges[b − 1] ≤ s < edges[b].
    normal, anomalous: ``(V, E)`` pixels. weight: ``(V, E)`` summed 1/|region| of the anomalous ones, or None.
    regions: ``(V,)`` regions.
    """

    edges: np.ndarray
    normal: np.ndarray
    anomalous: np.ndarray
    weight: np.ndarray | None
    regions: np.ndarray
    _so_far: np.ndarray | int = field(default=0, repr=False)

    @classmethod
    def between(
        cls, score: np.ndarray, area: np.ndarray | None, sizes: np.ndarray, regions: np.ndarray, n_edges: int
    ) -> VideoBins:
        """Bins at quantiles of the anomalous ``score (P,)``, which come video after video, ``sizes (V,)`` of each.

        A quantile and the next larger number are both edges, so that a score that many pixels share is a bin alone.
        """
        ordered = np.sort(score)
        place = np.linspace(0, max(ordered.size - 1, 0), n_edges if ordered.size else 0).astype(np.int64)
        at = np.unique(ordered[place])
        edges = np.unique(np.concatenate([at, np.nextafter(at, at.dtype.type(np.inf))]))
        shape = (sizes.size, edges.size + 1)
        anomalous, weight = np.zeros(shape), np.zeros(shape) if area is not None else None
        ends = np.cumsum(sizes)
        for video, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
            bins = np.searchsorted(edges, score[start:end], side="right")
            anomalous[video] = np.bincount(bins, minlength=shape[1])
            if weight is not None and area is not None:
                weight[video] = np.bincount(bins, weights=1.0 / area[start:end], minlength=shape[1])
        return cls(edges, -anomalous, anomalous, weight, regions)

    def add(self, video: int, below: np.ndarray, total: int) -> None:
        """Take one video, in order: ``below (E − 1,)`` pixels of it and the ones before lie below each edge, of
        ``total``. Once all are in, what is not anomalous is normal."""
        so_far = np.diff(np.concatenate([[0], below, [total]]))
        self.normal[video] += so_far - self._so_far
        self._so_far = so_far

    def auroc(self) -> Draw:
        """AUROC of resamples, ties inside a bin."""
        below = np.cumsum(self.normal, axis=1) - self.normal
        pairs = self.anomalous @ (2 * below + self.normal).T
        return pair_auroc(pairs, self.anomalous.sum(axis=1), self.normal.sum(axis=1))

    def average_precision(self) -> Draw:
        """AP of resamples, ties inside a bin."""
        gains, hits, ranked = self.anomalous[:, ::-1], self._down(self.anomalous), self._down(self.normal)
        ranked = ranked + hits

        def of(counts: np.ndarray) -> np.ndarray:
            caught = counts @ hits[:, 1:]
            precision: np.ndarray = ((counts @ gains) * caught / np.maximum(counts @ ranked[:, 1:], 1)).sum(
                axis=1
            ) / caught[:, -1]
            return precision

        return self._draw(of)

    def eer(self) -> Draw:
        """EER of resamples on the ROC with one corner a bin."""
        alarms, hits = self._down(self.normal), self._down(self.anomalous)

        def of(counts: np.ndarray) -> np.ndarray:
            return crossings(alarms.T, hits.T, counts, counts @ alarms[:, -1], counts @ hits[:, -1])

        return self._draw(of)

    def aupro(self, fpr_limit: float = 0.3) -> Draw:
        """AUPRO of resamples, ties inside a bin; the formula is :func:`vadbench.evaluation.metrics.ranks.aupro`'s."""
        alarms = self._down(self.normal)
        weight = np.zeros_like(self.normal) if self.weight is None else self.weight[:, ::-1]

        def of(counts: np.ndarray) -> np.ndarray:
            fpr = counts @ alarms / (counts @ alarms[:, -1:])
            f0, f1 = fpr[:, :-1], fpr[:, 1:]
            low, high = np.minimum(f0, fpr_limit), np.minimum(f1, fpr_limit)
            width = np.where(f1 > f0, f1 - f0, 1.0)
            # The mean over the tie of what is left of the limit: in closed form its integral from f0 to f1, or a point.
            left = np.where(f1 > f0, (high - low) * (fpr_limit - (low + high) / 2) / width, fpr_limit - low)
            regions = np.maximum(counts @ self.regions, 1)
            areas: np.ndarray = ((counts @ weight) * left).sum(axis=1) / regions / fpr_limit
            return areas

        return self._draw(of)

    def _down(self, pixels: np.ndarray) -> np.ndarray:
        """``(V, E + 1)``: pixels of each video from the highest bin down to each, from 0 on. Sums of resamples are
        resamples of sums, so nothing is summed up a resample."""
        return np.concatenate([np.zeros((len(pixels), 1)), np.cumsum(pixels[:, ::-1], axis=1)], axis=1)

    def _draw(self, of: Draw) -> Draw:
        """``of`` in pieces that fit in memory, and only where a resample has both classes."""
        positives, negatives = self.anomalous.sum(axis=1), self.normal.sum(axis=1)
        step = max(1, _CHUNK // self.normal.shape[1])

        def draw(counts: np.ndarray) -> np.ndarray:
            values = np.full(len(counts), np.nan)
            both = np.flatnonzero((counts @ positives > 0) & (counts @ negatives > 0))
            for start in range(0, both.size, step):
                some = both[start : start + step]
                values[some] = of(counts[some])
            return values

        return draw


def centred(draw: Draw, exact: float, n_videos: int) -> Draw:
    """``draw`` moved so that the videos as they are give ``exact``."""
    shift = exact - float(draw(np.ones((1, n_videos)))[0])
    return lambda counts: draw(counts) + shift
