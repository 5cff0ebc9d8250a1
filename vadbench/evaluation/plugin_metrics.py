"""Metrics of plug-ins: their values under a protocol, with intervals over resampled videos.

A metric is a function of Python and may be slow, and an interval evaluates it once for each resample. One rule bounds
that, in a run, on stored scores and in a comparison: as many resamples as the built-in metrics have (2000), or as few
as the metric was registered with. What will take long says so before it begins.

Shape legend: T frames of a video, B resamples, V videos.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.errors import ConfigError
from vadbench.evaluation.intervals.bootstrap import class_videos
from vadbench.evaluation.intervals.interval import WIDE_NOTE, Interval, interval
from vadbench.evaluation.intervals.metric_entry import entry
from vadbench.evaluation.intervals.resampled import Draw

log = logging.getLogger(__name__)

ByVideo = Mapping[str, np.ndarray]

_LONG_S = 60


def plugin_metrics(
    scores: ByVideo,
    labels: ByVideo,
    protocol: str,
    resamples: int,
    seed: int,
    parts: Sequence[registry.Part] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return an entry for each metric of a plug-in, of scores ``(T,)`` and labels ``bool (T,)`` under ``protocol``.

    The interval draws whole videos with replacement; a video that is drawn twice has two ids. ``parts``: only these
    metrics. ConfigError for a metric that raises or returns no number.
    """
    found = {}
    for part in registry.outside("metric") if parts is None else parts:
        _, drawn = _interval(part, [scores], labels, resamples, seed)
        more = {"plugin": part.origin, "digest": part.digest, "higher_is_better": part.facts["higher_is_better"]}
        found[part.name] = entry(drawn, len(scores), protocol, **more)
    return found


def paired_metrics(
    first: ByVideo, second: ByVideo, labels: ByVideo, resamples: int, seed: int
) -> dict[str, tuple[list[float], Interval]]:
    """Return for each metric of a plug-in its two values and the interval of second minus first on the same resampled
    videos."""
    return {p.name: _interval(p, [first, second], labels, resamples, seed) for p in registry.outside("metric")}


def _interval(
    part: registry.Part, runs: Sequence[ByVideo], labels: ByVideo, resamples: int, seed: int
) -> tuple[list[float], Interval]:
    """Return the value of each of one or two runs, and the interval of the only one or of their difference."""
    videos = sorted(labels, key=str)  # a seed draws the same videos whatever the order in which they came
    started = time.perf_counter()
    values = [_value(part, {v: scores[v] for v in videos}, {v: labels[v] for v in videos}) for scores in runs]
    seconds = time.perf_counter() - started
    value = values[0] if len(values) == 1 else values[1] - values[0]
    resamples = min(resamples, part.facts["resamples"])
    if resamples == 0:
        note = "no interval: registered with resamples=0"
        nan = math.nan
        return values, Interval(value, nan, nan, 0.95, len(videos), 0, seed, 0, nan, "none", notes=(note,))
    if seconds * resamples > _LONG_S:
        log.warning(
            "metric %s: %d resamples for its interval, about %.0f min at %.2g s each; registered with resamples=N it "
            "takes fewer, with resamples=0 none",
            *(part.name, resamples, seconds * resamples / 60, seconds),
        )
    draws = [_draw(part, videos, scores, labels) for scores in runs]
    draw = draws[0] if len(draws) == 1 else lambda counts: draws[1](counts) - draws[0](counts)
    found = interval(draw, len(videos), value, resamples, seed, 0.95, share=False, **class_videos(labels))
    # What is wide depends on the unit of the metric.
    return values, replace(found, notes=tuple(note for note in found.notes if note != WIDE_NOTE))


def _draw(part: registry.Part, videos: list[str], scores: ByVideo, labels: ByVideo) -> Draw:
    return lambda counts: np.array([_value(part, *_repeated(videos, row, scores, labels)) for row in counts])


def _repeated(
    videos: list[str], counts: np.ndarray, scores: ByVideo, labels: ByVideo
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores and labels of one resample, every video as often as it was drawn."""
    ids = {f"{v}#{turn}": v for v, times in zip(videos, counts, strict=True) for turn in range(int(times))}
    return {new: scores[v] for new, v in ids.items()}, {new: labels[v] for new, v in ids.items()}


def _value(part: registry.Part, scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> float:
    value = part.make(scores, labels)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"plug-in {part.origin}: metric {part.name!r} returned no number but {value!r}") from None
