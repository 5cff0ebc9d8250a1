"""PCA against scikit-learn's full SVD, and what must not change its bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from vadbench.density.pca import count_components, decompose


def matrix(n: int, d: int, seed: int = 0, offset: float = 3.0) -> np.ndarray:
    """A float32 matrix with a decaying spectrum and a mean far from zero."""
    rng = np.random.default_rng(seed)
    rank = min(n, d)
    scales = np.logspace(0, -2.5, rank)
    return ((rng.normal(size=(n, rank)) * scales) @ rng.normal(size=(rank, d)) + offset).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (50, 50), (2, 9), (150, 700)])
@pytest.mark.parametrize("level", [0.3, 0.9, 0.98, 0.999, 5])
def test_residuals_equal_those_of_a_full_svd(shape: tuple[int, int], level: float) -> None:
    rows, queries = matrix(*shape), matrix(20, shape[1], seed=1)
    found = decompose([rows[: shape[0] // 3], rows[shape[0] // 3 :]], level, None, 4000)
    k = found.n_components(level)
    reference = PCA(n_components=k, svd_solver="full").fit(rows.astype(np.float64))
    wide = queries.astype(np.float64)
    expected = ((wide - reference.inverse_transform(reference.transform(wide))) ** 2).sum(axis=1)
    np.testing.assert_allclose((found.residual(queries, k) ** 2).sum(axis=1), expected, rtol=1e-6)
    np.testing.assert_allclose(found.residual_energy(queries, [0, k])[1], expected, rtol=1e-6)
    np.testing.assert_allclose(found.variance_share(k), reference.explained_variance_ratio_.sum(), rtol=1e-9)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_enough_components_and_not_one_more(values: list[float], level: float) -> None:
    variances = np.sort(np.array(values))[::-1]
    k = count_components(variances, level)
    share = np.concatenate([[0.0], np.cumsum(variances) / variances.sum()])
    assert 1 <= k <= len(variances)
    assert share[k] >= min(level, share[-1])
    assert share[k - 1] < level
    assert count_components(variances, level, "one_fewer") == k - 1


def test_scikit_learn_keeps_as_many() -> None:
    rows = matrix(60, 200)
    for level in (0.5, 0.9, 0.98):
        expected = PCA(n_components=level, svd_solver="full").fit(rows.astype(np.float64)).n_components_
        assert decompose([rows], level).n_components(level) == expected


def test_a_shallow_decomposition_is_the_deep_one_cut_short_to_the_bit() -> None:
    rows = matrix(200, 400)
    deep, shallow = decompose([rows], 180), decompose([rows], 10)
    assert len(deep.basis) > len(shallow.basis) >= 10
    np.testing.assert_array_equal(deep.basis[: len(shallow.basis)], shallow.basis)
    np.testing.assert_array_equal(deep.variances, shallow.variances)


def test_what_is_remembered_is_not_made_again() -> None:
    rows, made, memory = matrix(200, 400), [], {}

    def remember(name, make):  # type: ignore[no-untyped-def]
        if name not in memory:
            made.append(name)
            memory[name] = make()
        return memory[name]

    decompose([rows], 10, remember)
    deep = decompose([rows], 100, remember)
    decompose([rows], 0.5, remember)
    assert made == ["spectrum", "basis0", "basis64"]
    shared = {k: deep.residual(rows[:9], k, remember) for k in (70, 100, 3)}
    assert made == ["spectrum", "basis0", "basis64", "scores0", "scores64"]
    for k, residual in shared.items():
        np.testing.assert_array_equal(residual, deep.residual(rows[:9], k))


def test_all_variance_leaves_no_residual_and_an_orthonormal_basis() -> None:
    rows = matrix(80, 500)
    found = decompose([rows], 1.0)
    k = found.n_components(1.0)
    assert k == 79
    np.testing.assert_allclose(found.basis[:k] @ found.basis[:k].T, np.eye(k), atol=1e-9)
    assert np.abs(found.residual(rows, k)).max() < 1e-4 * np.abs(rows).max()


def test_a_constant_matrix_has_no_direction() -> None:
    rows = np.full((6, 30), 0.1, np.float32)
    found = decompose([rows], 0.98)
    assert found.n_components(0.98) == 0
    np.testing.assert_allclose((found.residual(rows + 1, 0) ** 2).sum(axis=1), 30.0, rtol=1e-6)


def test_inputs_stay_as_they_were() -> None:
    rows = matrix(10, 30)
    before = rows.copy()
    decompose([rows], 0.9).residual(rows, 2)
    np.testing.assert_array_equal(rows, before)


@settings(max_examples=15)
@given(st.integers(300, 20000))
def test_the_block_size_changes_nothing_that_matters(block: int) -> None:
    rows = matrix(30, 90)
    whole, blocked = decompose([rows], 0.95), decompose([rows[:7], rows[7:]], 0.95, None, block)
    np.testing.assert_allclose(
        blocked.residual_energy(rows, [5])[0], whole.residual_energy(rows, [5])[0], rtol=1e-9, atol=1e-12
    )


def test_what_can_not_be_decomposed_is_refused() -> None:
    with pytest.raises(ValueError, match="two rows"):
        decompose([matrix(1, 5)], 0.9)
    bad = matrix(5, 9)
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        decompose([bad], 0.9)
    with pytest.raises(ValueError, match="decompose deeper"):
        decompose([matrix(300, 400)], 3).residual(matrix(2, 400), 200)
