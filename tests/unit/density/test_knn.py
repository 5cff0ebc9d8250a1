"""Nearest-neighbour scores against hand-computed toy banks and a slow reference."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.density.bank import SampleBank
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError, DataError

# Three videos on a line: {0, 1}, {10}, {14, 20}. Without its own video, the nearest other sample of each is at distance
# 0 -> 10: 10, 1 -> 10: 9, 10 -> 14: 4, 14 -> 10: 4, 20 -> 10: 10.
TOY = np.array([[0.0], [1.0], [10.0], [14.0], [20.0]])
GROUPS = np.array([0, 0, 1, 2, 2])


def fitted(**options: object) -> GroupedKNNEstimator:
    estimator = GroupedKNNEstimator(**options)  # type: ignore[arg-type]
    estimator.fit(TOY, GROUPS)
    return estimator


def test_calibration_leaves_out_each_group_in_turn() -> None:
    estimator = fitted()
    assert estimator.calibration is not None
    assert (estimator.calibration.low, estimator.calibration.high) == (4.0, 10.0)
    np.testing.assert_allclose(estimator.raw(np.array([[16.0], [100.0]])), [2.0, 80.0])
    np.testing.assert_allclose(estimator.score(np.array([[16.0], [24.0]])), [(2 - 4) / 6, 0.0])


def test_a_training_video_is_scored_without_itself_and_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = fitted()
    strangers = estimator.score_without(2, np.array([[14.0], [21.0]]))
    np.testing.assert_allclose(strangers, [0.0, (11 - 4) / 6])  # to 10: neither 14 nor 20 is in the bank
    monkeypatch.setattr(estimator.bank, "squared_distances_without", lambda *_: pytest.fail("searched in the fit"))
    np.testing.assert_allclose(estimator.score_without(2, TOY[3:]), [0.0, 1.0])
    np.testing.assert_allclose(estimator.score_without(0, TOY[:2]), [1.0, 5 / 6])


def test_calibration_by_the_last_group_differs() -> None:
    last = GroupedKNNEstimator(calibration="last_group")
    last.fit(TOY, np.array([0, 0, 2, 1, 1]))  # video {10} comes last: its largest score is 4, also the least of all
    assert last.calibration is not None and last.calibration.high == 4.0


@pytest.mark.parametrize("bank", ["full", "coreset:0.5"])
def test_order_of_groups_does_not_matter(bank: str) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(i, 1, (20 + i, 4)).astype(np.float32) for i in range(5)]
    queries = rng.normal(2, 2, (30, 4))
    scores = []
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        estimator = GroupedKNNEstimator(2, bank=bank)
        x = np.concatenate([parts[i] for i in order])
        estimator.fit(x, np.repeat(np.arange(5), [len(parts[i]) for i in order]))
        scores.append(estimator.score(queries))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9)


def test_groups_may_be_scattered() -> None:
    shuffle = np.array([3, 0, 2, 4, 1])
    scattered = GroupedKNNEstimator()
    scattered.fit(TOY[shuffle], GROUPS[shuffle])
    assert scattered.calibration == fitted().calibration


def test_number_of_neighbours_counts() -> None:
    queries = np.array([[2.0]])
    assert fitted(n_neighbors=1).raw(queries)[0] == 1.0
    assert fitted(n_neighbors=3).raw(queries)[0] == pytest.approx((1 + 2 + 8) / 3)
    assert fitted(n_neighbors=1).score(queries)[0] != fitted(n_neighbors=3).score(queries)[0]


def test_squared_distance_is_another_scale() -> None:
    squared = fitted(distance="squared_l2")
    assert squared.calibration is not None
    assert (squared.calibration.low, squared.calibration.high) == (16.0, 100.0)
    assert squared.raw(np.array([[16.0]]))[0] == 4.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), distance=st.sampled_from(["l2", "squared_l2"]))
def test_equals_a_slow_reference(seed: int, k: int, distance: str) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(4), rng.integers(4, 30, 4))
    x = rng.normal(size=(len(groups), 6)).astype(np.float32)
    estimator = GroupedKNNEstimator(k, distance=distance, calibration="p99.9")
    estimator.fit(x, groups)

    def reference(query: np.ndarray, bank: np.ndarray) -> float:
        d = np.linalg.norm(bank.astype(np.float64) - query, axis=1)
        return float(np.mean(np.sort(d**2 if distance == "squared_l2" else d)[:k]))

    training = [reference(x[i], x[groups != groups[i]]) for i in range(len(x))]
    low, high = min(training), np.percentile(training, 99.9)
    queries = rng.normal(size=(10, 6))
    expected = [(reference(q, x) - low) / (high - low) for q in queries]
    np.testing.assert_allclose(estimator.score(queries), expected, rtol=1e-9)


def test_one_group_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="only one training video has samples"):
        GroupedKNNEstimator().fit(TOY, np.zeros(5, int))


def test_too_many_neighbours_for_what_is_left_is_a_clear_error() -> None:
    with pytest.raises(DataError, match=r"n_neighbors=4.*once a training video is left out.*fewer neighbours"):
        fitted(n_neighbors=4)


@pytest.mark.parametrize("bank", ["full", "kmeans:8", "coreset:0.5"])
def test_every_number_of_neighbours_shares_what_is_remembered(bank: str) -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(60, 3)).astype(np.float32), np.repeat(np.arange(12), 5)
    queries = rng.normal(size=(7, 3))
    held: dict[str, dict[str, np.ndarray]] = {}

    def remember(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        if name not in held:
            held[name] = make()
        return held[name]

    for k in (3, 1, 4, 3):
        shared, alone = GroupedKNNEstimator(k, bank=bank), GroupedKNNEstimator(k, bank=bank)
        shared.fit(x, groups, remember)
        alone.fit(x, groups)
        np.testing.assert_array_equal(shared.score(queries), alone.score(queries))
        np.testing.assert_array_equal(shared.score_without(3, x[15:20]), alone.score_without(3, x[15:20]))
    assert len(held) == 2  # the training samples, and the queries
    for other in (x + 1, x[::-1]):  # another training set must find none of it
        GroupedKNNEstimator(bank=bank).fit(other, groups, remember)
    GroupedKNNEstimator(bank=bank).fit(x, groups // 2, remember)
    GroupedKNNEstimator(bank=bank, seed=1, calibration_samples=9).fit(x, groups, remember)
    GroupedKNNEstimator(17 if bank == "full" else 1, bank=bank).fit(x, groups, remember)
    assert len(held) == 6 + (bank == "full")


def test_neighbours_that_were_never_there_are_not_remembered_either() -> None:
    held: dict[str, dict[str, np.ndarray]] = {}
    remember = lambda name, make: held.setdefault(name, make())  # noqa: E731
    GroupedKNNEstimator(3).fit(TOY, GROUPS, remember)
    with pytest.raises(DataError, match="only 3 rows once a training video is left out"):
        GroupedKNNEstimator(4).fit(TOY, GROUPS, remember)


def test_calibration_samples_bound_the_cost_and_are_drawn_by_seed() -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(400, 3)), np.repeat([0, 1], 200)

    def high(**options: int) -> float:
        estimator = GroupedKNNEstimator(**options)  # type: ignore[arg-type]
        estimator.fit(x, groups)
        assert estimator.calibration is not None
        return estimator.calibration.high

    assert high(calibration_samples=400) == high()
    assert high(calibration_samples=40) <= high()
    assert high(calibration_samples=40, seed=1) == high(calibration_samples=40, seed=1)
    assert len({high(calibration_samples=40, seed=seed) for seed in range(4)}) > 1


def test_automatic_calibration_takes_all_up_to_its_bound_and_spreads_it_beyond(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vadbench.density.knn._MOST_CALIBRATED", 60)
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    groups = np.repeat(np.arange(5), [39, 40, 40, 80, 1])

    def fit(n: int, samples: object, rule: str = "max") -> GroupedKNNEstimator:
        estimator = GroupedKNNEstimator(calibration_samples=samples, calibration=rule)  # type: ignore[arg-type]
        estimator.fit(x[:n], groups[:n])
        return estimator

    asked: list[int] = []
    search = SampleBank.squared_distances_without
    count = lambda bank, group, queries, k: asked.append(len(queries)) or search(bank, group, queries, k)  # noqa: E731
    monkeypatch.setattr(SampleBank, "squared_distances_without", count)
    few, every = fit(60, "auto"), fit(60, None)
    assert few.calibration == every.calibration and not few.uses_seed and caplog.messages == []
    asked.clear()
    many = fit(200, "auto", "last_group")
    assert sum(asked) == 60 and len(asked) == 5  # some of every video, of a last one of a single sample too
    assert many.summary()["calibration_samples"] == 60
    assert "60 of the 200 training samples" in caplog.text and "calibration_samples=auto" in caplog.text
    # By hand: of 200 samples the 60 that end at the last, 3 or 4 apart.
    chosen = many._calibration_rows(200)
    assert chosen[-1] == 199 and set(np.diff(chosen)) == {3, 4}
    whole = fit(200, None)
    own = np.concatenate([whole.raw_without(g, x[groups == g]) for g in range(5)])
    assert many.calibration is not None
    assert (many.calibration.low, many.calibration.high) == (own[chosen].min(), own[199])
    loaded = GroupedKNNEstimator(calibration_samples="auto")
    loaded.load_state(many.state())
    assert loaded.summary() == many.summary()


def test_a_float32_bank_is_not_copied() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    estimator = GroupedKNNEstimator()
    estimator.fit(x, np.repeat([0, 1], 25))
    assert np.shares_memory(estimator.bank.rows, x)  # type: ignore[union-attr]


def test_calibration_copies_no_more_than_a_group_at_a_time() -> None:
    def peak(n: int) -> int:
        x, groups = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32), np.arange(n) // 1000
        tracemalloc.start()
        GroupedKNNEstimator().fit(x, groups, lambda name, make: make())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2000)  # what is imported at first use counts for nothing
    kept, bank = 16 * 8, 64 * 4  # bytes a row: its distances to 16 neighbours, and the row itself
    # The search centres a block of 16,384 rows, here nearly all of them: once the bank, and not twice.
    assert peak(20_000) - peak(5000) < 15_000 * (kept + 1.5 * bank)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"distance": "cosine"}, "l2"), ({"bank": "kmeans:0"}, "kmeans:100"), ({"n_neighbors": 0}, "at least 1")],
)
def test_wrong_words_are_explained(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        GroupedKNNEstimator(**options)


def test_nothing_to_score_is_no_score() -> None:
    assert fitted().score(np.zeros((0, 1))).shape == (0,)
