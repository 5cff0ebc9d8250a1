"""The documented interface of densities, update, fit() and predict, is the contract under other names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vadbench.density.base import BaseDensityEstimator
from vadbench.errors import ConfigError, DataError
from vadbench.models.ai_vad import CombinedDensityEstimator, FeatureType, GMMEstimator, GroupedKNNEstimator

RNG = np.random.default_rng(0)
VIDEOS = {"b": RNG.normal(size=(30, 3)), "a": RNG.normal(size=(20, 3)) + 1, "c": RNG.normal(size=(10, 3))}
ROWS = np.concatenate(list(VIDEOS.values()))
GROUPS = np.repeat([0, 1, 2], [30, 20, 10])
QUERY = RNG.normal(size=(7, 3)) * 2


def updated(estimator: GMMEstimator | GroupedKNNEstimator) -> GMMEstimator | GroupedKNNEstimator:
    """Fitted frame by frame, the videos taking turns."""
    for half in (0, 1):
        for video, rows in VIDEOS.items():
            estimator.update(np.array_split(rows, 2)[half], group=video)
    estimator.fit()
    return estimator


@pytest.mark.parametrize("make", [lambda: GMMEstimator(2), lambda: GroupedKNNEstimator(3)])
def test_samples_that_come_in_parts_make_the_density_of_all(make) -> None:
    whole = make()
    whole.fit(ROWS, GROUPS)
    collected = updated(make())
    np.testing.assert_allclose(collected.predict(QUERY), whole.score(QUERY), rtol=1e-12)
    np.testing.assert_allclose(collected.predict(QUERY, normalize=False), whole.raw(QUERY), rtol=1e-12)
    np.testing.assert_array_equal(collected(QUERY), collected.predict(QUERY))
    assert collected.predict(QUERY[:0]).shape == (0,)


def test_tensors_are_answered_with_tensors() -> None:
    estimator = GMMEstimator(n_components=2)
    estimator.update(torch.from_numpy(ROWS).float())
    estimator.fit()
    scores = estimator.predict(torch.from_numpy(QUERY).float())
    assert scores.shape == (7,) and scores.dtype == torch.float32
    np.testing.assert_allclose(scores, updated(GMMEstimator(2)).predict(QUERY), rtol=1e-3, atol=1e-4)


def distances(query: np.ndarray, bank: np.ndarray, k: int) -> np.ndarray:
    """The slow way."""
    return np.array([np.sort([np.linalg.norm(q - row) for row in bank])[:k].mean() for q in query])


def test_a_group_can_be_left_out_and_neighbours_counted_anew() -> None:
    estimator = updated(GroupedKNNEstimator(n_neighbors=2))
    without = np.concatenate([VIDEOS["b"], VIDEOS["c"]])
    mine = VIDEOS["a"]
    found = estimator.predict(mine, group="a", normalize=False)
    np.testing.assert_allclose(found, distances(mine, without, 2), atol=1e-5)
    found = estimator.predict(mine, "a", 5, False)
    np.testing.assert_allclose(found, distances(mine, without, 5), atol=1e-5)
    own = np.concatenate([distances(r, np.concatenate([o for n, o in VIDEOS.items() if n != v]), 2)
                          for v, r in VIDEOS.items()])  # fmt: skip
    scaled = (distances(QUERY, ROWS, 2) - own.min()) / (own.max() - own.min())
    np.testing.assert_allclose(estimator.predict(QUERY), scaled, atol=1e-5)


def test_streams_are_updated_together_and_make_region_and_frame_scores() -> None:
    combined = CombinedDensityEstimator(use_velocity_features=True, n_components_velocity=2, n_neighbors_deep=2)
    for video, rows in VIDEOS.items():
        tensors = torch.from_numpy(rows).float()
        frame = {FeatureType.VELOCITY: tensors[:, :1], FeatureType.POSE: tensors[:, 1:], FeatureType.DEEP: tensors * 2}
        combined.update(frame, group=video)
    combined.fit()
    rows = ROWS.astype(np.float32)
    alone = {"velocity": GMMEstimator(2), "pose": GroupedKNNEstimator(1), "deep": GroupedKNNEstimator(2)}
    given = {"velocity": rows[:, :1], "pose": rows[:, 1:], "deep": rows * 2}
    query = QUERY.astype(np.float32)
    asked = {"velocity": query[:, :1], "pose": query[:, 1:], "deep": query * 2}
    for name, estimator in alone.items():
        estimator.fit(given[name], GROUPS)
    scores = [estimator.score(asked[name]) for name, estimator in alone.items()]
    regions, frame = combined.predict({FeatureType(name): torch.from_numpy(x) for name, x in asked.items()})
    np.testing.assert_allclose(regions, np.sum(scores, axis=0), rtol=1e-5)
    np.testing.assert_allclose(frame, sum(s.max() for s in scores), rtol=1e-5)
    assert regions.shape == (7,) and frame.shape == ()
    empty = {FeatureType(name): torch.from_numpy(x[:0]) for name, x in asked.items()}
    regions, frame = combined(empty)
    assert regions.shape == (0,) and frame == 0


def test_documented_defaults() -> None:
    estimators = CombinedDensityEstimator().estimators
    assert sorted(estimators) == ["deep", "pose"]
    velocity = CombinedDensityEstimator(False, False, True).estimators["velocity"]
    assert isinstance(velocity, GMMEstimator) and velocity.n_components == 5


def test_the_contract_does_not_ask_for_it() -> None:
    assert BaseDensityEstimator.__abstractmethods__ == {"fit", "raw"}
    assert not hasattr(BaseDensityEstimator, "update") and not hasattr(BaseDensityEstimator, "predict")

    class Own(BaseDensityEstimator):
        def fit(self, features, groups, remember=None) -> None:
            pass

        def raw(self, features) -> np.ndarray:
            return features[:, 0]

    with pytest.raises(ConfigError, match="'deep' has no update"):
        CombinedDensityEstimator(estimators={"deep": Own()}).update({"deep": ROWS})


def test_mistakes_are_explained() -> None:
    with pytest.raises(DataError, match=r"call update\(features, group\)"):
        GMMEstimator().fit()
    with pytest.raises(DataError, match=r"\(N, D\) and got \(3,\)"):
        GMMEstimator().update(np.zeros(3))
    with pytest.raises(ConfigError, match=r"group='d': no training samples of it\. Available: a, b, c"):
        updated(GroupedKNNEstimator()).predict(QUERY, group="d")
    with pytest.raises(DataError, match="no pose features"):
        CombinedDensityEstimator().update({FeatureType.DEEP: ROWS})
    single = GroupedKNNEstimator()
    single.update(ROWS)
    with pytest.raises(DataError, match="at least two training videos"):
        single.fit()
