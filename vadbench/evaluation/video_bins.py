"""Histograms of each video's pixels, from which pixel metrics of resampled videos follow without reading maps again.

They serve intervals only: what they lack in resolution is taken off by comparing them with the exact value once.

Shape legend: V videos, B resamples, E bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vadbench.evaluation import ranks
from vadbench.evaluation.resampled import Draw, pair_auroc

_CHUNK = 4_000_000  # numbers in one array


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
        return cls(edges, np.zeros(shape), anomalous, weight, regions)

    def add_normal(self, video: int, block: np.ndarray) -> None:
        """Count a sorted block of normal pixels of one video."""
        below = np.searchsorted(block, self.edges.astype(block.dtype, copy=False), side="left")
        self.normal[video] += np.diff(np.concatenate([[0], below, [block.size]]))

    def auroc(self) -> Draw:
        """AUROC of resamples, ties inside a bin."""
        below = np.cumsum(self.normal, axis=1) - self.normal
        pairs = self.anomalous @ (2 * below + self.normal).T
        return pair_auroc(pairs, self.anomalous.sum(axis=1), self.normal.sum(axis=1))

    def average_precision(self) -> Draw:
        """AP of resamples, ties inside a bin."""

        def of(normal: np.ndarray, anomalous: np.ndarray, _: np.ndarray) -> np.ndarray:
            hits, alarms = np.cumsum(anomalous, axis=1), np.cumsum(normal, axis=1)
            return (anomalous * hits / np.maximum(hits + alarms, 1)).sum(axis=1) / hits[:, -1]

        return self._draw(of)

    def eer(self) -> Draw:
        """EER of resamples on the ROC with one corner a bin."""

        def of(normal: np.ndarray, anomalous: np.ndarray, _: np.ndarray) -> np.ndarray:
            fpr, tpr = np.cumsum(normal, axis=1), np.cumsum(anomalous, axis=1)
            fpr, tpr = fpr / fpr[:, -1:], tpr / tpr[:, -1:]
            return np.array([ranks.crossing(x, y) for x, y in zip(fpr, tpr, strict=True)])

        return self._draw(of)

    def aupro(self, fpr_limit: float = 0.3) -> Draw:
        """AUPRO of resamples, ties inside a bin; the formula is :func:`vadbench.evaluation.ranks.aupro`'s."""

        def of(normal: np.ndarray, _: np.ndarray, weight: np.ndarray) -> np.ndarray:
            f1 = np.cumsum(normal, axis=1) / normal.sum(axis=1, keepdims=True)
            f0 = np.concatenate([np.zeros((len(f1), 1)), f1[:, :-1]], axis=1)
            low, high = np.minimum(f0, fpr_limit), np.minimum(f1, fpr_limit)
            width = np.where(f1 > f0, f1 - f0, 1.0)
            # The mean over the tie of what is left of the limit: in closed form its integral from f0 to f1, or a point.
            left = np.where(f1 > f0, (high - low) * (fpr_limit - (low + high) / 2) / width, fpr_limit - low)
            return (weight * left).sum(axis=1) / fpr_limit

        return self._draw(of)

    def _draw(self, of: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Draw:
        """Apply ``of(normal, anomalous, weight)``, each ``(B, E)`` from the highest bin down, to the resamples."""

        def draw(counts: np.ndarray) -> np.ndarray:
            step = max(1, _CHUNK // self.normal.shape[1])
            return np.concatenate([some(counts[i : i + step]) for i in range(0, len(counts), step)])

        def some(counts: np.ndarray) -> np.ndarray:
            normal, anomalous = counts @ self.normal[:, ::-1], counts @ self.anomalous[:, ::-1]
            weight = np.zeros_like(anomalous)
            if self.weight is not None:
                weight = counts @ self.weight[:, ::-1] / np.maximum(counts @ self.regions, 1)[:, None]
            values = np.full(len(counts), np.nan)
            both = (normal.sum(axis=1) > 0) & (anomalous.sum(axis=1) > 0)
            values[both] = of(normal[both], anomalous[both], weight[both])
            return values

        return draw


def centred(draw: Draw, exact: float, n_videos: int) -> Draw:
    """``draw`` moved so that the videos as they are give ``exact``."""
    shift = exact - float(draw(np.ones((1, n_videos)))[0])
    return lambda counts: draw(counts) + shift
