"""Metrics of plug-ins: their values under a protocol, with intervals over resampled videos.

Shape legend: T frames of a video, B resamples, V videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.errors import ConfigError
from vadbench.evaluation.intervals.bootstrap import class_videos
from vadbench.evaluation.intervals.interval import interval
from vadbench.evaluation.intervals.metric_entry import entry


def plugin_metrics(
    scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], protocol: str, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return an entry for each metric of a plug-in, of scores ``(T,)`` and labels ``bool (T,)`` under ``protocol``.

    The interval draws whole videos with replacement; a video that is drawn twice has two ids. ConfigError for a metric
    that raises or returns no number.
    """
    return {part.name: _entry(part, scores, labels, protocol, resamples, seed) for part in registry.outside("metric")}


def _entry(
    part: registry.Part,
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    protocol: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    videos = sorted(scores, key=str)  # a seed draws the same videos whatever the order in which they came

    def drawn(counts: np.ndarray) -> np.ndarray:
        return np.array([_value(part, *_repeated(videos, row, scores, labels)) for row in counts])

    value = _value(part, {v: scores[v] for v in videos}, {v: labels[v] for v in videos})
    found = interval(drawn, len(videos), value, resamples, seed, 0.95, share=False, **class_videos(labels))
    more = {"plugin": part.origin, "digest": part.digest, "higher_is_better": part.facts["higher_is_better"]}
    return entry(found, len(videos), protocol, **more)


def _repeated(
    videos: list[str], counts: np.ndarray, scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores and labels of one resample, every video as often as it was drawn."""
    ids = {f"{v}#{turn}": v for v, times in zip(videos, counts, strict=True) for turn in range(int(times))}
    return {new: scores[v] for new, v in ids.items()}, {new: labels[v] for new, v in ids.items()}


def _value(part: registry.Part, scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> float:
    try:
        return float(part.build(scores, labels))
    except Exception as error:
        raise ConfigError(f"metric {part.name!r} ({part.origin}): {type(error).__name__}: {error}") from error
