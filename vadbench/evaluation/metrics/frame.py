"""Frame-level metrics: AUROC, AP, EER and the ROC curve of one score and one label a frame, over videos or apart.

Shape legend: T frames.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.inputs import as_labels, as_scores, each_video
from vadbench.evaluation.metrics import ranks

Metric = Callable[[Any, Any], float]
"""A frame metric: scores ``(T,)`` and labels ``(T,)`` to a number."""

SingleClass = Literal["skip", "pad_needed", "pad_all", "one", "pad_0_1", "pad_0_max"]
"""What :func:`macro` does with videos of one class; see there."""


def frame_auroc(scores: Any, labels: Any) -> float:
    """Area under the ROC curve: the chance that an anomalous frame scores above a normal one, ties counting half.

    A = (Σ over anomalous frames of #normal below + ½ #normal equal) / (P·N) (Hanley and McNeil 1982), in float64.

    Parameters
    ----------
    scores: ``(T,)`` finite, higher is more anomalous. labels: ``(T,)`` bool (or 0 and 1), True is anomalous.

    Returns a number in [0, 1], or NaN if only one class is present. DataError for NaN or infinite scores.
    """
    return ranks.auroc(_table(scores, labels))


def average_precision(scores: Any, labels: Any) -> float:
    """AP = Σ (Rₙ − Rₙ₋₁)·Pₙ over distinct scores from high to low (the step, as in scikit-learn; not the trapezoid).

    Arguments, NaN and errors as in :func:`frame_auroc`. Random scores reach the share of anomalous frames, not 0.5.
    """
    return ranks.average_precision(_table(scores, labels))


def equal_error_rate(scores: Any, labels: Any) -> float:
    """EER: the FPR where the piecewise linear ROC (one vertex a distinct score) meets FPR = 1 − TPR; lower is better.

    Arguments, NaN and errors as in :func:`frame_auroc`. Constant scores give 0.5.
    """
    return ranks.equal_error_rate(_table(scores, labels))


def roc_curve(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fpr, tpr, thresholds), one vertex a distinct score, after (0, 0) at threshold +inf; a frame is flagged if ≥.

    Rates of a class that is absent are NaN. Arguments and errors as in :func:`frame_auroc`.
    """
    values = as_scores(scores)
    truth = as_labels(labels, values.size)
    threshold, group = np.unique(values, return_inverse=True)
    hits = np.bincount(group[truth], minlength=threshold.size)[::-1].cumsum()
    alarms = np.bincount(group[~truth], minlength=threshold.size)[::-1].cumsum()
    with np.errstate(invalid="ignore"):
        fpr = np.append(0, alarms) / np.float64((~truth).sum())
        tpr = np.append(0, hits) / np.float64(truth.sum())
    return fpr, tpr, np.append(np.inf, threshold[::-1])


def micro(metric: Metric, scores_by_video: Mapping[str, Any], labels_by_video: Mapping[str, Any]) -> float:
    """``metric`` over all frames of all videos together, on scores as they are: they must be comparable across videos.

    ``*_by_video`` map a video id to an array ``(T,)``. DataError names video and frame of a bad score.
    """
    rows = list(each_video(scores_by_video, labels_by_video))
    if not rows:
        return float("nan")
    return metric(np.concatenate([s for _, s, _ in rows]), np.concatenate([y for _, _, y in rows]))


def macro(
    metric: Metric,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    single_class: SingleClass = "skip",
) -> float:
    """Mean of ``metric`` over videos; NaN if no video has a value.

    ``single_class`` says what becomes of a video whose frames are all normal or all anomalous:

    - ``skip``: it has no value and does not count (see :func:`undefined_videos`).
    - ``one``: it counts as 1.
    - ``pad_needed``: the missing class gets one frame, a normal one below or an anomalous one above all scores
      (SSMTL's authors, AED-SSMTL thread 11).
    - ``pad_all``: every video gets both, so that Ped2's random scores reach 0.688 and not 0.5. Closed form:
      A' = (A·P·N + N + P + 1) / ((P + 1)(N + 1)).
    - ``pad_0_1``: every video gets a normal frame of score 0 and an anomalous one of score 1, as published (AED,
      UBnormal, SSPCAB, AED-MAE): equal to pad_all only if scores lie strictly inside (0, 1).
    - ``pad_0_max``: the same with 0 and the largest float (AI-VAD).
    """
    values = list(per_video(metric, scores_by_video, labels_by_video, single_class).values())
    defined = [value for value in values if not np.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else float("nan")  # fsum: in any order


def per_video(
    metric: Metric,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    single_class: SingleClass = "skip",
) -> dict[str, float]:
    """``metric`` of each video, NaN where it is undefined; ``single_class`` as in :func:`macro`."""
    if single_class not in get_args(SingleClass):
        raise ConfigError(f"single_class={single_class!r} is unknown. {nearest(single_class, get_args(SingleClass))}")
    return {
        video: 1.0 if single_class == "one" and y.size and _one_class(y) else metric(*_padded(s, y, single_class))
        for video, s, y in each_video(scores_by_video, labels_by_video)
    }


def undefined_videos(labels_by_video: Mapping[str, Any]) -> list[str]:
    """Ids of the videos whose frames are all of one class: they have no AUROC of their own."""
    return [video for video, y in labels_by_video.items() if _one_class(np.asarray(y).astype(bool))]


def _table(scores: Any, labels: Any) -> ranks.RankTable:
    values = as_scores(scores)
    return ranks.rank_table(values, as_labels(labels, values.size))


def _one_class(labels: np.ndarray) -> bool:
    return bool(labels.all() or not labels.any())


def _padded(scores: np.ndarray, labels: np.ndarray, single_class: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels with the sentinel frames of ``single_class`` at both ends."""
    if single_class in ("skip", "one") or not scores.size:
        return scores, labels
    if single_class == "pad_needed":
        front, back = bool(labels.all()), not labels.any()
    else:
        front = back = True
    low, high = {"pad_0_1": (0.0, 1.0), "pad_0_max": (0.0, sys.float_info.max)}.get(single_class, (np.nan, np.nan))
    if np.isnan(low):
        scores, low, high = _extremes(scores)
    return (
        np.concatenate([[low] * front, scores, [high] * back]),
        np.concatenate([[False] * front, labels, [True] * back]).astype(bool),
    )


def _extremes(scores: np.ndarray) -> tuple[np.ndarray, float, float]:
    """``scores`` with a value strictly below and one strictly above them all."""
    with np.errstate(over="ignore"):
        low = np.nextafter(scores.min(initial=0.0), -np.inf)
        high = np.nextafter(scores.max(initial=0.0), np.inf)
    if np.isfinite(low) and np.isfinite(high):
        return scores, float(low), float(high)
    # The scores reach the end of float64, so nothing lies beyond them; dense ranks order them the same.
    dense = np.unique(scores, return_inverse=True)[1].astype(np.float64)
    return dense, -1.0, float(dense.max() + 1)
