"""Streams are fitted apart and summed after calibration."""

from __future__ import annotations

import numpy as np
import pytest

from vadbench.density.combined import CombinedDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(4), 25)
FEATURES = {
    "velocity": RNG.normal(1, 1, (100, 1)),
    "pose": RNG.normal(size=(100, 6)),
    "deep": RNG.normal(size=(100, 9)),
}


def estimators() -> dict:
    return {"velocity": GMMEstimator(2), "pose": GroupedKNNEstimator(), "deep": GroupedKNNEstimator(2)}


def test_each_stream_is_what_it_is_alone_and_the_total_is_their_sum() -> None:
    combined = CombinedDensityEstimator(estimators=estimators())
    combined.fit(FEATURES, GROUPS)
    queries = {name: x[:7] + 0.3 for name, x in FEATURES.items()}
    scores = combined.score(queries)
    for name, estimator in estimators().items():
        estimator.fit(FEATURES[name], GROUPS)
        np.testing.assert_array_equal(scores[name], estimator.score(queries[name]))
    np.testing.assert_allclose(combined.total(scores), scores["velocity"] + scores["pose"] + scores["deep"])


def test_a_stream_can_be_scored_and_left_out_of_the_sum() -> None:
    combined = CombinedDensityEstimator(estimators=estimators(), in_sum=("velocity", "pose"))
    combined.fit(FEATURES, GROUPS)
    scores = combined.score(FEATURES)
    assert set(scores) == {"velocity", "pose", "deep"}
    np.testing.assert_allclose(combined.total(scores), scores["velocity"] + scores["pose"])


def test_samples_without_a_feature_take_no_part_and_add_the_minimum() -> None:
    with_gaps = {**FEATURES, "pose": FEATURES["pose"].copy()}
    with_gaps["pose"][::2] = np.nan
    combined = CombinedDensityEstimator(estimators=estimators())
    combined.fit(with_gaps, GROUPS)
    scores = combined.score(with_gaps)
    alone = GroupedKNNEstimator()
    alone.fit(FEATURES["pose"][1::2], GROUPS[1::2])
    assert np.isnan(scores["pose"][::2]).all()
    np.testing.assert_array_equal(scores["pose"][1::2], alone.score(FEATURES["pose"][1::2]))
    total = combined.total(scores)
    np.testing.assert_allclose(total[::2], scores["velocity"][::2] + scores["deep"][::2])


def test_no_samples_no_scores() -> None:
    combined = CombinedDensityEstimator(estimators=estimators())
    combined.fit(FEATURES, GROUPS)
    scores = combined.score({name: x[:0] for name, x in FEATURES.items()})
    assert all(s.shape == (0,) for s in scores.values()) and combined.total(scores).shape == (0,)


def test_wrong_sums_are_explained() -> None:
    with pytest.raises(ConfigError, match="Did you mean: pose"):
        CombinedDensityEstimator(estimators=estimators(), in_sum=["poses"])
    with pytest.raises(ConfigError, match="sum of streams is empty"):
        CombinedDensityEstimator(estimators=estimators(), in_sum=[])
    with pytest.raises(ConfigError, match="No feature stream is on"):
        CombinedDensityEstimator(False, False)
