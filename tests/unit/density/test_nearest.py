"""The chunked search finds exactly what a whole distance matrix finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.density.nearest import NearestNeighbours, smallest


def by_hand(queries: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    squared = np.square(queries[:, None].astype(np.float64) - bank[None]).sum(axis=2)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(squared, order, 1), order


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 700), m=st.integers(1, 40), d=st.integers(1, 24), data=st.data())
def test_equals_the_whole_distance_matrix(seed: int, n: int, m: int, d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(n, 7)))
    rng = np.random.default_rng(seed)
    bank = rng.normal(3, 1, (n, d)).astype(np.float32)
    queries = rng.normal(3, 1, (m, d)).astype(np.float32)
    # Tiny blocks: several chunks and a ragged last one even for small banks.
    squared, rows = NearestNeighbours(bank, block_bytes=4 * 1024 * 128).search(queries, k)
    expected, order = by_hand(queries, bank, k)
    np.testing.assert_allclose(squared, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(rows, order)


def test_distances_survive_a_large_common_offset() -> None:
    # ||q||² - 2 q·b + ||b||² in float32 alone would lose these: norms of 1e6, distances of 1e-2.
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 1000, 64)
    bank = (centre + rng.normal(0, 1e-2, (3000, 64))).astype(np.float32)
    queries = bank[::7] + np.float32(1e-3)
    squared, rows = NearestNeighbours(bank).search(queries, 3)
    expected, order = by_hand(queries, bank, 3)
    np.testing.assert_allclose(squared, expected, rtol=1e-12)
    np.testing.assert_array_equal(rows, order)


def test_skipped_rows_do_not_count() -> None:
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(900, 5)).astype(np.float32)
    squared, rows = NearestNeighbours(bank, block_bytes=4 * 1024 * 64).search(bank[100:200], 2, skip=(100, 333))
    left = np.concatenate([np.arange(100), np.arange(333, 900)])
    expected, order = by_hand(bank[100:200], bank[left], 2)
    np.testing.assert_allclose(squared, expected, rtol=1e-12)
    np.testing.assert_array_equal(rows, left[order])


def test_a_memory_mapped_bank_is_searched_in_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(500, 8)).astype(np.float32)
    np.save(tmp_path / "bank.npy", bank)
    mapped = np.load(tmp_path / "bank.npy", mmap_mode="r")
    search = NearestNeighbours(mapped)
    assert search.bank is mapped
    np.testing.assert_allclose(search.search(bank[:9], 2)[0], by_hand(bank[:9], bank, 2)[0], rtol=1e-12, atol=1e-12)


def test_where_fewer_rows_are_left_all_of_them_are_found() -> None:
    bank = np.array([[0.0], [1.0], [3.0], [7.0]], np.float32)
    search = NearestNeighbours(bank)
    squared, rows = search.search(np.array([[1.0]]), 5)
    assert (squared.tolist(), rows.tolist()) == ([[0.0, 1.0, 4.0, 36.0]], [[1, 0, 2, 3]])
    assert search.search(np.array([[1.0]]), 3, skip=(0, 2))[0].tolist() == [[4.0, 36.0]]
    assert search.search(np.array([[1.0]]), 3, skip=(0, 4))[0].shape == (1, 0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 1000), k=st.integers(1, 12))
def test_selection_by_cells_is_exact_with_ties(seed: int, n: int, k: int) -> None:
    k = min(k, n)
    values = torch.from_numpy(np.random.default_rng(seed).integers(0, 20, (3, n)).astype(np.float32))
    found, columns = smallest(values, k)
    expected = values.sort(1).values[:, :k]
    assert torch.equal(found.sort(1).values, expected)
    assert torch.equal(values.gather(1, columns), found)
    assert all(len(set(row)) == k for row in columns.tolist())
