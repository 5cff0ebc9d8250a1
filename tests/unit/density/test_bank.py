"""Compressed banks: what they keep, what they cost, and that a group can still be taken out of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans

from vadbench.density.bank import CentreBank, SampleBank, build_bank, greedy_coreset, kmeans, parse_bank
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(6), 50)
ROWS = RNG.normal(RNG.normal(0, 4, (6, 5))[GROUPS], 1).astype(np.float32)


def inertia(rows: np.ndarray, centres: np.ndarray) -> float:
    return float(np.square(rows[:, None] - centres[None]).sum(2).min(1).sum())


def test_kmeans_is_a_fixed_point_of_lloyds_algorithm() -> None:
    centres, assignment = kmeans(ROWS, 8, seed=0)
    nearest = np.square(ROWS[:, None] - centres[None]).sum(2).argmin(1)
    np.testing.assert_array_equal(assignment, nearest)
    for i in range(len(centres)):
        np.testing.assert_allclose(centres[i], ROWS[assignment == i].mean(0), atol=1e-5)


def test_kmeans_is_as_good_as_scikit_learns() -> None:
    ours = inertia(ROWS, kmeans(ROWS, 8, seed=0)[0])
    theirs = np.median([KMeans(8, n_init=1, random_state=seed).fit(ROWS).inertia_ for seed in range(20)])
    assert ours < 1.15 * theirs


def test_as_many_centres_as_rows_is_the_full_bank() -> None:
    queries = RNG.normal(size=(20, 5))
    centres = build_bank(f"kmeans:{len(ROWS)}", ROWS, GROUPS)
    full = build_bank("full", ROWS, GROUPS)
    assert centres.size == full.size == 300
    np.testing.assert_allclose(centres.squared_distances(queries, 3), full.squared_distances(queries, 3), rtol=1e-5)
    np.testing.assert_allclose(
        centres.squared_distances_without(2, queries, 3), full.squared_distances_without(2, queries, 3), rtol=1e-5
    )


def test_a_group_is_taken_out_of_the_centres() -> None:
    bank = CentreBank(ROWS, GROUPS, 8, seed=0)
    others = GROUPS != 3
    left = [ROWS[others & (bank.assignment == c)] for c in range(bank.size)]
    expected = np.stack([rows.mean(0) for rows in left if len(rows)])
    queries = RNG.normal(size=(15, 5))
    by_hand = np.sort(np.square(queries[:, None] - expected[None]).sum(2), axis=1)[:, :2]
    np.testing.assert_allclose(bank.squared_distances_without(3, queries, 2), by_hand, rtol=1e-4)


def test_a_group_with_a_cluster_of_its_own_takes_it_along() -> None:
    rows = np.array([[0.0], [0.1], [9.0], [9.1]], np.float32)
    bank = CentreBank(rows, np.array([0, 1, 2, 2]), 2, seed=0)
    assert bank.size == 2
    assert bank.squared_distances(np.array([[9.05]]), 1)[0, 0] == pytest.approx(0, abs=1e-8)
    assert bank.squared_distances_without(2, np.array([[9.05]]), 1)[0, 0] == pytest.approx(9.0**2, rel=1e-5)


def test_coreset_covers_at_most_twice_the_best_radius() -> None:
    rows = np.random.default_rng(3).normal(size=(11, 2)).astype(np.float32)

    def radius(chosen: np.ndarray | tuple[int, ...]) -> float:
        return float(np.linalg.norm(rows[:, None] - rows[None, list(chosen)], axis=2).min(1).max())

    best = min(radius(chosen) for chosen in itertools.combinations(range(11), 4))
    assert radius(greedy_coreset(rows, 4)) <= 2 * best


def test_coreset_rows_are_distinct_even_among_duplicates() -> None:
    chosen = greedy_coreset(np.zeros((6, 3), np.float32), 4)
    assert len(set(chosen.tolist())) == 4 and np.all(np.diff(chosen) > 0)


def test_coreset_keeps_groups_and_its_share_of_rows() -> None:
    bank = build_bank("coreset:0.1", ROWS, GROUPS)
    assert isinstance(bank, SampleBank) and bank.size == 30
    original = {tuple(row): group for row, group in zip(ROWS, GROUPS, strict=True)}
    assert [original[tuple(row)] for row in bank.rows] == bank.groups.tolist()


@pytest.mark.parametrize("kind", ["kmeans:10", "coreset:0.2"])
def test_calibration_on_a_compressed_bank_spans_the_unit_interval(kind: str) -> None:
    estimator = GroupedKNNEstimator(bank=kind)
    estimator.fit(ROWS, GROUPS)
    again = GroupedKNNEstimator(bank=kind)
    again.fit(ROWS, GROUPS)
    assert estimator.calibration == again.calibration
    assert estimator.score(np.full((1, 5), 60.0))[0] > 1 > np.median(estimator.score(ROWS))


def test_one_centre_for_all_is_the_distance_to_the_mean_of_the_others() -> None:
    estimator = GroupedKNNEstimator(bank="kmeans:1")
    estimator.fit(ROWS, GROUPS)
    own = [np.linalg.norm(row - ROWS[group != GROUPS].mean(0)) for row, group in zip(ROWS, GROUPS, strict=True)]
    assert estimator.calibration is not None
    assert estimator.calibration.high == pytest.approx(max(own), rel=1e-5)
    assert estimator.calibration.low == pytest.approx(min(own), rel=1e-5)


@pytest.mark.parametrize("word", ["", "all", "full:3", "kmeans", "kmeans:x", "kmeans:-2", "coreset:0", "coreset:1.5"])
def test_wrong_words_list_what_there_is(word: str) -> None:
    with pytest.raises(ConfigError, match="full, kmeans:"):
        parse_bank(word)
