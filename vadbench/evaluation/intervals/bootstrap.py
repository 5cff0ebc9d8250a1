"""95% intervals by drawing whole videos with replacement: frames of one video are not independent, videos are.

Shape legend: V videos, B resamples, T frames, U distinct scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from vadbench.errors import ConfigError, DataError, nearest
from vadbench.evaluation.inputs import each_video, same_videos
from vadbench.evaluation.intervals.interval import Interval, interval
from vadbench.evaluation.intervals.resampled import Draw, pair_auroc, pair_counts, weighted_ap, weighted_eer
from vadbench.evaluation.metrics import frame
from vadbench.evaluation.metrics.frame import Metric, SingleClass

Average = Literal["micro", "macro"]

_SHARES = (frame.frame_auroc, frame.average_precision, frame.equal_error_rate)
"""Metrics that lie in [0, 1]."""


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

    How the interval is made of the resamples, and where there is none, is said at
    :func:`vadbench.evaluation.intervals.interval.interval`. Videos without a value of
    their own have no part in a macro average.

    ``metric``: any function of scores ``(T,)`` and labels ``(T,)``; frame_auroc, average_precision and
    equal_error_rate run over all resamples at once and have their interval inside [0, 1]. ``average``,
    ``single_class``: as :func:`micro`, :func:`macro`.
    """
    if not scores_by_video:
        raise DataError("There are no videos to draw from.")
    same_videos(scores_by_video, labels_by_video, ("scores", "labels"))
    scores_by_video = _sorted(scores_by_video)
    labels_by_video = {video: labels_by_video[video] for video in scores_by_video}
    value = _value(metric, scores_by_video, labels_by_video, average, single_class)
    if average == "macro":
        own = frame.per_video(metric, scores_by_video, labels_by_video, single_class)
        scores_by_video = {video: s for video, s in scores_by_video.items() if not np.isnan(own[video])}
        labels_by_video = {video: labels_by_video[video] for video in scores_by_video}
    return interval(
        _resampler(metric, scores_by_video, labels_by_video, average, single_class),
        len(scores_by_video),
        value,
        resamples,
        seed,
        level,
        share=metric in _SHARES,
        **class_videos(labels_by_video),
    )


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
    same_videos(first_by_video, labels_by_video, ("scores", "labels"))
    both = (_sorted(first_by_video), _sorted(second_by_video))
    labels_by_video = {video: labels_by_video[video] for video in both[0]}
    drawn = [_resampler(metric, runs, labels_by_video, average, single_class) for runs in both]
    values = [_value(metric, runs, labels_by_video, average, single_class) for runs in both]
    return interval(
        lambda counts: drawn[1](counts) - drawn[0](counts),
        len(both[0]),
        values[1] - values[0],
        resamples,
        seed,
        level,
        share=False,
        **class_videos(labels_by_video),
    )


def class_videos(labels_by_video: Mapping[str, Any]) -> dict[str, int]:
    """Return how many videos hold normal frames, and how many anomalous ones."""
    labels = [np.asarray(y).astype(bool) for y in labels_by_video.values()]
    return {"normal_videos": sum(not y.all() for y in labels), "anomalous_videos": sum(bool(y.any()) for y in labels)}


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
        return lambda counts: np.full(len(counts), np.nan)
    if metric is frame.frame_auroc:
        return pair_auroc(*pair_counts(rows))
    if metric is frame.average_precision:
        return weighted_ap(rows)
    if metric is frame.equal_error_rate:
        return weighted_eer(rows)
    return lambda counts: np.array([_repeated(metric, rows, row) for row in counts])


def _sorted(by_video: Mapping[str, Any]) -> dict[str, Any]:
    """By id, so that a seed draws the same videos whatever the order in which they came; none without frames."""
    return {video: by_video[video] for video in sorted(by_video, key=str) if len(by_video[video])}


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
        means: np.ndarray = counts[:, defined] @ values[defined] / counts[:, defined].sum(axis=1)
        return means


def _repeated(metric: Metric, rows: list[tuple[np.ndarray, np.ndarray]], counts: np.ndarray) -> float:
    """Any metric on one resample, by writing the drawn videos out."""
    drawn = [row for row, times in zip(rows, counts, strict=True) for _ in range(int(times))]
    return metric(np.concatenate([s for s, _ in drawn]), np.concatenate([y for _, y in drawn]))
