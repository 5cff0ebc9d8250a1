"""A density of one's own writes fit and raw, without super(); the framework does the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vadbench.density.base import BaseDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.density.pca import Pca

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 5)).astype(np.float32)
GROUPS = np.repeat(np.arange(4), 10)
NEW = RNG.normal(size=(7, 5)).astype(np.float32)


class Nearest(BaseDensityEstimator):
    """Distance to the nearest training sample."""

    def __init__(self, config: Any, seed: int) -> None:
        self.config, self.seed = config, seed

    def fit(self, features: np.ndarray, groups: np.ndarray, remember: Any = None) -> None:
        self.rows = features.astype(np.float64)

    def raw(self, features: np.ndarray) -> np.ndarray:
        return distances(features, self.rows)


def distances(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(features[:, None].astype(np.float64) - rows[None], axis=2).min(axis=1)


def test_a_group_is_left_out_by_a_fit_without_it() -> None:
    mine = Nearest(None, 0)
    mine.learn([FEATURES[:15], FEATURES[15:]], GROUPS)
    np.testing.assert_array_equal(mine.raw(FEATURES), 0)
    for group in range(4):
        inside = group == GROUPS
        expected = distances(FEATURES[inside], FEATURES[~inside])
        np.testing.assert_allclose(mine.raw_without(group, FEATURES[inside]), expected)
    np.testing.assert_allclose(mine.raw(NEW), distances(NEW, FEATURES))  # the fit itself is as it was


def test_the_framework_calibrates_on_raw_scores() -> None:
    mine = Nearest(None, 0)
    mine.learn([FEATURES[:20]], GROUPS[:20])
    mine.calibrate(FEATURES, GROUPS)
    raw = mine.raw(FEATURES)
    np.testing.assert_allclose(mine.score(NEW), (mine.raw(NEW) - raw.min()) / (raw.max() - raw.min()))
    mine.learn([FEATURES], GROUPS)
    assert mine.calibration is None


@pytest.mark.parametrize(
    "make", [lambda: Nearest(None, 0), GroupedKNNEstimator, GMMEstimator, lambda: Pca(2), lambda: Pca(0.9)]
)
def test_one_density_a_location_is_each_alone(make: Any) -> None:
    cells, new = np.stack([FEATURES, FEATURES * 2 + 1]), np.stack([NEW, NEW])
    together = make()
    together.fit_cells(cells, GROUPS)
    for number, cell in enumerate(cells):
        alone = make()
        alone.learn([cell], GROUPS)
        np.testing.assert_array_equal(together.raw_cells(new)[number], alone.raw(NEW))
        inside = GROUPS == 2
        found = together.raw_cells_without(2, cells[:, inside])[number]
        np.testing.assert_array_equal(found, alone.raw_without(2, cell[inside]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Nearest(None, 0),
        GroupedKNNEstimator,
        lambda: GroupedKNNEstimator(2, bank="kmeans:5"),
        lambda: GroupedKNNEstimator(bank="coreset:0.5", distance="squared_l2"),
        GMMEstimator,
        lambda: Pca(2),
        lambda: Pca(0.9),
    ],
)
def test_a_fit_is_saved_and_loaded_to_the_bit(make: Any) -> None:
    import json

    fitted, fresh = make(), make()
    fitted.learn([FEATURES], GROUPS)
    fitted.calibrate(FEATURES, GROUPS)
    arrays, values = fitted.state()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    fresh.load_state(type(fitted.state())(arrays, json.loads(json.dumps(values))))
    np.testing.assert_array_equal(fresh.score(NEW), fitted.score(NEW))


def test_what_can_not_be_saved_is_named() -> None:
    mine = Nearest(None, 0)
    mine.learn([FEATURES], GROUPS)
    mine.tree = object()
    with pytest.raises(TypeError, match=r"Nearest\.tree is a object.*state\(\) and load_state\(\)"):
        mine.state()


def test_residual_energy_of_locations_adds_up() -> None:
    rows = RNG.normal(size=(30, 2 * 3 * 4 * 5))
    pca = Pca(0.5)
    pca.fit(rows, np.zeros(30, int))
    energy = pca.location_energy(rows, (2, 3, 4, 5))
    assert energy.shape == (30, 4, 5)
    np.testing.assert_allclose(energy.sum(axis=(1, 2)), pca.raw(rows))
    centred = rows - rows.mean(axis=0)
    kept = np.linalg.svd(centred, full_matrices=False)[2][: pca.n_components]
    np.testing.assert_allclose(pca.raw(rows), np.square(centred - centred @ kept.T @ kept).sum(axis=1))
    np.testing.assert_allclose(pca.raw_without(0, rows), pca.raw(rows))
