"""Principal components against a full SVD in float64, what must not change their bits, and what is read how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from vadbench.density import decomposition, spectrum
from vadbench.density.decomposition import Decomposition, count_components, decompose
from vadbench.density.device import Cpu, Gpu
from vadbench.errors import DataError


def matrix(n: int, d: int, seed: int = 0, offset: float = 3.0) -> np.ndarray:
    """A float32 matrix with a decaying spectrum and a mean far from zero."""
    rng = np.random.default_rng(seed)
    rank = min(n, d)
    scales = np.logspace(0, -2.5, rank)
    return ((rng.normal(size=(n, rank)) * scales) @ rng.normal(size=(rank, d)) + offset).astype(np.float32)


class Counting:
    """An array that notes how often each of its values was taken, by slices as PCA takes them."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.taken = np.zeros(values.shape, int)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.taken[index] += 1
        return self.values[index]


def energy(found: Decomposition, rows: np.ndarray, k: int) -> np.ndarray:
    """Squared norm of the residual of each row."""
    residual = found.residual(rows, k)
    assert residual.dtype == found.dtype
    return np.square(residual.astype(np.float64)).sum(axis=1)


def use_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep directions and residuals of small matrices in float32 too."""
    monkeypatch.setattr(decomposition, "_FLOAT64_VALUES", 0)


def compute_leading(monkeypatch: pytest.MonkeyPatch, depth: int) -> None:
    """Compute the leading eigenvectors of small matrices too, ``depth`` at first."""
    monkeypatch.setattr(decomposition, "DENSE", 1)
    monkeypatch.setattr(decomposition, "_FIRST_DEPTH", depth)
    monkeypatch.setattr(spectrum, "_KRYLOV_BLOCK", 4)


@pytest.mark.parametrize("computation", ["float64", "float32", "leading"])
@pytest.mark.parametrize("device", [Cpu(), Gpu(torch.device("cpu"))], ids=["numpy", "torch"])
@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (50, 50), (2, 9), (150, 700)])
@pytest.mark.parametrize("level", [0.3, 0.9, 0.98, 0.999, 5])
def test_scores_equal_those_of_a_full_svd(
    shape: tuple[int, int], level: float, computation: str, device: Cpu | Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    if computation != "float64":
        use_float32(monkeypatch)
    if computation == "leading":
        compute_leading(monkeypatch, 8)
    rows, queries = matrix(*shape), matrix(20, shape[1], seed=1)
    found = decompose([rows[: shape[0] // 3], rows[shape[0] // 3 :]], level, None, 4000, device)
    assert found.dtype == found.basis.dtype == (np.float64 if computation == "float64" else np.float32)
    k = found.n_components(level)
    reference = PCA(n_components=k, svd_solver="full").fit(rows.astype(np.float64))
    wide = queries.astype(np.float64)
    expected = ((wide - reference.inverse_transform(reference.transform(wide))) ** 2).sum(axis=1)
    np.testing.assert_allclose(energy(found, queries, k), expected, rtol=1e-6)
    placed = found.placed(device).residual(queries, k, device=device)
    np.testing.assert_allclose(np.square(placed.astype(np.float64)).sum(axis=1), expected, rtol=1e-6)
    np.testing.assert_allclose(found.variances[:k], reference.explained_variance_, rtol=2e-6)
    np.testing.assert_allclose(found.variance_share(k), reference.explained_variance_ratio_.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.basis[:k] @ found.basis[:k].T, np.eye(k), atol=1e-6)
    own = found.training_energy(k)
    assert (own is None) == (shape[0] > shape[1] or computation == "leading")
    if own is not None:
        exact = np.square(
            rows.astype(np.float64) - reference.inverse_transform(reference.transform(rows.astype(np.float64)))
        )
        np.testing.assert_allclose(own, exact.sum(axis=1), rtol=1e-8, atol=1e-12 * float(np.square(rows).sum()))


@pytest.mark.parametrize("shape", [(400, 1500), (900, 300)])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.98])
def test_float32_products_keep_eigenvalues_to_2e_6_and_scores_to_1e_6(
    shape: tuple[int, int], level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for matrices whose float64 products would take minutes; the more rows, the smaller the error."""
    use_float32(monkeypatch)
    monkeypatch.setattr(spectrum, "_FLOAT64_WORK", 0)
    rows, queries = matrix(*shape), matrix(20, shape[1], seed=1).astype(np.float64)
    found = decompose([rows[:150], rows[150:]], level, None, 400_000)
    k = found.n_components(level)
    wide = rows.astype(np.float64)
    mean = wide.mean(axis=0)
    _, singular, directions = np.linalg.svd(wide - mean, full_matrices=False)
    assert k == np.argmax(np.cumsum(singular**2) >= level * np.sum(singular**2)) + 1
    np.testing.assert_allclose(found.variances[:k], singular[:k] ** 2 / (shape[0] - 1), rtol=2e-6)
    expected = np.square((queries - mean) - (queries - mean) @ directions[:k].T @ directions[:k]).sum(axis=1)
    np.testing.assert_allclose(energy(found, queries, k), expected, rtol=1e-6)
    assert found.training_energy(k) is None


@pytest.mark.parametrize("shape", [(60, 700), (700, 60)])
@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_every_value_is_read_once_for_the_spectrum_and_once_for_all_directions(
    shape: tuple[int, int], depth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decomposition, "_CHUNK", 8)
    rows = matrix(*shape)
    parts = [Counting(rows[:25]), Counting(rows[25:])]
    level = 3 if depth == "shallow" else 50
    memory: dict[str, dict[str, np.ndarray]] = {}

    def remember(name: str, make: Any) -> dict[str, np.ndarray]:
        if name not in memory:
            memory[name] = make()
            after[name] = {int(count) for part in parts for count in np.unique(part.taken)}
        return memory[name]

    after: dict[str, set[int]] = {}
    decompose(parts, level, remember, 9000)  # type: ignore[arg-type]
    assert after["spectrum"] == {1}
    directions = {2} if shape[0] <= shape[1] else {1}  # the eigenvectors of Xᵀ X are the directions
    assert [after[name] for name in after if name.startswith("basis")] == [directions] * (1 if level == 3 else 7)
    decompose(parts, 50, remember, 9000)  # type: ignore[arg-type]
    again = 1 if level == 3 and shape[0] <= shape[1] else 0
    assert {int(count) for part in parts for count in np.unique(part.taken)} == {max(directions) + again}


def test_nothing_as_large_as_the_matrix_is_held_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_float32(monkeypatch)
    import tracemalloc

    import scipy.linalg  # noqa: F401 (imported before memory is counted)

    np.save(tmp_path / "rows.npy", matrix(70, 40_000))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    tracemalloc.start()
    found = decompose([rows[:50], rows[50:]], 30, None, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    directions = sum(chunk.nbytes for chunk in found.chunks)
    assert directions == 64 * 40_000 * 4 and peak < directions + 6_000_000


def test_features_stored_as_float16_are_taken_as_they_are() -> None:
    rows = matrix(30, 200).astype(np.float16)
    found, wide = decompose([rows], 9), decompose([rows.astype(np.float64)], 9)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.basis, wide.basis)
    np.testing.assert_array_equal(energy(found, rows, 9), energy(wide, rows.astype(np.float64), 9))


def slow_decay(size: int) -> np.ndarray:
    """A symmetric matrix with eigenvalues of a power law, the dense end of which nothing sets apart."""
    vectors = np.linalg.qr(np.random.default_rng(3).standard_normal((size, size)))[0]
    return (vectors * np.arange(1, size + 1) ** -1.2) @ vectors.T


@pytest.mark.parametrize("depth", [5, 40, 100])
def test_leading_eigenvectors_are_those_of_the_dense_solver(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "_KRYLOV_BLOCK", 8)
    matrix = slow_decay(500)
    found = spectrum.eigen(matrix, np.zeros(9), 500, np.dtype(np.float64), depth)
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(found["values"], values[::-1][:depth], rtol=1e-12)
    np.testing.assert_allclose(np.abs((found["vectors"] * vectors[:, ::-1][:, :depth]).sum(axis=0)), 1, atol=1e-12)
    np.testing.assert_allclose(found["total"].sum(), np.trace(matrix), rtol=1e-14)
    again = spectrum.eigen(matrix, np.zeros(9), 500, np.dtype(np.float64), depth)
    np.testing.assert_array_equal(again["vectors"], found["vectors"])


def test_leading_eigenvectors_of_a_matrix_of_lower_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "_KRYLOV_BLOCK", 8)
    factor = np.random.default_rng(0).standard_normal((300, 12))
    found = spectrum.eigen(factor @ factor.T, np.zeros(9), 300, np.dtype(np.float64), 40)
    assert len(found["values"]) == 12
    np.testing.assert_allclose(found["vectors"].T @ found["vectors"], np.eye(12), atol=1e-12)


def test_the_dense_solver_is_asked_where_the_basis_would_not_be_small() -> None:
    """A spectrum that is nearly flat does not converge early."""
    flat = np.diag(1 + np.arange(600) * 1e-6)
    found = spectrum.eigen(flat, np.zeros(9), 600, np.dtype(np.float64), 100)
    np.testing.assert_allclose(found["values"], np.sort(flat.diagonal())[::-1][:100], rtol=1e-13)


def test_depth_grows_until_the_share_of_all_variance_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels of one depth share everything; the share counts the variance that was not computed."""
    compute_leading(monkeypatch, 4)
    rows, made, memory = matrix(150, 700), Counter[str](), {}

    def remember(name: str, make: Any) -> Any:
        if name not in memory:
            memory[name] = make()
            made[name] += 1
        return memory[name]

    reference = PCA(svd_solver="full").fit(rows.astype(np.float64)).explained_variance_ratio_.cumsum()
    for level in (0.3, 0.8, 0.81, 3):
        found = decompose([rows], level, remember)
        assert found.n_components(level) == (3 if level == 3 else np.argmax(reference >= level) + 1)
        assert found.n_components(level, "one_fewer") == (3 if level == 3 else np.argmax(reference >= level))
        found.residual(rows[:5], found.n_components(level), remember)
    assert made["gram"] == 1 and set(made.values()) == {1}
    depths = [name.removeprefix("spectrum of ") for name in made if name.startswith("spectrum")]
    assert depths == ["4", "8", "16", "32"] and {"basis0 of 4", "basis0 of 32", "scores0 of 32"} <= set(made)


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
    np.testing.assert_allclose(energy(found, rows + 1, 0), 30.0, rtol=1e-6)


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
    np.testing.assert_allclose(energy(blocked, rows, 5), energy(whole, rows, 5), rtol=1e-9, atol=1e-12)


def test_what_can_not_be_decomposed_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 training samples and got 1"):
        decompose([matrix(1, 5)], 0.9)
    bad = matrix(5, 9)
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        decompose([bad], 0.9)
    with pytest.raises(ValueError, match="decompose deeper"):
        decompose([matrix(300, 400)], 3).residual(matrix(2, 400), 200)


@pytest.mark.bench
def test_spectrum_and_directions_of_x3d_features_take_ten_seconds_and_half_the_memory() -> None:
    """1,200 clips of the size of X3D-S's at 256 x 256, of which 399 components are kept; one thread."""
    import time
    import tracemalloc

    import scipy.linalg  # noqa: F401 (imported before time and memory are counted)

    rng = np.random.default_rng(0)
    factors = rng.standard_normal((1200, 200), dtype=np.float32)
    rows = factors @ rng.standard_normal((200, 159_744), dtype=np.float32)
    for start in range(0, 1200, 100):
        rows[start : start + 100] += rng.standard_normal((100, 159_744), dtype=np.float32)
    tracemalloc.start()
    started = time.process_time()
    found = decompose([rows[:500], rows[500:]], 399)
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.basis) >= 399 and found.dtype == np.float32
    assert seconds <= 10 and peak <= rows.nbytes / 2
