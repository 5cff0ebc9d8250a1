"""Pixel-level metrics over score maps: pooled AUROC, AP and EER, AUPRO, and the mean over frames; exact and streamed.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.metrics import ranks
from vadbench.evaluation.metrics.components import Components
from vadbench.evaluation.metrics.maps import FrameArrays, map_frames
from vadbench.evaluation.metrics.pixel_table import pixel_table
from vadbench.evaluation.metrics.score_counter import CHUNK

PixelMode = Literal["pooled", "per_frame_mean"]


@dataclass(frozen=True)
class PixelMetrics:
    """All that one exact pass pair over the maps yields; NaN where a class or all regions are missing."""

    auroc: float
    average_precision: float
    eer: float
    aupro: float
    oracle_f1: float  # best over all thresholds: it reads the test masks
    n_anomalous: int
    n_normal: int


def pixel_metrics(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    fpr_limit: float = 0.3,
    components: Components = "2d",
    block_pixels: int = CHUNK,
) -> PixelMetrics:
    """Pooled AUROC, AP, EER, AUPRO and oracle F1 from one table; arguments as in :func:`aupro`."""
    _check_limit(fpr_limit)
    table = pixel_table(maps_by_video, masks_by_video, components, block_pixels)
    return PixelMetrics(
        ranks.auroc(table),
        ranks.average_precision(table),
        ranks.equal_error_rate(table),
        ranks.aupro(table, fpr_limit),
        ranks.best_f1(table)[0],
        table.n_positive,
        table.n_negative,
    )


def pixel_auroc(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays], mode: PixelMode = "pooled"
) -> float:
    """AUROC of pixels, in [0, 1]; NaN if a class is missing.

    ``mode="pooled"``: over all pixels of all frames together, normal frames too. ``"per_frame_mean"``: the mean over
    frames that have both classes of each frame's own AUROC. The two are different metrics and not comparable.
    Maps ``(T, H, W)`` finite, masks ``(T, H, W)`` anomalous where above 0, of equal size; arrays, or lazily read.
    """
    if mode not in get_args(PixelMode):
        raise ConfigError(f"mode={mode!r} is unknown. {nearest(str(mode), get_args(PixelMode))}")
    if mode == "pooled":
        return ranks.auroc(pixel_table(maps_by_video, masks_by_video))
    values = [
        ranks.auroc(ranks.rank_table(frame.scores().ravel(), frame.mask.ravel()))
        for _, frames in map_frames(maps_by_video, masks_by_video)
        for frame in frames
        if frame.mask.any() and not frame.mask.all()
    ]
    return float(np.mean(values)) if values else float("nan")


def pixel_average_precision(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays]
) -> float:
    """Pooled AP of pixels (the step sum of :func:`vadbench.evaluation.average_precision`); arguments as there."""
    return ranks.average_precision(pixel_table(maps_by_video, masks_by_video))


def aupro(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    fpr_limit: float = 0.3,
    components: Components = "2d",
    block_pixels: int = CHUNK,
) -> float:
    """Area under the per-region overlap curve up to ``fpr_limit``, divided by it (Bergmann et al. 2019), in [0, 1].

    PRO(t) = mean over regions of the share of the region's pixels with score ≥ t; FPR(t) = share of all normal pixels
    with score ≥ t. Exact, with linear interpolation inside ties and at the limit; a constant map gives fpr_limit / 2.

    Parameters
    ----------
    fpr_limit: in (0, 1]. components: ``"2d"``, where an event of 100 frames counts 100 times, as everybody does on
    stacked frames; ``"3d"``, where it counts once. Others as in :func:`pixel_auroc`.

    Returns NaN if there is no region or no normal pixel.
    """
    _check_limit(fpr_limit)
    return ranks.aupro(pixel_table(maps_by_video, masks_by_video, components, block_pixels), fpr_limit)


def pixel_f1(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays], threshold: float
) -> float:
    """F1 of the pixels with score ≥ ``threshold`` (from training scores, never from these masks); one pass.

    2·TP / (2·TP + FP + FN), in [0, 1]; NaN if nothing is anomalous.
    """
    hits = flagged = anomalous = 0
    for _, frames in map_frames(maps_by_video, masks_by_video):
        for frame in frames:
            above = frame.scores() >= threshold
            hits += int(np.count_nonzero(above & frame.mask))
            flagged += int(np.count_nonzero(above))
            anomalous += int(np.count_nonzero(frame.mask))
    return 2 * hits / (flagged + anomalous) if anomalous else float("nan")


def _check_limit(fpr_limit: float) -> None:
    if not 0 < fpr_limit <= 1:
        raise ConfigError(f"fpr_limit={fpr_limit} must lie in (0, 1]; 0.3 is usual.")
