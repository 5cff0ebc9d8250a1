"""Time to detect: how long an event lasts before it is flagged, at a given rate of false alarms.

Shape legend: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vadbench.errors import ConfigError
from vadbench.evaluation.inputs import each_video


@dataclass(frozen=True)
class DetectionDelay:
    """Delays of all events at one threshold.

    Attributes
    ----------
    threshold: frames with score ≥ it are flagged; +inf if even the highest normal score ties too many.
    false_alarm_rate: share of normal frames that it really flags, at most the rate that was asked for.
    mean: mean delay in frames of the events that were detected; NaN if none was.
    median: median over all events, a missed one counting as infinitely late; so it is inf if half are missed.
    detected, n_events: how many events were flagged before their end, of how many.
    events: columns video, start, stop (exclusive), delay (frames from the start; NaN: missed).
    """

    threshold: float
    false_alarm_rate: float
    mean: float
    median: float
    detected: int
    n_events: int
    events: pd.DataFrame


def detection_delay(
    scores_by_video: Mapping[str, Any], labels_by_video: Mapping[str, Any], false_alarm_rate: float = 0.01
) -> DetectionDelay:
    """Delays from the first frame of each event (an unbroken run of anomalous frames) to its first flagged frame.

    The threshold is the lowest that flags at most ``false_alarm_rate`` (in [0, 1)) of all normal frames of all videos:
    a point of the test ROC, as in other comparisons at equal false alarms; it is not one that could be set beforehand.
    A flag before the start counts as a false alarm and not as an early detection. Undefined (NaN) without normal
    frames.
    """
    if not 0 <= false_alarm_rate < 1:
        raise ConfigError(f"false_alarm_rate={false_alarm_rate} must lie in [0, 1).")
    rows = list(each_video(scores_by_video, labels_by_video))
    normal = np.sort(np.concatenate([np.zeros(0), *(s[~y] for _, s, y in rows)]))
    anomalous = np.concatenate([np.zeros(0), *(s[y] for _, s, y in rows)])
    threshold = _threshold(normal, anomalous, false_alarm_rate)
    found = [(video, *event) for video, s, y in rows for event in _events(s, y, threshold)]
    events = pd.DataFrame(found, columns=["video", "start", "stop", "delay"])
    delays = events["delay"].to_numpy(dtype=np.float64)
    detected = delays[~np.isnan(delays)]
    late = np.sort(np.where(np.isnan(delays), np.inf, delays))
    return DetectionDelay(
        threshold,
        float(np.mean(normal >= threshold)) if normal.size else float("nan"),
        float(detected.mean()) if detected.size else float("nan"),
        float(np.quantile(late, 0.5, method="inverted_cdf")) if late.size and normal.size else float("nan"),
        int(detected.size),
        len(events),
        events,
    )


def _threshold(normal: np.ndarray, anomalous: np.ndarray, rate: float) -> float:
    """Return the lowest score of any frame that at most ``rate`` of the ascending ``normal`` scores reach; inf if none
    is.

    NaN, which no score reaches, without normal frames: there is no rate to keep then.
    """
    if not normal.size:
        return float("nan")
    candidates = np.unique(np.concatenate([normal, anomalous]))
    alarms = normal.size - np.searchsorted(normal, candidates, side="left")
    fitting = candidates[alarms <= rate * normal.size]
    return float(fitting[0]) if fitting.size else float("inf")


def _events(scores: np.ndarray, labels: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """(start, stop, delay) of each unbroken run of anomalous frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], labels, [False]]).astype(np.int8)))
    found = []
    for start, stop in edges.reshape(-1, 2):
        flagged = np.flatnonzero(scores[start:stop] >= threshold)
        found.append((int(start), int(stop), float(flagged[0]) if flagged.size else float("nan")))
    return found
