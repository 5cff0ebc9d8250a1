"""Time to detect, against a walk through the frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation import inputs
from vadbench.errors import ConfigError
from vadbench.evaluation import detection_delay


def walk(scores, labels, threshold):
    """[(video, start, stop, delay or None)]."""
    found = []
    for video, s in scores.items():
        start = None
        for t, anomalous in enumerate([*labels[video].tolist(), False]):
            if anomalous and start is None:
                start = t
            if not anomalous and start is not None:
                late = [i for i in range(start, t) if s[i] >= threshold]
                found.append((video, start, t, late[0] - start if late else None))
                start = None
    return found


@given(data=inputs.videos(), rate=st.sampled_from([0.0, 0.1, 0.5, 0.99]))
def test_equals_a_walk_through_the_frames(data, rate):
    scores, labels = data
    found = detection_delay(scores, labels, rate)
    normal = [s for v in scores for s, y in zip(scores[v], labels[v], strict=True) if not y]
    if not normal:
        assert all(math.isnan(v) for v in (found.threshold, found.false_alarm_rate, found.mean, found.median))
        return
    alarms = sum(1 for s in normal if s >= found.threshold)
    assert alarms <= rate * len(normal)
    assert found.false_alarm_rate == alarms / len(normal)
    every = sorted({float(s) for v in scores for s in scores[v]})
    lower = [s for s in every if s < found.threshold]
    if lower:  # the next lower threshold would flag too many
        assert sum(1 for s in normal if s >= lower[-1]) > rate * len(normal)
    expected = walk(scores, labels, found.threshold)
    assert found.n_events == len(expected)
    assert found.detected == sum(1 for e in expected if e[3] is not None)
    for row, (video, start, stop, delay) in zip(found.events.itertuples(index=False), expected, strict=True):
        assert (row.video, row.start, row.stop) == (video, start, stop)
        assert math.isnan(row.delay) if delay is None else row.delay == delay
    if not found.detected:
        assert math.isnan(found.mean)
    else:
        assert found.mean == pytest.approx(np.mean([e[3] for e in expected if e[3] is not None]))


def test_hand_computed():
    scores = {"a": np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.1, 0.2, 0.25, 0.1, 0.1])}
    labels = {"a": np.array([0, 0, 1, 1, 1, 0, 1, 1, 0, 0], bool)}
    found = detection_delay(scores, labels, 0.0)
    assert found.threshold == 0.25
    assert found.events["delay"].tolist() == [0.0, 1.0]
    assert (found.mean, found.median, found.detected) == (0.5, 0.0, 2)


def test_missed_events_make_the_median_infinite():
    scores = {"a": np.array([0.5, 0.1, 0.5, 0.1])}
    labels = {"a": np.array([False, True, False, True])}
    found = detection_delay(scores, labels, 0.0)
    assert (found.detected, found.median, found.threshold) == (0, math.inf, math.inf)


def test_the_rate_is_checked():
    with pytest.raises(ConfigError, match="false_alarm_rate"):
        detection_delay({"a": np.zeros(1)}, {"a": np.zeros(1, bool)}, 1.0)
