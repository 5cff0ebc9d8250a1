"""The steps that protocols are made of: what each does to the raw scores.

Shape legend: T frames of a video, K of them kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, StepConfig
from vadbench.config.protocol_keys import WHOLE_VIDEO, PerDataset, Positive, value_for
from vadbench.errors import DataError
from vadbench.evaluation.metrics import ranks


@plain_dataclass(frozen=True)
class Kept:
    """What is left of one video of T frames: ``scores (K,) float64``, ``labels (K,) bool``, ``frames (K,)`` numbers."""

    scores: np.ndarray
    labels: np.ndarray
    frames: np.ndarray
    n_frames: int


Videos = dict[str, Kept]


def run_step(step: Any, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    """Return the videos after ``step``, and what the step chose by itself (an oracle's sigma).

    A step is a function ``(config, scores (T,), dataset name) -> scores (T,)``; one that was registered with
    ``whole=True`` is a function of all videos, and returns what this function returns.
    """
    part = registry.get("protocol_step", step.kind)
    if part.facts.get("whole"):
        after: tuple[Videos, dict[str, float]] = part.make(step, videos, dataset)
        return after
    return {video: replace(kept, scores=_scored(part, step, kept, dataset)) for video, kept in videos.items()}, {}


def _scored(part: registry.Part, step: Any, kept: Kept, dataset: str) -> np.ndarray:
    scores = np.asarray(part.make(step, kept.scores.copy(), dataset), dtype=np.float64)
    if scores.shape != kept.scores.shape or not np.isfinite(scores).all():
        raise DataError(
            f"protocol step {part.name!r} ({part.origin}) made scores of shape {scores.shape} of {kept.scores.shape}; "
            "one finite number a frame is wanted"
        )
    return scores


@dataclass(config=STRICT, kw_only=True)
class GaussianStep(StepConfig):
    """Gaussian smoothing along time, cut at 4 sigma, mirrored at the ends."""

    sigma: PerDataset  # frames; 0: none
    window: Literal["both", "past"] = "both"  # past: only frames that have been seen, so it is causal
    over: Literal["video", "all_videos"] = "video"  # all_videos: across clip boundaries, as one published code does


@dataclass(config=STRICT, kw_only=True)
class GaussianTapsStep(StepConfig):
    """A Gaussian of a fixed number of taps with zeros beyond the ends, so that scores sag there."""

    taps: PerDataset
    sigma: PerDataset


@dataclass(config=STRICT, kw_only=True)
class MedianStep(StepConfig):
    """Median filter along time with zeros beyond the ends."""

    size: Positive  # odd

    @field_validator("size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the filter has a middle")
        return value


@dataclass(config=STRICT, kw_only=True)
class MinMaxStep(StepConfig):
    """Scores scaled to [0, 1] by their own extremes; a constant video becomes 0."""

    over: Literal["video", "all_videos"]
    datasets: list[str] | None = None  # only on these; None: on all


@dataclass(config=STRICT, kw_only=True)
class DropStep(StepConfig):
    """Leave out the first and the last frames of each video."""

    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0


@dataclass(config=STRICT, kw_only=True)
class SubsampleStep(StepConfig):
    """Keep frames start, start + every, start + 2 every, ... of each video."""

    start: Annotated[int, Field(ge=0)]
    every: Positive


@dataclass(config=STRICT, kw_only=True)
class OracleGaussianStep(StepConfig):
    """Gaussian smoothing with the sigma that is best on the test labels: an oracle, to show what tuning would gain."""

    sigmas: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    over: Literal["video", "all_videos"] = "video"


def _reach(sigma: float) -> int:
    return int(4 * sigma + 0.5)


def _gaussian_ahead(step: GaussianStep, dataset: str) -> int:
    if step.over == "all_videos":
        return WHOLE_VIDEO
    return 0 if step.window == "past" else _reach(value_for(step.sigma, dataset))


@registry.protocol_step("gaussian", config=GaussianStep, whole=True, look_ahead=_gaussian_ahead)
def _run_gaussian(step: GaussianStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    sigma = value_for(step.sigma, dataset)
    return _filtered(videos, _past_gaussian(sigma) if step.window == "past" else _gaussian(sigma), step.over), {}


@registry.protocol_step(
    "gaussian_taps",
    config=GaussianTapsStep,
    look_ahead=lambda step, dataset: round(value_for(step.taps, dataset)) // 2,
    pads_with_zeros=lambda step, name: round(value_for(step.taps, name)) > 1 and value_for(step.sigma, name) > 0,
)
def _run_gaussian_taps(step: GaussianTapsStep, scores: np.ndarray, dataset: str) -> np.ndarray:
    return _gaussian_taps(round(value_for(step.taps, dataset)), value_for(step.sigma, dataset))(scores)


@registry.protocol_step(
    "median",
    config=MedianStep,
    look_ahead=lambda step, dataset: step.size // 2,
    pads_with_zeros=lambda step, dataset: step.size > 1,
)
def _run_median(step: MedianStep, scores: np.ndarray, dataset: str) -> np.ndarray:
    from scipy import ndimage

    filtered: np.ndarray = ndimage.median_filter(scores, size=step.size, mode="constant", cval=0.0)
    return filtered if scores.size else scores


def _minmax_ahead(step: MinMaxStep, dataset: str) -> int:
    return WHOLE_VIDEO if step.datasets is None or dataset in step.datasets else 0


@registry.protocol_step("minmax", config=MinMaxStep, whole=True, look_ahead=_minmax_ahead)
def _run_minmax(step: MinMaxStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    if step.datasets is not None and dataset not in step.datasets:
        return videos, {}
    return _filtered(videos, _minmax, step.over), {}


@registry.protocol_step("drop", config=DropStep, whole=True, look_ahead=lambda step, dataset: 0)
def _run_drop(step: DropStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    return {v: _keep(k, (k.frames >= step.first) & (k.frames < k.n_frames - step.last)) for v, k in videos.items()}, {}


@registry.protocol_step("subsample", config=SubsampleStep, whole=True, look_ahead=lambda step, dataset: 0)
def _run_subsample(step: SubsampleStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    late = {video: kept.frames - step.start for video, kept in videos.items()}
    return {v: _keep(k, (late[v] >= 0) & (late[v] % step.every == 0)) for v, k in videos.items()}, {}


def _oracle_ahead(step: OracleGaussianStep, dataset: str) -> int:
    return WHOLE_VIDEO if step.over == "all_videos" else _reach(max(step.sigmas))


@registry.protocol_step(
    "oracle_gaussian", config=OracleGaussianStep, whole=True, look_ahead=_oracle_ahead, uses_test_labels=True
)
def _run_oracle(step: OracleGaussianStep, videos: Videos, dataset: str) -> tuple[Videos, dict[str, float]]:
    tried = {sigma: _filtered(videos, _gaussian(sigma), step.over) for sigma in step.sigmas}
    best = max(tried, key=lambda sigma: (_micro_auroc(tried[sigma]), -sigma))
    return tried[best], {"sigma": float(best)}


def _keep(kept: Kept, wanted: np.ndarray) -> Kept:
    return Kept(kept.scores[wanted], kept.labels[wanted], kept.frames[wanted], kept.n_frames)


def _filtered(videos: Videos, function: Callable[[np.ndarray], np.ndarray], over: str) -> Videos:
    """Return the scores passed through ``function``, video by video or all of them written one after the other."""
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
        from scipy import ndimage

        filtered: np.ndarray = ndimage.gaussian_filter1d(scores, sigma, mode="reflect", truncate=4.0)
        return filtered

    return _without_overflow(smooth)


def _without_overflow(smooth: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Wrap a smoother: sums of huge scores can leave float64 on the way to an average that does not; they are made
    smaller for it."""

    def scaled(scores: np.ndarray) -> np.ndarray:
        largest = np.abs(scores).max(initial=0.0)
        if largest <= 1e300:
            return smooth(scores)
        clipped: np.ndarray = np.clip(smooth(scores / 1024), -largest / 1024, largest / 1024) * 1024
        return clipped

    return scaled


def _past_gaussian(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the half of the window that has been seen, with weights that sum to 1 however few frames there were."""

    def smooth(scores: np.ndarray) -> np.ndarray:
        if not scores.size or sigma == 0:
            return scores
        weight = np.exp(-0.5 * (np.arange(int(4 * sigma + 0.5) + 1) / sigma) ** 2)
        seen = np.cumsum(weight)[np.minimum(np.arange(scores.size), weight.size - 1)]
        smoothed: np.ndarray = np.convolve(scores, weight)[: scores.size] / seen
        return smoothed

    return _without_overflow(smooth)


def _gaussian_taps(taps: int, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a window of ``taps`` weights that sum to 1, with zeros beyond the ends."""

    def smooth(scores: np.ndarray) -> np.ndarray:
        if not scores.size or taps < 2 or sigma == 0:
            return scores
        weight = np.exp(-0.5 * ((np.arange(taps) - (taps - 1) / 2) / sigma) ** 2)
        padded = np.pad(scores, (taps // 2, (taps - 1) // 2))
        return np.convolve(padded, weight / weight.sum(), mode="valid")

    return smooth


def _micro_auroc(videos: Videos) -> float:
    scores = np.concatenate([kept.scores for kept in videos.values()])
    labels = np.concatenate([kept.labels for kept in videos.values()])
    value = ranks.auroc(ranks.rank_table(scores, labels))
    return -1.0 if np.isnan(value) else value
