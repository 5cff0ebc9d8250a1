"""The pixel-level criterion and its dual-pixel variant against a sweep over every threshold."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation import inputs, references
from vadbench.errors import ConfigError
from vadbench.evaluation import dual_pixel_criterion, pixel_criterion
from vadbench.evaluation.metrics.pixel_criterion import smallest_count


def frames(maps, masks):
    return [m for v in maps for m in maps[v]], [np.asarray(k) > 0 for v in masks for k in masks[v]]


def crossing(fpr, tpr):
    """FPR at the first point of the path with FPR >= 1 - TPR."""
    for i in range(1, len(fpr)):
        if fpr[i] + tpr[i] >= 1:
            share = (1 - fpr[i - 1] - tpr[i - 1]) / (fpr[i] + tpr[i] - fpr[i - 1] - tpr[i - 1])
            return float(fpr[i - 1] + share * (fpr[i] - fpr[i - 1]))
    raise AssertionError


@given(data=inputs.maps(), coverage=st.sampled_from([0.4, 0.1, 1.0, 0.5]))
def test_equals_a_sweep_over_every_threshold(data, coverage):
    maps, masks = data
    found = pixel_criterion(maps, masks, coverage)
    values, truth = frames(maps, masks)
    anomalous = sum(bool(k.any()) for k in truth)
    assert (found.n_anomalous, found.n_normal) == (anomalous, len(truth) - anomalous)
    if not anomalous or anomalous == len(truth):
        assert math.isnan(found.auroc) and math.isnan(found.eer) and math.isnan(found.edr)
        return
    fpr, tpr = references.criterion_path(values, truth, coverage)
    assert found.auroc == pytest.approx(references.trapezoid(fpr, tpr), abs=1e-12)
    assert found.eer == pytest.approx(crossing(fpr, tpr), abs=1e-12)
    assert found.edr == 1 - found.eer


@given(data=inputs.maps(), coverage=st.sampled_from([0.4, 0.1]), precision=st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_dual_pixel_equals_a_sweep_over_every_threshold(data, coverage, precision):
    maps, masks = data
    found = dual_pixel_criterion(maps, masks, coverage, precision)
    values, truth = frames(maps, masks)
    if not found.n_anomalous or not found.n_normal:
        assert math.isnan(found.auroc)
        return
    fpr, tpr = references.criterion_path(values, truth, coverage, precision)
    assert found.auroc == pytest.approx(references.trapezoid(fpr, tpr), abs=1e-12)
    assert found.eer == pytest.approx(crossing(fpr, tpr), abs=1e-12)


def test_two_of_five_pixels_are_enough():
    masks = {"a": np.array([[[1, 1, 1, 1, 1, 0]], [[0, 0, 0, 0, 0, 0]]], bool)}
    two = {"a": np.array([[[0.9, 0.9, 0.1, 0.1, 0.1, 0.0]], [[0.5, 0.0, 0, 0, 0, 0]]])}
    one = {"a": np.array([[[0.9, 0.1, 0.1, 0.1, 0.1, 0.0]], [[0.5, 0.0, 0, 0, 0, 0]]])}
    assert pixel_criterion(two, masks).auroc == 1.0
    assert pixel_criterion(one, masks).auroc == 0.0


def test_the_dual_variant_punishes_flagging_everything():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, 0, 0] = True
    maps = np.full((2, 10, 10), 0.2)
    maps[0] = 0.9
    assert pixel_criterion({"a": maps}, {"a": masks}).auroc == 1.0
    assert dual_pixel_criterion({"a": maps}, {"a": masks}).auroc == 0.0


@given(share=st.integers(1, 100).map(lambda n: n / 100), total=st.integers(1, 20_000))
def test_smallest_count_is_exact(share, total):
    count = smallest_count(share, total)
    exact = Fraction(str(share))
    assert Fraction(count, total) >= exact
    assert count == 1 or Fraction(count - 1, total) < exact


def test_shares_are_checked():
    maps, masks = {"a": np.zeros((1, 2, 2))}, {"a": np.zeros((1, 2, 2), bool)}
    with pytest.raises(ConfigError, match="coverage"):
        pixel_criterion(maps, masks, coverage=40)
    with pytest.raises(ConfigError, match="precision"):
        dual_pixel_criterion(maps, masks, precision=0)
