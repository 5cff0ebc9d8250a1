"""The steps that protocols are made of: what each does to the raw scores.

Shape legend: T frames of a video, K of them kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from vadbench.config.protocol_keys import (
    DropStep,
    GaussianStep,
    GaussianTapsStep,
    MinMaxStep,
    OracleGaussianStep,
    ProtocolStep,
    SubsampleStep,
    value_for,
)
from vadbench.evaluation.metrics import ranks


@dataclass(frozen=True)
class Kept:
    """What is left of one video of T frames: ``scores (K,) float64``, ``labels (K,) bool``, ``frames (K,)`` numbers."""

    scores: np.ndarray
    labels: np.ndarray
    frames: np.ndarray
    n_frames: int


Videos = dict[str, Kept]


def run_step(step: ProtocolStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    """The videos after ``step``, and what the step chose by itself (an oracle's sigma)."""
    if isinstance(step, DropStep):
        return {
            v: _keep(k, (k.frames >= step.first) & (k.frames < k.n_frames - step.last)) for v, k in videos.items()
        }, {}
    if isinstance(step, SubsampleStep):
        late = {video: kept.frames - step.start for video, kept in videos.items()}
        return {v: _keep(k, (late[v] >= 0) & (late[v] % step.every == 0)) for v, k in videos.items()}, {}
    if isinstance(step, OracleGaussianStep):
        tried = {sigma: _filtered(videos, _gaussian(sigma), step.over) for sigma in step.sigmas}
        best = max(tried, key=lambda sigma: (_micro_auroc(tried[sigma]), -sigma))
        return tried[best], {"sigma": float(best)}
    if isinstance(step, MinMaxStep):
        if step.datasets is not None and dataset not in step.datasets:
            return videos, {}
        return _filtered(videos, _minmax, step.over), {}
    if isinstance(step, GaussianStep):
        sigma = value_for(step.sigma, dataset)
        return _filtered(videos, _past_gaussian(sigma) if step.window == "past" else _gaussian(sigma), step.over), {}
    if isinstance(step, GaussianTapsStep):
        taps = _gaussian_taps(round(value_for(step.taps, dataset)), value_for(step.sigma, dataset))
        return _filtered(videos, taps, "video"), {}
    return _filtered(videos, _median(step.size), "video"), {}


def _keep(kept: Kept, wanted: np.ndarray) -> Kept:
    return Kept(kept.scores[wanted], kept.labels[wanted], kept.frames[wanted], kept.n_frames)


def _filtered(videos: Videos, function: Callable[[np.ndarray], np.ndarray], over: str) -> Videos:
    """The scores passed through ``function``, video by video or all of them written one after the other."""
    if over == "all_videos" and videos:
        ends = np.cumsum([kept.scores.size for kept in videos.values()])[:-1]
        pieces = np.split(function(np.concatenate([kept.scores for kept in videos.values()])), ends)
    else:
        pieces = [function(kept.scores) for kept in videos.values()]
    return {video: replace(kept, scores=piece) for (video, kept), piece in zip(videos.items(), pieces, strict=True)}


def _minmax(scores: np.ndarray) -> np.ndarray:
    if not scores.size:
        return scores
    low, high = scores.min(), scores.max()
    # Halves, because the range of two floats can be larger than the largest float.
    return (scores / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else np.zeros_like(scores)


def _gaussian(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    def smooth(scores: np.ndarray) -> np.ndarray:
        if not scores.size or sigma == 0:
            return scores
        return ndimage.gaussian_filter1d(scores, sigma, mode="reflect", truncate=4.0)

    return _without_overflow(smooth)


def _without_overflow(smooth: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Sums of huge scores can leave float64 on the way to an average that does not; they are made smaller for it."""

    def scaled(scores: np.ndarray) -> np.ndarray:
        largest = np.abs(scores).max(initial=0.0)
        if largest <= 1e300:
            return smooth(scores)
        return np.clip(smooth(scores / 1024), -largest / 1024, largest / 1024) * 1024

    return scaled


def _past_gaussian(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """The half of the window that has been seen, with weights that sum to 1 however few frames there were."""

    def smooth(scores: np.ndarray) -> np.ndarray:
        if not scores.size or sigma == 0:
            return scores
        weight = np.exp(-0.5 * (np.arange(int(4 * sigma + 0.5) + 1) / sigma) ** 2)
        seen = np.cumsum(weight)[np.minimum(np.arange(scores.size), weight.size - 1)]
        return np.convolve(scores, weight)[: scores.size] / seen

    return _without_overflow(smooth)


def _gaussian_taps(taps: int, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """A window of ``taps`` weights that sum to 1, with zeros beyond the ends."""

    def smooth(scores: np.ndarray) -> np.ndarray:
        if not scores.size or taps < 2 or sigma == 0:
            return scores
        weight = np.exp(-0.5 * ((np.arange(taps) - (taps - 1) / 2) / sigma) ** 2)
        padded = np.pad(scores, (taps // 2, (taps - 1) // 2))
        return np.convolve(padded, weight / weight.sum(), mode="valid")

    return smooth


def _median(size: int) -> Callable[[np.ndarray], np.ndarray]:
    def smooth(scores: np.ndarray) -> np.ndarray:
        return ndimage.median_filter(scores, size=size, mode="constant", cval=0.0) if scores.size else scores

    return smooth


def _micro_auroc(videos: Videos) -> float:
    scores = np.concatenate([kept.scores for kept in videos.values()])
    labels = np.concatenate([kept.labels for kept in videos.values()])
    value = ranks.auroc(ranks.rank_table(scores, labels))
    return -1.0 if np.isnan(value) else value
