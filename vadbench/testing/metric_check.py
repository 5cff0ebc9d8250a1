"""Conformance of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.testing import made_up
from vadbench.testing.require import require, require_close, require_same, run_checks, unchanged

Metric = Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], Any]


def check_metric(metric: str | Metric) -> list[str]:
    """Return what holds of a metric, the name of a registered one or a function.

    Nonconformance where it does not: a number for each set of videos, the same at every call, whatever the order and
    the names of the videos; inputs left as they are; repeated videos and videos of one class borne.
    """
    function: Metric = registry.get("metric", metric).build if isinstance(metric, str) else metric
    name = repr(metric) if isinstance(metric, str) else getattr(metric, "__name__", "")
    return run_checks(f"metric {name}", lambda: _checks(function))


def _checks(metric: Metric) -> Iterable[str]:
    scores, labels = made_up.scores()
    with unchanged(_named(scores, labels)):
        value = _value(metric, scores, labels)
    require(np.isfinite(value), f"is {value} where both classes are present")
    yield "a number where both classes are present"
    yield "changes none of its inputs"
    require_same(value, _value(metric, scores, labels), "is not deterministic: two calls give different numbers")
    yield "deterministic"
    backwards = {video: scores[video] for video in reversed(scores)}
    other = _value(metric, backwards, labels), _value(metric, backwards, {v: labels[v] for v in backwards})
    require_close([value, value], other, "depends on the order of the videos")
    yield "does not depend on the order of the videos"
    renamed = {video: f"other {7 - number}" for number, video in enumerate(scores)}
    other_name = _value(metric, _renamed(scores, renamed), _renamed(labels, renamed))
    require_close(value, other_name, "depends on the names of the videos")
    yield "does not depend on the names of the videos"
    _repeated(metric, scores, labels)
    yield "bears repeated videos under new ids"
    for video in scores:
        _value(metric, {video: scores[video]}, {video: labels[video]})
    yield "bears videos of one class"


def _repeated(metric: Metric, scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    first = next(iter(scores))
    ids = {**{f"{video}#0": video for video in scores}, f"{first}#1": first}
    try:
        value = _value(metric, {i: scores[v] for i, v in ids.items()}, {i: labels[v] for i, v in ids.items()})
    except Exception as error:
        require(False, f"does not bear repeated videos under new ids: {type(error).__name__}: {error}")
    require(np.isfinite(value), f"is {value} where a video is repeated under a new id")


def _value(metric: Metric, scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> float:
    value = metric(dict(scores), dict(labels))
    require(np.ndim(value) == 0 and value is not None, f"returns {type(value).__name__} and not one number")
    return float(value)


def _renamed(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {names[video]: array for video, array in arrays.items()}


def _named(scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        **{f"the scores of {video}": array for video, array in scores.items()},
        **{f"the labels of {video}": array for video, array in labels.items()},
    }
