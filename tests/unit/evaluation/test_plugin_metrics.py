"""Metrics from outside: their intervals against resamples written out by hand, and what they cost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vadbench import registry
from vadbench.errors import ConfigError
from vadbench.evaluation import evaluate
from vadbench.evaluation import plugin_metrics as module
from vadbench.evaluation.intervals.bootstrap import class_videos, paired_bootstrap
from vadbench.evaluation.intervals.interval import WIDE_NOTE, interval
from vadbench.evaluation.metrics.frame import frame_auroc
from vadbench.evaluation.plugin_metrics import paired_metrics, plugin_metrics

pytestmark = pytest.mark.usefixtures("own_registry")

RNG = np.random.default_rng(0)
LABELS = {f"v{n}": np.arange(20) > 12 for n in range(14)}
FIRST = {v: RNG.normal(size=20) + y for v, y in LABELS.items()}
SECOND = {v: RNG.normal(size=20) + 3 * y for v, y in LABELS.items()}


def registered(function: Callable[..., Any], **facts: Any) -> Callable[..., Any]:
    calls: list[int] = []

    def metric(scores: dict[str, Any], labels: dict[str, Any]) -> float:
        calls.append(len(scores))
        return float(function(scores, labels))

    metric.__module__, metric.calls = __name__, calls  # type: ignore[attr-defined]
    registry.metric("mine", higher_is_better=True, **facts)(metric)
    return metric


def gap(scores: dict[str, Any], labels: dict[str, Any]) -> float:
    joined, marks = np.concatenate(list(scores.values())), np.concatenate([labels[v] for v in scores])
    return float(100 * (joined[marks].mean() - joined[~marks].mean()))


def auroc(scores: dict[str, Any], labels: dict[str, Any]) -> float:
    return frame_auroc(np.concatenate(list(scores.values())), np.concatenate([labels[v] for v in scores]))


def test_the_interval_is_that_of_the_same_resamples_written_out() -> None:
    registered(gap)
    entry = plugin_metrics(FIRST, LABELS, "raw", 200, 3)["mine"]
    names = sorted(FIRST)

    def drawn(counts: np.ndarray) -> np.ndarray:
        values = []
        for row in counts:
            ids = np.repeat(np.arange(len(names)), row.astype(int))
            s = np.concatenate([FIRST[names[i]] for i in ids])
            y = np.concatenate([LABELS[names[i]] for i in ids])
            values.append(100 * (s[y].mean() - s[~y].mean()))
        return np.array(values)

    expected = interval(drawn, 14, gap(FIRST, LABELS), 200, 3, share=False, **class_videos(LABELS))
    assert (entry["value"], entry["ci_low"], entry["ci_high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    # Wider than 0.3, which says nothing of a metric whose unit is not a share.
    assert entry["ci_high"] - entry["ci_low"] > 0.3 and WIDE_NOTE not in entry["ci_notes"]


def test_a_paired_interval_is_that_of_the_built_in_metric() -> None:
    registered(auroc)
    values, found = paired_metrics(FIRST, SECOND, LABELS, 300, 1)["mine"]
    expected = paired_bootstrap(frame_auroc, FIRST, SECOND, LABELS, 300, 1)
    assert values == [auroc(FIRST, LABELS), auroc(SECOND, LABELS)]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.share_above_zero == expected.share_above_zero


@pytest.mark.parametrize(("facts", "evaluations"), [({}, 1 + 100 + 28), ({"resamples": 10}, 1 + 10 + 28)])
def test_a_metric_is_evaluated_as_often_as_it_was_registered_for(facts: dict[str, Any], evaluations: int) -> None:
    metric = registered(gap, **facts)
    plugin_metrics(FIRST, LABELS, "raw", 100, 0)
    assert len(metric.calls) == evaluations  # type: ignore[attr-defined]


def test_without_resamples_there_is_a_value_and_no_interval() -> None:
    metric = registered(gap, resamples=0)
    entry = plugin_metrics(FIRST, LABELS, "raw", 2000, 0)["mine"]
    assert len(metric.calls) == 1  # type: ignore[attr-defined]
    assert entry["value"] == pytest.approx(gap(FIRST, LABELS)) and np.isnan(entry["ci_low"])
    assert entry["ci_notes"] == ["no interval: registered with resamples=0"]


def test_what_takes_long_is_said_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registered(gap)
    with caplog.at_level(logging.WARNING):
        plugin_metrics(FIRST, LABELS, "raw", 20, 0)
        assert not caplog.messages
        monkeypatch.setattr(module, "_LONG_S", 0)
        plugin_metrics(FIRST, LABELS, "raw", 20, 0)
    assert "metric mine: 20 resamples" in caplog.text and "resamples=0" in caplog.text


def test_a_name_of_a_built_in_metric_is_taken() -> None:
    registered(gap)
    masks = {v: (np.zeros((20, 8, 8), dtype=bool) | y[:, None, None]) for v, y in LABELS.items()}
    maps = {v: np.repeat(s, 64).reshape(20, 8, 8) for v, s in FIRST.items()}
    found = evaluate(
        FIRST,
        LABELS,
        training_scores=FIRST["v0"],
        maps_by_video=maps,
        masks_by_video=masks,
        resamples=10,
        regions_from_maps=True,
    )
    built_in = set(found.metrics) - {"mine"}
    assert built_in == set(registry.METRICS)
    with pytest.raises(ConfigError, match="the metric name 'rbdc' is taken by a built-in part"):
        registry.metric("rbdc", higher_is_better=True)(gap)


def test_a_metric_that_raises_is_named() -> None:
    registered(lambda scores, labels: 1 / 0)
    with pytest.raises(ConfigError, match=r"metric 'mine': ZeroDivisionError"):
        plugin_metrics(FIRST, LABELS, "raw", 10, 0)
