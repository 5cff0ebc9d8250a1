"""Exact nearest neighbours in bounded memory: the bank is read in chunks, the whole distance matrix is never held.

Squared distances of a chunk come from one matrix product, ||q||² - 2 q·b + ||b||², in float32 about the mean of the
bank; the best few candidates are then measured again by direct difference in float64, which undoes the cancellation.

Shape legend: M queries, N bank rows, D feature size, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# Candidates kept beyond K, so that rounding in the matrix product can't push out a true neighbour.
_SPARE = 4
# Selecting among minima of this many columns first is exact and reads the distances only once.
_CELL = 64


class NearestNeighbours:
    """Searches one bank.

    Parameters
    ----------
    bank: ``float32 (N, D)``, N >= 1, in memory or memory-mapped; never copied as a whole on the CPU.
    device: "cpu" or a CUDA device; there the bank is copied once if it fits into half of the free memory, else in
        chunks.
    block_bytes: bound of one block of distances.
    """

    def __init__(self, bank: np.ndarray, device: str = "cpu", block_bytes: int = 64 * 2**20) -> None:
        import torch

        self.bank = bank
        self.device = torch.device(device)
        self.mean = bank_mean(bank)
        self._queries_a_block = 1024
        self._rows_a_chunk = max(_CELL, block_bytes // (4 * self._queries_a_block) // _CELL * _CELL)
        self._centred: torch.Tensor | None = None
        if self.device.type == "cuda" and bank.nbytes < torch.cuda.mem_get_info(self.device)[0] // 2:
            self._centred = torch.empty(bank.shape, dtype=torch.float32, device=self.device)
            for start in range(0, len(bank), self._rows_a_chunk):
                stop = start + self._rows_a_chunk
                self._centred[start:stop] = self._centre(bank[start:stop])

    def search(self, queries: np.ndarray, k: int, skip: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
        """Return the ``k`` nearest rows of every query, nearest first.

        Parameters
        ----------
        queries: ``(M, D)``.
        k: where fewer rows are left, all of them are returned.
        skip: rows [start, stop) that don't count.

        Returns
        -------
        squared Euclidean distances ``float64 (M, K)`` and row numbers ``int64 (M, K)``.
        """
        left = len(self.bank) - (skip[1] - skip[0])
        k = min(k, left)
        distances = np.empty((len(queries), k))
        rows = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), self._queries_a_block):
            block = np.asarray(queries[start : start + self._queries_a_block])
            stop = start + len(block)
            candidates = self._candidates(block, min(k + _SPARE, left), skip)
            distances[start:stop], rows[start:stop] = self._measure(block, candidates, k)
        return distances, rows

    def _candidates(self, queries: np.ndarray, k: int, skip: tuple[int, int]) -> np.ndarray:
        """Row numbers ``(M, k)`` of the nearest by the matrix product."""
        import torch

        q = self._centre(queries)
        best = torch.full((len(q), k), torch.inf, device=self.device)
        where = torch.zeros((len(q), k), dtype=torch.int64, device=self.device)
        for start, stop in self._chunks(skip):
            b = self._centre(self.bank[start:stop]) if self._centred is None else self._centred[start:stop]
            # ||q||² is the same for all rows and does not change their order.
            squared = torch.addmm(b.square().sum(1), q, b.T, alpha=-2)
            values, columns = smallest(squared, min(k, stop - start))
            best, chosen = torch.cat([best, values], 1).topk(k, largest=False)
            where = torch.cat([where, columns + start], 1).gather(1, chosen)
        return where.cpu().numpy()

    def _measure(self, queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances to the candidates by direct difference, the nearest ``k`` of them in order."""
        squared = np.empty(candidates.shape)
        for j in range(candidates.shape[1]):
            difference = queries.astype(np.float64) - self.bank[candidates[:, j]]
            squared[:, j] = np.einsum("md,md->m", difference, difference)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(squared, order, 1), np.take_along_axis(candidates, order, 1)

    def _chunks(self, skip: tuple[int, int]) -> Iterator[tuple[int, int]]:
        for first, last in ((0, skip[0]), (skip[1], len(self.bank))):
            for start in range(first, last, self._rows_a_chunk):
                yield start, min(start + self._rows_a_chunk, last)

    def _centre(self, rows: np.ndarray) -> torch.Tensor:
        """``float32 (n, D)`` on the device, the mean of the bank subtracted."""
        import torch

        return torch.from_numpy(np.subtract(rows, self.mean, dtype=np.float32)).to(self.device)


def smallest(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ``k`` smallest of each row of ``(M, N)`` and their columns, exactly, unordered among cells.

    The k smallest lie in the k cells of columns whose minima are smallest, so only those cells are sorted through.
    """
    import torch

    n = values.shape[1]
    cells = n // _CELL
    if cells <= k:
        return values.topk(k, dim=1, largest=False)
    whole = torch.unflatten(values[:, : cells * _CELL], 1, (cells, _CELL))
    chosen = whole.amin(2).topk(k, dim=1, largest=False).indices
    inside = whole.gather(1, chosen[:, :, None].expand(-1, -1, _CELL)).flatten(1)
    columns = (chosen[:, :, None] * _CELL + torch.arange(_CELL, device=values.device)).flatten(1)
    if n % _CELL:
        inside = torch.cat([inside, values[:, cells * _CELL :]], 1)
        rest = torch.arange(cells * _CELL, n, device=values.device).expand(len(values), -1)
        columns = torch.cat([columns, rest], 1)
    best, at = inside.topk(k, dim=1, largest=False)
    return best, columns.gather(1, at)


def bank_mean(bank: np.ndarray) -> np.ndarray:
    """Mean row ``float32 (D,)``, summed in float64 over blocks."""
    total = np.zeros(bank.shape[1])
    for start in range(0, len(bank), 1 << 15):
        total += bank[start : start + (1 << 15)].sum(axis=0, dtype=np.float64)
    return (total / len(bank)).astype(np.float32)
