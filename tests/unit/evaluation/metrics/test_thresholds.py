"""F1 at honest thresholds and the oracle's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation import inputs, references
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import f1_at, oracle_f1, training_threshold


@given(data=inputs.frames())
def test_oracle_is_the_best_of_all_thresholds_and_its_threshold_reaches_it(data):
    scores, labels = data
    best, threshold = oracle_f1(scores, labels)
    expected = references.best_f1(scores.tolist(), labels.tolist())
    if math.isnan(expected):
        assert math.isnan(best)
        return
    assert best == pytest.approx(expected)
    hits, alarms = references.confusion(scores.tolist(), labels.tolist(), threshold)
    assert 2 * hits / (hits + alarms + labels.sum()) == pytest.approx(best)


@given(data=inputs.frames(), threshold=inputs.scores)
def test_f1_flags_what_is_strictly_above(data, threshold):
    scores, labels = data
    value = f1_at(scores, labels, threshold)
    if labels.all() or not labels.any():
        assert math.isnan(value)
        return
    flagged = [s > threshold for s in scores.tolist()]
    hits = sum(1 for f, y in zip(flagged, labels, strict=True) if f and y)
    assert value == pytest.approx(2 * hits / (sum(flagged) + labels.sum()))
    assert value <= oracle_f1(scores, labels)[0] + 1e-12


@given(st.lists(inputs.scores, min_size=1, max_size=30), st.floats(0, 1))
def test_a_training_quantile_is_a_training_score_that_enough_do_not_exceed(training, quantile):
    threshold = training_threshold(training, quantile)
    assert threshold in training
    share = sum(1 for s in training if s <= threshold) / len(training)
    assert share >= quantile - 1e-12
    lower = [s for s in training if s < threshold]
    assert not lower or sum(1 for s in training if s <= max(lower)) / len(training) < quantile + 1e-12


def test_the_training_maximum_flags_nothing_seen():
    training = np.random.default_rng(0).random(100)
    assert not (training > training_threshold(training, 1.0)).any()


def test_inputs_are_checked():
    with pytest.raises(ConfigError, match="quantile"):
        training_threshold([1.0], 1.5)
    with pytest.raises(ConfigError, match="no training scores"):
        training_threshold([])
    with pytest.raises(DataError, match="nan"):
        training_threshold([float("nan")])
