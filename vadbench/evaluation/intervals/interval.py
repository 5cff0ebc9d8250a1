"""From a statistic of resampled videos to its interval: a bootstrap error, and Student's t for the few that weigh most.

Shape legend: V videos, B resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vadbench.errors import ConfigError
from vadbench.evaluation.intervals.resampled import Draw

MIN_VIDEOS = 5
"""Test videos below which there is no interval."""

MIN_OF_A_CLASS = 4
"""Videos that must hold normal frames, and as many anomalous ones, for an interval."""

FEW_VIDEOS = 12
"""Below so many videos the simulated coverage is too low once one video in twelve fails; an interval says so."""

WIDE = 0.3
"""Width above which an interval says that the number means little."""

WIDE_NOTE = f"the interval is wider than {WIDE:g}, so the number means little"
FEW_NOTE = f"fewer than {FEW_VIDEOS} test videos: the interval can't include a failure that none of them shows"


_MOMENTS = 1.75  # chosen among 1 to 3 by simulation; scripts/study_intervals.py measures what it covers


@dataclass(frozen=True)
class Interval:
    """A value and its interval.

    Attributes
    ----------
    value: the metric on the videos as they are (for a comparison: the difference, second minus first).
    low, high: ends of the interval; NaN where there is none.
    level: nominal coverage. n_videos, resamples, seed: what was drawn from, how often, and how.
    undefined: resamples without a value, because they held one class only; they are left out.
    share_above_zero: share of resamples above 0 (for a comparison: how often the second was better).
    method: ``bootstrap_t`` or ``none``; see :func:`interval`.
    video_low, video_high: smallest and largest value of a video by itself, of those that have one; NaN if none has.
    without_low, without_high: smallest and largest value with one of the videos left out; NaN if none is defined.
    notes: sentences for the reader: why there is no interval, or what it can't say.
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
    method: str
    video_low: float = math.nan
    video_high: float = math.nan
    without_low: float = math.nan
    without_high: float = math.nan
    notes: tuple[str, ...] = ()


def video_counts(n_videos: int, resamples: int, seed: int) -> np.ndarray:
    """``float64 (B, V)``: how often each video is in each resample of V videos with replacement."""
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1; 2000 is usual.")
    drawn = np.random.default_rng(seed).integers(0, max(n_videos, 1), size=(resamples, n_videos))
    flat = drawn + np.arange(resamples)[:, None] * n_videos
    return np.bincount(flat.ravel(), minlength=resamples * n_videos).reshape(resamples, n_videos).astype(np.float64)


def interval(
    draw: Draw,
    n_videos: int,
    value: float,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    share: bool = True,
    normal_videos: int | None = None,
    anomalous_videos: int | None = None,
) -> Interval:
    """Return the interval around ``value`` of what ``draw`` computes from counts of V videos.

    value ± t·s on the logit scale if the value is a ``share`` in [0, 1], so that the ends are too; on its own scale
    otherwise (a difference of two). s is the standard deviation of the resamples times √(V/(V − 1)), and t a quantile
    of Student's distribution with :func:`degrees_of_freedom`. results/tables/interval_coverage.md compares its coverage
    and width with those of other methods.

    There is none below MIN_VIDEOS videos, nor where ``normal_videos`` or ``anomalous_videos``, the number of videos
    that hold frames of the class (None: all), is below MIN_OF_A_CLASS, nor where a share is 0 or 1 or no resample
    differs: such videos show nothing of the spread between others. ``notes`` say which.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie between 0 and 1; 0.95 is usual.")
    draw = _each_once(draw)
    drawn = _drawn(draw, video_counts(n_videos, resamples, seed), share)
    alone = _drawn(draw, np.eye(n_videos), share)
    without = _drawn(draw, 1.0 - np.eye(n_videos), share)
    defined = drawn[~np.isnan(drawn)]
    ends = None
    note = _lacking(n_videos, normal_videos, anomalous_videos)
    if not note and not math.isnan(value) and defined.size:
        ends = _ends(value, defined, without, level, share)
        note = "" if ends else "no interval: the videos show no spread"
    low, high = ends or (math.nan, math.nan)
    return Interval(
        value=float(value),
        low=low,
        high=high,
        level=level,
        n_videos=n_videos,
        resamples=int(drawn.size),
        seed=seed,
        undefined=int(drawn.size - defined.size),
        share_above_zero=float(np.mean(defined > 0)) if defined.size else math.nan,
        method="bootstrap_t" if ends else "none",
        video_low=_extreme(np.fmin, alone),
        video_high=_extreme(np.fmax, alone),
        without_low=_extreme(np.fmin, without),
        without_high=_extreme(np.fmax, without),
        notes=(note,) if note else interval_notes(n_videos, low, high),
    )


def interval_notes(n_videos: int, low: float, high: float) -> tuple[str, ...]:
    """Return what a reader of an interval over so many videos must be told; nothing about one that is NaN."""
    if math.isnan(low):
        return ()
    return (FEW_NOTE,) * (n_videos < FEW_VIDEOS) + (WIDE_NOTE,) * (high - low > WIDE)


def degrees_of_freedom(without: np.ndarray) -> float:
    """Of the error of a value that is ``without (V,)`` each of the videos in turn; from 1 to V − 1.

    c·(V − 1)/V·(Σd²)²/Σd⁴ with d the deviations from their mean: (Σd²)²/Σd⁴ is V for deviations of one size and 1 where
    one video makes all of the error, whose size is then known as badly as from two observations. Matching moments as
    Satterthwaite (1946) does gives c = 3 for normal deviations; c = 1.75 covers better where they are not.
    """
    n = without.size
    pull = without - without.mean()
    # Scaled, so that tiny deviations do not vanish in their fourth power.
    pull = pull / max(np.abs(pull).max(), np.finfo(float).tiny)
    fourth = float(np.sum(pull**4))
    effective = float(np.sum(pull**2)) ** 2 / fourth if fourth > 0 else n
    return float(np.clip(_MOMENTS * (n - 1) / n * effective, 1, max(n - 1, 1)))


def _ends(
    value: float, drawn: np.ndarray, without: np.ndarray, level: float, share: bool
) -> tuple[float, float] | None:
    """Both ends; None where the resamples have no spread. The same value of a difference has no width to hide."""
    n = without.size
    if np.ptp(drawn) == 0 or (share and not 0 < value < 1):
        return None if share else (float(value), float(value))
    from scipy import special  # slow to import, and a finished run shows its intervals without it

    centre = float(value)
    if share:
        # The logit of a perfect resample is infinite: none counts as more than V times nearer to 0 or 1 than the value.
        drawn = np.clip(drawn, value / n, 1 - (1 - value) / n)
        centre, drawn = float(special.logit(value)), special.logit(drawn)
    error = float(drawn.std(ddof=1)) * math.sqrt(n / (n - 1))
    known = without[~np.isnan(without)]
    half = -float(special.stdtrit(degrees_of_freedom(known) if known.size else 1.0, (1 - level) / 2)) * error
    ends = np.array([centre - half, centre + half])
    low, high = special.expit(ends) if share else ends
    return float(low), float(high)


def _lacking(n_videos: int, normal: int | None, anomalous: int | None) -> str:
    """Return why so few videos have no interval; "" where they have one."""
    if n_videos < MIN_VIDEOS:
        return f"no interval: {_videos(n_videos)} with a value, at least {MIN_VIDEOS} are needed"
    for name, count in (("normal", normal), ("anomalous", anomalous)):
        if count is not None and count < MIN_OF_A_CLASS:
            return f"no interval: the {name} frames come from {_videos(count)}, at least {MIN_OF_A_CLASS} are needed"
    return ""


def _videos(count: int) -> str:
    return f"{count} test video" + "s" * (count != 1)


def _drawn(draw: Draw, counts: np.ndarray, share: bool) -> np.ndarray:
    """Return the metric of each resample; a share that was corrected (see ``centred``) stays in [0, 1]."""
    if not counts.size:
        return np.full(len(counts), np.nan)
    drawn = draw(counts)
    return np.clip(drawn, 0, 1) if share else drawn


def _extreme(choose: np.ufunc, values: np.ndarray) -> float:
    return float(choose.reduce(values, initial=np.nan))


def _each_once(draw: Draw) -> Draw:
    """``draw``, asked but once for resamples that are the same: of six videos there are only 462 different ones."""

    def of(counts: np.ndarray) -> np.ndarray:
        videos, size = counts.shape[1], int(counts.sum(axis=1).max(initial=0))
        if math.comb(videos + size, size) >= len(counts):
            return draw(counts)
        codes = counts @ (size + 1.0) ** np.arange(videos)
        _, first, same = np.unique(codes, return_index=True, return_inverse=True)
        return draw(counts[first])[same]

    return of
