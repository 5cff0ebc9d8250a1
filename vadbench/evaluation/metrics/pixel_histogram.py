"""Pixel metrics in one pass and constant memory: a histogram of each class, and bounds that hold for any data.

For maps that can be produced only once, or sets too large to sort. Shape legend: B bins, H W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vadbench.errors import ConfigError
from vadbench.evaluation.metrics import ranks
from vadbench.evaluation.metrics.components import RegionLabels
from vadbench.evaluation.metrics.maps import FrameArrays, MapFrame, map_frames
from vadbench.evaluation.metrics.score_counter import CHUNK, ordered_bits

_LARGEST = np.finfo(np.float32).max
log = logging.getLogger(__name__)

Binning = Callable[[np.ndarray], np.ndarray]
"""Scores to bin numbers ``int64``; must never put a higher score into a lower bin, or no bound holds."""


@dataclass(frozen=True)
class HistogramMetrics:
    """Each value with the half-width of an interval that surely holds the exact one; NaN where a class is missing."""

    auroc: float
    auroc_bound: float
    average_precision: float
    average_precision_bound: float
    aupro: float
    aupro_bound: float
    bins: int
    n_anomalous: int
    n_normal: int

    def __str__(self) -> str:
        return (
            f"pixel AUROC {self.auroc:.6f} ± {self.auroc_bound:.1e}, AP {self.average_precision:.6f} ± "
            f"{self.average_precision_bound:.1e}, AUPRO {self.aupro:.6f} ± {self.aupro_bound:.1e} ({self.bins} bins)"
        )


def pixel_histogram(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    bins: int = 1 << 16,
    value_range: tuple[float, float] | None = None,
    fpr_limit: float = 0.3,
    look_on: Callable[[MapFrame], None] = lambda frame: None,
) -> HistogramMetrics:
    """Pooled pixel AUROC, AP and AUPRO (2-D regions) from one histogram a class; logs the values with their bounds.

    Inside a bin the order of scores is unknown. AUROC takes the middle, which is off by at most
    ½ Σ_b p_b·n_b / (P·N); AP and AUPRO take the middle between the best and the worst order.

    Parameters
    ----------
    maps_by_video, masks_by_video: as :func:`vadbench.evaluation.pixel_auroc`; every frame is asked for once.
    bins: 2 to 2²⁴. value_range: (low, high) cut into equal bins, scores beyond it go into the outer ones; None: bins
        of the leading bits of the float32 number, which need no range and are fine near 0 and coarse far from it.
    look_on: sees every frame once, in order.
    """
    if not 2 <= bins <= 1 << 24:
        raise ConfigError(f"bins={bins} must lie between 2 and {1 << 24}.")
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError(f"value_range={value_range} must be (low, high) with low < high.")
    if not 0 < fpr_limit <= 1:
        raise ConfigError(f"fpr_limit={fpr_limit} must lie in (0, 1]; 0.3 is usual.")
    binning = _linear(bins, *value_range) if value_range else _leading_bits(bins)
    counts, weight, regions = np.zeros((2, bins), dtype=np.int64), np.zeros(bins), 0
    for _, frames in map_frames(maps_by_video, masks_by_video):
        for frame in frames:
            regions += _add(frame, binning, counts, weight)
            look_on(frame)
    counts[0] -= counts[1]
    result = _metrics(counts, weight / regions if regions else None, fpr_limit)
    log.info("%s", result)
    return result


def _add(frame: MapFrame, binning: Binning, counts: np.ndarray, weight: np.ndarray) -> int:
    """Add one frame to all and to anomalous pixels a bin, ``counts (2, B)``, and to the summed 1/|region| a bin,
    ``weight (B,)``; returns the number of regions."""
    scores = frame.scores()
    flat = scores.ravel()
    for start in range(0, flat.size, CHUNK):
        np.add.at(counts[0], binning(flat[start : start + CHUNK]), 1)
    if not frame.mask.any():
        return 0
    inside = binning(scores[frame.mask])
    np.add.at(counts[1], inside, 1)
    labels, window = RegionLabels("2d").add(frame.mask)
    region = labels[frame.mask[window]]
    np.add.at(weight, inside, 1.0 / np.bincount(region)[region])
    return int(region.max())


def _metrics(counts: np.ndarray, weight: np.ndarray | None, fpr_limit: float) -> HistogramMetrics:
    normal, anomalous = counts[:, ::-1]  # from the highest bin down
    n_normal, n_anomalous = int(normal.sum()), int(anomalous.sum())
    if not n_normal or not n_anomalous or weight is None:
        nan = float("nan")
        return HistogramMetrics(nan, nan, nan, nan, nan, nan, counts.shape[1], n_anomalous, n_normal)
    above = np.cumsum(normal) - normal
    used = anomalous > 0
    score = np.arange(counts.shape[1])[::-1]
    table = ranks.RankTable(score[used], anomalous[used], above[used], normal[used], n_anomalous, n_normal)
    area_bound = ranks.int_dot(anomalous, normal) / (2 * n_anomalous * n_normal)
    precision = _precision_bounds(table)
    overlap = _overlap_bounds(above / n_normal, (above + normal) / n_normal, weight[::-1], fpr_limit)
    return HistogramMetrics(
        ranks.auroc(table), area_bound, *_middle(*precision), *_middle(*overlap), counts.shape[1], n_anomalous, n_normal
    )


def _middle(low: float, high: float) -> tuple[float, float]:
    return (low + high) / 2, (high - low) / 2


def _precision_bounds(table: ranks.RankTable) -> tuple[float, float]:
    """AP at worst (in each bin every normal pixel first, no ties) and at best (tied anomalous pixels first)."""
    count, hits = table.positives, np.cumsum(table.positives)
    best = hits / (hits + table.above)
    alarms = table.above + table.equal
    # k/(k + alarms) is concave in k, so its mean over the pixels of a bin is at least the mean of its ends.
    first = hits - count + 1
    worst = (first / (first + alarms) + hits / (hits + alarms)) / 2
    return float(np.sum(count * worst) / table.n_positive), float(np.sum(count * best) / table.n_positive)


def _overlap_bounds(f0: np.ndarray, f1: np.ndarray, weight: np.ndarray, limit: float) -> tuple[float, float]:
    """AUPRO if in each bin, which spans FPR f0 to f1, all normal pixels come first, and if they come last."""
    low = np.sum(weight * np.maximum(limit - f1, 0)) / limit
    return float(low), float(np.sum(weight * np.maximum(limit - f0, 0)) / limit)


def _linear(bins: int, low: float, high: float) -> Binning:
    scale = bins / (high - low)

    def binning(scores: np.ndarray) -> np.ndarray:
        # Every operation rounds monotonically, so the order survives whatever the rounding does to the edges.
        with np.errstate(over="ignore"):
            return np.clip((scores.astype(np.float64) - low) * scale, 0, bins - 1).astype(np.int64)

    return binning


def _leading_bits(bins: int) -> Binning:
    """Return the leading bits of float32 numbers, as integers that order as the numbers do."""
    shift = 32 - int(bins).bit_length() + 1

    def binning(scores: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            nearest_float32 = scores.astype(np.float32, copy=False)
        if not np.isfinite(nearest_float32).all():  # of float64 beyond float32: the outermost bins
            nearest_float32 = np.clip(nearest_float32, -_LARGEST, _LARGEST)
        return np.minimum((ordered_bits(nearest_float32) >> shift).astype(np.intp), bins - 1)

    return binning
