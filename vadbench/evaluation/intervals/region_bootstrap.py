"""Intervals of RBDC and TBDC: the curve of every resample of videos, from counts at thresholds made once.

Shape legend: V videos, B resamples, K thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vadbench.evaluation.intervals.interval import Interval, interval
from vadbench.evaluation.intervals.pixel_bins import centred
from vadbench.evaluation.intervals.resampled import Draw
from vadbench.evaluation.metrics.regions import Endpoint, checked_boxes, match_boxes, rbdc_tbdc, track_scores

_CHUNK = 4_000_000  # numbers in one array


def bootstrap_regions(
    detections: pd.DataFrame,
    tracks: pd.DataFrame,
    n_frames: Mapping[str, int],
    iou: float = 0.1,
    track_fraction: float = 0.1,
    endpoint: Endpoint = "flat",
    inclusive_pixels: bool = True,
    resamples: int = 2000,
    seed: int = 0,
    n_thresholds: int = 1000,
) -> tuple[Interval, Interval]:
    """Intervals of RBDC and TBDC under resampling of videos; other arguments as :func:`vadbench.evaluation.rbdc_tbdc`.

    Above ``n_thresholds`` distinct scores the curves of resamples have a vertex at so many quantiles only, and are
    moved so that the videos as they are give the exact value.
    """
    exact = rbdc_tbdc(detections, tracks, n_frames, iou, track_fraction, endpoint, inclusive_pixels)
    found = checked_boxes(detections, "detections", "score", n_frames, inclusive_pixels)
    truth = checked_boxes(tracks, "tracks", "track", n_frames, inclusive_pixels)
    best, matched = match_boxes(found, truth, iou, inclusive_pixels)
    by_track = track_scores(truth, best, track_fraction)
    videos = sorted(str(video) for video in n_frames)
    place = {video: i for i, video in enumerate(videos)}
    thresholds = np.unique(found["score"].to_numpy())
    if thresholds.size > n_thresholds:
        thresholds = np.unique(np.quantile(thresholds, np.linspace(0, 1, n_thresholds), method="nearest"))

    def counted(owner: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count how many score at least each threshold, from high to low, by video ``(V, K)``; and all scores."""
        numbers = np.array([place[str(video)] for video in owner], dtype=np.int64)
        reached = np.searchsorted(thresholds, scores, side="right")  # so many thresholds are not above the score
        shape = (len(videos), thresholds.size + 1)
        counts = np.bincount(numbers * shape[1] + reached, minlength=shape[0] * shape[1]).reshape(shape)
        return np.cumsum(counts[:, ::-1], axis=1)[:, :-1].astype(np.float64), counts.sum(axis=1).astype(np.float64)

    false, _ = counted(found["video"].to_numpy()[~matched], found["score"].to_numpy()[~matched])
    lengths = np.array([int(n_frames[v]) for v in sorted(n_frames, key=str)], dtype=np.float64)
    rates = (
        counted(truth["video"].to_numpy(), best),
        counted(by_track.index.get_level_values(0).to_numpy(), by_track.to_numpy()),
    )
    n = len(videos)
    intervals = []
    for value, (hits, total) in zip((exact.rbdc, exact.tbdc), rates, strict=True):
        draw = _areas(false, lengths, hits, total, endpoint)
        if not np.isnan(value):
            draw = centred(draw, value, n)
        annotated = int(np.count_nonzero(total))
        intervals.append(interval(draw, n, value, resamples, seed, anomalous_videos=annotated))
    return intervals[0], intervals[1]


def _areas(false: np.ndarray, lengths: np.ndarray, hits: np.ndarray, total: np.ndarray, endpoint: Endpoint) -> Draw:
    """Area under hits/total over false/lengths of resamples, for FPR in [0, 1]."""

    def draw(counts: np.ndarray) -> np.ndarray:
        step = max(1, _CHUNK // max(false.shape[1], 1))
        return np.concatenate([some(counts[i : i + step]) for i in range(0, len(counts), step)])

    def some(counts: np.ndarray) -> np.ndarray:
        zero = np.zeros((len(counts), 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            x = np.concatenate([zero, counts @ false / (counts @ lengths)[:, None]], axis=1)
            y = np.concatenate([zero, counts @ hits / (counts @ total)[:, None]], axis=1)
        x0, x1, y0, y1 = x[:, :-1], x[:, 1:], y[:, :-1], y[:, 1:]
        inside = np.clip(np.minimum(x1, 1) - x0, 0, None)
        share = np.divide(inside, x1 - x0, out=np.zeros_like(inside), where=x1 > x0)
        area = (inside * (y0 + share * (y1 - y0) / 2)).sum(axis=1)
        left = np.clip(1 - x[:, -1], 0, None)
        end = {"flat": y[:, -1], "to_one": (y[:, -1] + 1) / 2, "truncate": np.zeros(len(counts))}[endpoint]
        return np.where((counts @ total > 0) & (counts @ lengths > 0), area + left * end, np.nan)

    return draw
