"""The pixel-level criterion of Mahadevan et al. 2010, and its dual-pixel variant: frames that are right for a reason.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vadbench.errors import ConfigError
from vadbench.evaluation.metrics import ranks
from vadbench.evaluation.metrics.maps import FrameArrays, MapFrame, map_frames


@dataclass(frozen=True)
class PixelCriterion:
    """``auroc``, ``eer`` and ``edr`` = 1 − EER (rate of detection), NaN for one class; and the numbers of frames."""

    auroc: float
    eer: float
    edr: float
    n_anomalous: int
    n_normal: int


def pixel_criterion(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays], coverage: float = 0.4
) -> PixelCriterion:
    """Return the pixel-level criterion: an anomalous frame is hit at t iff at least ``coverage`` of its anomalous
    pixels score ≥ t; a normal frame is a false alarm iff any pixel does; an anomalous frame that is not hit is a miss.

    Both conditions only loosen as t falls, so the curve is the ordinary ROC of one number a frame: the
    ⌈coverage·|GT|⌉-th largest score inside the ground truth, and the maximum of a normal frame. No threshold grid.
    It does not punish a map that flags everything in a flagged frame: see :func:`dual_pixel_criterion`.

    Parameters
    ----------
    maps_by_video: video id to finite ``(T, H, W)``. masks_by_video: the same shape, anomalous where above 0.
    coverage: in (0, 1]; 0.4 in Mahadevan et al. 2010 (CVPR).
    """
    by_video = criterion_scores(maps_by_video, masks_by_video, coverage)
    scores, labels = (np.concatenate([np.zeros(0), *(pair[i] for pair in by_video.values())]) for i in (0, 1))
    table = ranks.rank_table(scores, labels.astype(bool))
    eer = ranks.equal_error_rate(table)
    return PixelCriterion(ranks.auroc(table), eer, 1 - eer, table.n_positive, table.n_negative)


def criterion_scores(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays], coverage: float = 0.4
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Video id to the one number a frame that the criterion ranks, ``float64 (T,)``, and whether it is anomalous."""
    seen = CriterionScores(maps_by_video, coverage)
    for _, frames in map_frames(maps_by_video, masks_by_video):
        for frame in frames:
            seen.add(frame)
    return seen.by_video()


class CriterionScores:
    """Collects :func:`criterion_scores` frame by frame, so that it can look on while another metric reads the maps."""

    def __init__(self, videos: Iterable[str], coverage: float = 0.4) -> None:
        _check_share("coverage", coverage)
        self._coverage = coverage
        self._pairs: dict[str, list[tuple[float, bool]]] = {video: [] for video in videos}

    def add(self, frame: MapFrame) -> None:
        """Take one frame; those of a video in order."""
        self._pairs[frame.video].append(_criterion_score(frame, self._coverage))

    def by_video(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what :func:`criterion_scores` returns, of the frames so far."""
        return {
            video: (np.array([s for s, _ in pairs], dtype=np.float64), np.array([y for _, y in pairs], dtype=bool))
            for video, pairs in self._pairs.items()
        }


def dual_pixel_criterion(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    coverage: float = 0.4,
    precision: float = 0.05,
) -> PixelCriterion:
    """As :func:`pixel_criterion`, but a hit also needs ``precision`` of the frame's pixels ≥ t to be ground truth.

    After Sabokrou et al. 2015, who ask for 5 to 10%. The share is not monotone in t, so the true positive rate may
    fall as t falls: the path (FPR, TPR) is followed through every threshold at which anything changes, and its area
    is the sum over the steps of the FPR (trapezoid), with no line to (1, 1). The EER is the first crossing from high t.
    """
    _check_share("coverage", coverage)
    _check_share("precision", precision)
    alarms: list[float] = []
    changes: list[np.ndarray] = [np.zeros((0, 2))]
    n_anomalous = 0
    for _, frames in map_frames(maps_by_video, masks_by_video):
        for frame in frames:
            values = frame.scores()
            if frame.mask.any():
                n_anomalous += 1
                changes.append(_hit_changes(values, frame.mask, coverage, precision))
            else:
                alarms.append(float(values.max()))
    if not alarms or not n_anomalous:
        return PixelCriterion(float("nan"), float("nan"), float("nan"), n_anomalous, len(alarms))
    fpr, tpr = _path(np.array(alarms), np.concatenate(changes), n_anomalous)
    auroc = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    eer = ranks.crossing(fpr[1:], tpr[1:])
    return PixelCriterion(auroc, eer, 1 - eer, n_anomalous, len(alarms))


def smallest_count(share: float, total: int) -> int:
    """Return the smallest n ≥ 1 with n/total ≥ ``share``, in exact arithmetic on the decimal that ``share`` prints
    as."""
    return max(1, math.ceil(Fraction(repr(float(share))) * total))


def _criterion_score(frame: MapFrame, coverage: float) -> tuple[float, bool]:
    values = frame.scores()
    inside = values[frame.mask]
    if not inside.size:
        return float(values.max()), False
    needed = smallest_count(coverage, inside.size)
    return float(np.partition(inside, -needed)[-needed]), True


def _hit_changes(values: np.ndarray, mask: np.ndarray, coverage: float, precision: float) -> np.ndarray:
    """``(n, 2)``: thresholds from high to low at which one frame becomes a hit (+1) or stops to be one (−1)."""
    order = np.argsort(-values, axis=None, kind="stable")
    ranked = values.ravel()[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    inside = np.cumsum(mask.ravel()[order])[last]
    share = Fraction(repr(float(precision)))
    enough = inside >= smallest_count(coverage, int(inside[-1]))
    precise = inside * share.denominator >= (last + 1) * share.numerator
    change = np.diff((enough & precise).astype(np.int8), prepend=0)
    at = np.flatnonzero(change)
    return np.stack([ranked[last[at]].astype(np.float64), change[at].astype(np.float64)], axis=1)


def _path(alarms: np.ndarray, changes: np.ndarray, n_anomalous: int) -> tuple[np.ndarray, np.ndarray]:
    """(FPR, TPR) from (0, 0) through every threshold, high to low, at which a frame changes its state."""
    thresholds = np.unique(np.concatenate([alarms, changes[:, 0]]))[::-1]
    sorted_alarms = np.sort(alarms)
    fpr = (alarms.size - np.searchsorted(sorted_alarms, thresholds, side="left")) / alarms.size
    order = np.argsort(changes[:, 0])
    at, total = changes[order, 0], np.append(0.0, np.cumsum(changes[order, 1]))
    hits = total[-1] - total[np.searchsorted(at, thresholds, side="left")]
    return np.append(0.0, fpr), np.append(0.0, hits / n_anomalous)


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ConfigError(f"{name}={value} must lie in (0, 1].")
