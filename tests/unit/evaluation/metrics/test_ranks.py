"""The rank table itself: exact counts at any size, and any crossing of the ROC."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vadbench.evaluation.metrics import ranks

whole = st.integers(0, 2**61)


@given(st.lists(st.tuples(st.integers(0, 2**33), whole), max_size=30))
def test_sums_of_products_are_exact(pairs):
    left = np.array([a for a, _ in pairs], dtype=np.int64)
    right = np.array([b for _, b in pairs], dtype=np.int64)
    assert ranks.int_dot(left, right) == sum(a * b for a, b in pairs)


def test_auroc_is_exact_where_products_leave_64_bits():
    """1e10 normal and 4e9 anomalous pixels: 4e19 pairs."""
    n_positive, n_negative = 4_000_000_001, 10_000_000_019
    table = ranks.RankTable(
        np.array([2.0, 1.0]),
        np.array([n_positive - 7, 7]),
        np.array([3, 5_000_000_000]),
        np.array([1, 1_000_000_001]),
        n_positive,
        n_negative,
    )
    pairs = Fraction(0)
    for count, above, equal in ((n_positive - 7, 3, 1), (7, 5_000_000_000, 1_000_000_001)):
        pairs += count * (n_negative - above - equal + Fraction(equal, 2))
    assert ranks.auroc(table) == float(pairs / (n_positive * n_negative))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_counts_are_the_counts(frames):
    scores = np.array([s for s, _ in frames], dtype=np.float64)
    labels = np.array([y for _, y in frames])
    table = ranks.rank_table(scores, labels)
    assert table.score.tolist() == sorted({s for s, y in frames if y}, reverse=True)
    for score, count, above, equal in zip(table.score, table.positives, table.above, table.equal, strict=True):
        assert count == sum(1 for s, y in frames if y and s == score)
        assert above == sum(1 for s, y in frames if not y and s > score)
        assert equal == sum(1 for s, y in frames if not y and s == score)
    assert (table.n_positive, table.n_negative) == (labels.sum(), (~labels).sum())


def test_the_crossing_may_lie_on_a_corner_or_on_the_last_line():
    assert ranks.crossing(np.array([0.0, 0.5]), np.array([1.0, 1.0])) == 0.0
    assert ranks.crossing(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == 1.0
    assert ranks.crossing(np.array([0.5, 1.0]), np.array([0.5, 1.0])) == 0.5
