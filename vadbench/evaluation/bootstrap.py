"""95% intervals by drawing whole videos with replacement: frames of one video are not independent, videos are.

Shape legend: V videos, B resamples, T frames, U distinct scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from vadbench.errors import ConfigError, DataError, nearest
from vadbench.evaluation import frame
from vadbench.evaluation.frame import Metric, SingleClass
from vadbench.evaluation.inputs import each_video, same_videos
from vadbench.evaluation.resampled import Draw, pair_auroc, pair_counts, weighted_ap, weighted_eer

Average = Literal["micro", "macro"]


@dataclass(frozen=True)
class Interval:
    """A value and its interval.

    Attributes
    ----------
    value: the metric on the videos as they are (for a comparison: the difference, second minus first).
    low, high: ends of the interval; NaN with fewer than two videos or if no resample has a value.
    level: nominal coverage. n_videos, resamples, seed: what was drawn from, how often, and how.
    undefined: resamples without a value, because they held one class only; they are left out.
    share_above_zero: share of resamples above 0 (for a comparison: how often the second was better).
    """

    value: float
    low: float
    high: float
    level: float
    n_videos: int
    resamples: int
    seed: int
    undefined: int
    share_above_zero: float


def bootstrap(
    metric: Metric,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    resamples: int = 2000,
    seed: int = 0,
    average: Average = "micro",
    single_class: SingleClass = "skip",
    level: float = 0.95,
) -> Interval:
    """Interval of ``metric`` under sampling of videos (cluster bootstrap), deterministic for a seed.

    The percentiles are corrected for bias and skewness (BCa, Efron 1987; acceleration by leaving out one video at a
    time) and widened for few videos: the nominal tail α/2 becomes Φ(√(V/(V−1))·t_{α/2, V−1}) (Hesterberg 2015). Plain
    percentiles cover about 90% where 95% is said at V = 12.

    ``metric``: any function of scores ``(T,)`` and labels ``(T,)``; frame_auroc, average_precision and
    equal_error_rate run over all resamples at once. ``average``, ``single_class``: as :func:`micro`, :func:`macro`.
    """
    scores_by_video = _sorted(scores_by_video)
    draw = _resampler(metric, scores_by_video, labels_by_video, average, single_class)
    value = _value(metric, scores_by_video, labels_by_video, average, single_class)
    return interval(draw, len(scores_by_video), value, resamples, seed, level)


def paired_bootstrap(
    metric: Metric,
    first_by_video: Mapping[str, Any],
    second_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    resamples: int = 2000,
    seed: int = 0,
    average: Average = "micro",
    single_class: SingleClass = "skip",
    level: float = 0.95,
) -> Interval:
    """Interval of ``metric(second) − metric(first)`` on the same resampled videos; arguments as :func:`bootstrap`.

    Pairing removes what the two runs share (easy and hard videos), so a difference can be sure although the two
    intervals overlap. DataError if the two have not the same videos.
    """
    same_videos(first_by_video, second_by_video, ("first scores", "second scores"))
    both = (_sorted(first_by_video), _sorted(second_by_video))
    drawn = [_resampler(metric, runs, labels_by_video, average, single_class) for runs in both]
    values = [_value(metric, runs, labels_by_video, average, single_class) for runs in both]
    return interval(
        lambda counts: drawn[1](counts) - drawn[0](counts), len(both[0]), values[1] - values[0], resamples, seed, level
    )


def video_counts(n_videos: int, resamples: int, seed: int) -> np.ndarray:
    """``float64 (B, V)``: how often each video is in each resample of V videos with replacement."""
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1; 2000 is usual.")
    drawn = np.random.default_rng(seed).integers(0, max(n_videos, 1), size=(resamples, n_videos))
    flat = drawn + np.arange(resamples)[:, None] * n_videos
    return np.bincount(flat.ravel(), minlength=resamples * n_videos).reshape(resamples, n_videos).astype(np.float64)


def interval(
    draw: Draw, n_videos: int, value: float, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The interval around ``value`` of what ``draw`` computes from counts of V videos, as :func:`bootstrap` says."""
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie between 0 and 1; 0.95 is usual.")
    drawn = draw(video_counts(n_videos, resamples, seed))
    defined = drawn[~np.isnan(drawn)]
    low = high = above = float("nan")
    if n_videos > 1 and defined.size and not np.isnan(value):
        without = draw(1.0 - np.eye(n_videos))
        low, high = (float(q) for q in np.quantile(defined, _tails(value, defined, without, n_videos, level)))
        above = float(np.mean(defined > 0))
    undefined = int(drawn.size - defined.size)
    return Interval(float(value), low, high, level, n_videos, int(drawn.size), seed, undefined, above)


def _tails(value: float, drawn: np.ndarray, without: np.ndarray, n_videos: int, level: float) -> np.ndarray:
    """The two quantiles of ``drawn`` to read: BCa on tails widened for few videos."""
    tail = np.sqrt(n_videos / (n_videos - 1)) * stats.t.ppf((1 - level) / 2, n_videos - 1)
    below = np.mean(drawn < value) + np.mean(drawn == value) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / (2 * drawn.size), 1 - 1 / (2 * drawn.size)))
    pull = np.nanmean(without) - without[~np.isnan(without)]
    spread = np.sum(pull**2) ** 1.5
    acceleration = float(np.sum(pull**3) / (6 * spread)) if spread > 0 else 0.0
    z = bias + np.array([tail, -tail])
    return stats.norm.cdf(bias + z / np.maximum(1 - acceleration * z, 0.1))


def _resampler(
    metric: Metric,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    average: Average,
    single_class: SingleClass,
) -> Draw:
    if average == "macro":
        values = np.array(list(frame.per_video(metric, scores_by_video, labels_by_video, single_class).values()))
        return lambda counts: _weighted_mean(counts, values)
    if average != "micro":
        raise ConfigError(f"average={average!r} is unknown. {nearest(str(average), ['micro', 'macro'])}")
    rows = [(s, y) for _, s, y in each_video(scores_by_video, labels_by_video)]
    if not rows:
        raise DataError("There are no videos to draw from.")
    if metric is frame.frame_auroc:
        return pair_auroc(*pair_counts(rows))
    if metric is frame.average_precision:
        return weighted_ap(rows)
    if metric is frame.equal_error_rate:
        return weighted_eer(rows)
    return lambda counts: np.array([_repeated(metric, rows, row) for row in counts])


def _sorted(by_video: Mapping[str, Any]) -> dict[str, Any]:
    """By id, so that a seed draws the same videos whatever the order in which they came."""
    return {video: by_video[video] for video in sorted(by_video, key=str)}


def _value(
    metric: Metric,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    average: Average,
    single_class: SingleClass,
) -> float:
    if average == "macro":
        return frame.macro(metric, scores_by_video, labels_by_video, single_class)
    return frame.micro(metric, scores_by_video, labels_by_video)


def _weighted_mean(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return counts[:, defined] @ values[defined] / counts[:, defined].sum(axis=1)


def _repeated(metric: Metric, rows: list[tuple[np.ndarray, np.ndarray]], counts: np.ndarray) -> float:
    """Any metric on one resample, by writing the drawn videos out."""
    drawn = [row for row, times in zip(rows, counts, strict=True) for _ in range(int(times))]
    return metric(np.concatenate([s for s, _ in drawn]), np.concatenate([y for _, y in drawn]))
