"""The one-pass histogram keeps its bounds on any data, the worst included."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation import inputs
from tests.unit.evaluation.metrics.test_pixel import Lazy
from vadbench.errors import ConfigError
from vadbench.evaluation import pixel_metrics
from vadbench.evaluation.metrics.pixel_histogram import pixel_histogram

RANGES = [None, (0.0, 1.0), (-1.0, 1.0), (0.3, 0.300001)]


def holds(found, exact):
    for name in ("auroc", "average_precision", "aupro"):
        value, bound, truth = getattr(found, name), getattr(found, name + "_bound"), getattr(exact, name)
        assert bound >= 0
        assert abs(value - truth) <= bound + 1e-12, (name, value, bound, truth)


@given(
    data=inputs.maps(),
    bins=st.sampled_from([2, 3, 7, 256, 65536]),
    value_range=st.sampled_from(RANGES),
    limit=st.sampled_from([0.3, 0.05, 1.0]),
)
@settings(max_examples=150)
def test_bounds_hold(data, bins, value_range, limit):
    maps, masks = data
    exact = pixel_metrics(maps, masks, limit)
    found = pixel_histogram(maps, masks, bins, value_range, limit)
    assert (found.n_anomalous, found.n_normal) == (exact.n_anomalous, exact.n_normal)
    if math.isnan(exact.auroc):
        assert math.isnan(found.auroc) and math.isnan(found.aupro) and math.isnan(found.average_precision)
    else:
        holds(found, exact)


@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize("kind", ["neighbours", "around zero", "huge", "logits", "one against all"])
def test_bounds_hold_on_adversarial_data(kind, value_range):
    """Neighbouring floats fall into one bin, whatever the bins are: the bound must say so, and it does."""
    random = np.random.default_rng(1)
    shape = (4, 30, 40)
    masks = np.zeros(shape, bool)
    masks[1, 3:12, 5:20] = True
    masks[2, 20:25, 30:40] = True
    steps = random.integers(0, 5, shape)
    if kind == "neighbours":
        values = (np.float32(0.75) + steps.astype(np.float32) * np.float32(2**-24)).astype(np.float32)
        values[masks] = np.float32(0.75) + np.float32(5 * 2**-24)
    elif kind == "around zero":
        values = (steps - 2) * np.float32(1e-45)
    elif kind == "huge":
        values = (steps - 2) * 1e300
    elif kind == "logits":
        values = random.normal(size=shape) * 20 + 30 * masks
    else:
        values = np.where(masks, 0.5, np.nextafter(0.5, 1))
    found = pixel_histogram({"a": values}, {"a": masks}, 1 << 12, value_range)
    holds(found, pixel_metrics({"a": values}, {"a": masks}))


def test_fine_bins_of_a_known_range_have_a_tiny_bound_and_it_is_logged(caplog):
    random = np.random.default_rng(0)
    maps = {"a": random.random((5, 60, 80), dtype=np.float32)}
    masks = {"a": np.zeros((5, 60, 80), bool)}
    masks["a"][2, 10:30, 10:30] = True
    with caplog.at_level(logging.INFO):
        found = pixel_histogram(maps, masks, 1 << 16, (0.0, 1.0))
    assert found.auroc_bound < 2e-5
    assert f"± {found.auroc_bound:.1e}" in caplog.text
    assert "65536 bins" in str(found)


def test_every_frame_is_asked_for_once_and_left_alone():
    maps, masks = Lazy(np.random.default_rng(0).random((6, 8, 8))), Lazy(np.ones((6, 8, 8), bool))
    pixel_histogram({"a": maps}, {"a": masks})
    assert maps.looks == masks.looks == [1] * 6


def test_options_are_checked():
    maps, masks = {"a": np.zeros((1, 2, 2))}, {"a": np.zeros((1, 2, 2), bool)}
    for keywords in ({"bins": 1}, {"bins": 1 << 25}, {"value_range": (1.0, 1.0)}, {"fpr_limit": 2.0}):
        with pytest.raises(ConfigError, match=next(iter(keywords))):
            pixel_histogram(maps, masks, **keywords)
