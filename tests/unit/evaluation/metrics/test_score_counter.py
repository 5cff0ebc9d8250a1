"""Counting scores without sorting them equals sorting them, to the last one, whatever the scores and the pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.evaluation.metrics import score_counter
from vadbench.evaluation.metrics.score_counter import ScoreCounter, ordered_bits

TINY, HUGE = np.float32(1e-45), np.float32(3.4e38)
KINDS = ["smooth", "ties", "constant", "negative", "tails", "denormal", "extremes", "neighbours", "many buckets"]


def scores_of(kind, size=20_000):
    random = np.random.default_rng(KINDS.index(kind))
    whole = random.integers(-3, 4, size)
    made = {
        "smooth": lambda: random.gamma(2, 1, size),
        "ties": lambda: whole / 3,
        "constant": lambda: np.full(size, 0.25),
        "negative": lambda: random.normal(-1, 1, size),
        "tails": lambda: np.exp(random.normal(0, 10, size)) * random.choice([-1, 1], size),
        "denormal": lambda: whole * TINY,
        "extremes": lambda: random.choice(np.array([HUGE, -HUGE, 0.0, -0.0, TINY, -TINY, 1], np.float32), size),
        "neighbours": lambda: np.float32(0.75) + whole * np.float32(2**-24),
        "many buckets": lambda: random.integers(0, 0x7F800000, size, dtype=np.uint32).view(np.float32),
    }
    return made[kind]().astype(np.float32)


def by_sorting(given_scores, scores):
    ordered = np.sort(scores)
    left = np.searchsorted(ordered, given_scores, side="left")
    right = np.searchsorted(ordered, given_scores, side="right")
    return ordered.size - right, right - left


@pytest.fixture(params=[1024, 3, 0], ids=["all buckets have cells", "three do", "none does"])
def tables(request, monkeypatch):
    """The tables from the first score on, for as many buckets."""
    monkeypatch.setattr(score_counter, "_FEW", 0)
    monkeypatch.setattr(score_counter, "_BUCKETS", request.param)


@pytest.mark.parametrize("chunk", [77, 4096, 1 << 16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_equal_those_of_a_sort(tables, kind, chunk, dtype):
    scores = scores_of(kind).astype(dtype)
    distinct = np.unique(scores[:2000])
    counter = ScoreCounter(distinct, chunk)
    for piece in np.split(scores, [1, 5000, 5001, 17_000]):
        counter.add(piece)
    edges = np.unique(np.concatenate([distinct[::5], np.nextafter(distinct[::5], dtype(np.inf))]))
    assert np.array_equal(counter.below(edges), np.searchsorted(np.sort(scores), edges, side="left"))
    above, equal = counter.above_and_equal()
    expected_above, expected_equal = by_sorting(distinct, scores)
    assert np.array_equal(above, expected_above)
    assert np.array_equal(equal, expected_equal)


def test_cells_are_used_once_there_are_many_scores(monkeypatch):
    """The default path: the first scores are searched for, the tables take over, and both count alike."""
    scores = scores_of("smooth", 300_000)
    distinct = np.unique(scores[:1000])
    searched = []
    search = ScoreCounter._searched
    monkeypatch.setattr(
        ScoreCounter, "_searched", lambda self, s, keep_order=False: searched.append(s.size) or search(self, s)
    )
    counter = ScoreCounter(distinct)
    for piece in np.array_split(scores, 3):
        counter.add(piece)
    assert sum(searched) <= 100_000
    for found, expected in zip(counter.above_and_equal(), by_sorting(distinct, scores), strict=True):
        assert np.array_equal(found, expected)


def test_float64_scores_are_not_rounded_onto_float32_ones(tables):
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    counter = ScoreCounter(np.array([low, high]))
    counter.add(np.array([low, high]))
    counter.add(np.array([(float(low) + float(high)) / 2]))
    above, equal = counter.above_and_equal()
    assert above.tolist() == [2, 0]
    assert equal.tolist() == [1, 1]


@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=30),
)
@settings(max_examples=200)
def test_bits_order_as_the_scores(values):
    scores = np.array([*values, 0.0, -0.0], np.float32)
    bits = ordered_bits(scores)
    assert np.array_equal(bits[:, None] < bits[None], scores[:, None] < scores[None])
    assert np.array_equal(bits[:, None] == bits[None], scores[:, None] == scores[None])


def test_ones_are_counted_without_numpy_2():
    random = np.random.default_rng(0)
    bits = np.append(random.integers(0, 2**32, 1000, dtype=np.uint32), np.array([0, 2**32 - 1], np.uint32))
    assert score_counter._count_ones(bits).tolist() == [int(b).bit_count() for b in bits]


def test_no_given_score_at_all(tables):
    counter = ScoreCounter(np.zeros(0, np.float32))
    counter.add(scores_of("smooth"))
    assert counter.total == 20_000
    assert [found.size for found in counter.above_and_equal()] == [0, 0]
    assert counter.below(np.zeros(0, np.float32)).size == 0
