"""How many of very many scores lie below and at each of fewer given ones, exactly, without sorting the many.

Two table look-ups place a float32 score. Its leading 16 bits choose a bucket, the next 11 a cell of 32 neighbouring
numbers; a cell knows how many given scores lie in it or below, and which of its 32 numbers are given ones.

Shape legend: U given scores, N scores, E edges.
"""

from __future__ import annotations

import sys

import numpy as np

CHUNK = 1 << 16
"""Scores placed at once; their temporaries stay in the cache."""

_CELLS = 1 << 11  # of a bucket
_BUCKETS = 1 << 10  # with cells, 16 KiB each; scores of others are searched for
_FEW = 1 << 16  # scores for which no tables are made
_HIGH_HALF = 1 if sys.byteorder == "little" else 0  # of a uint64 in memory
_SEARCH = np.int64(0xFFFFFFFF)


class ScoreCounter:
    """Counts scores against ascending distinct finite ones, ``given (U,)``; counts add up, in any order."""

    def __init__(self, given: np.ndarray, chunk: int = CHUNK) -> None:
        self.given = given
        self._chunk = max(chunk, 1)
        self._cells: _Cells | None = None
        # [j]: above given[j − 1], up to and with given[j].
        self._up_to = np.zeros(given.size + 1, np.int64)
        self._equal = np.zeros(given.size + 1, np.int64)
        self.total = 0

    def add(self, scores: np.ndarray) -> None:
        """Count finite ``scores (N,)``, float32 or float64."""
        if self._cells is None and self.given.dtype == np.float32 and self.total >= _FEW:
            self._cells = _Cells(self.given)
        self.total += scores.size
        for start in range(0, scores.size, self._chunk):
            place, tied = self._place(scores[start : start + self._chunk])
            np.add.at(self._up_to, place, 1)
            np.add.at(self._equal, tied, 1)

    def above_and_equal(self) -> tuple[np.ndarray, np.ndarray]:
        """Count the scores above and at each given one: two ``(U,) int64``. Ends the counting, to save memory."""
        self._cells = None
        below_or_equal = np.cumsum(self._up_to, out=self._up_to)[:-1]
        return np.subtract(self.total, below_or_equal, out=below_or_equal), self._equal[:-1]

    def below(self, edges: np.ndarray) -> np.ndarray:
        """Count the scores so far below each of ascending ``edges (E,)``: given ones, or the next number after
        one."""
        if not edges.size:
            return np.zeros(0, np.int64)
        place = np.searchsorted(self.given, edges, side="right") - 1
        at, which = np.unique(place, return_inverse=True)
        up_to = np.cumsum(np.add.reduceat(self._up_to, np.append(0, at + 1))[:-1])
        below: np.ndarray = up_to[which] - np.where(self.given[place] == edges, self._equal[place], 0)
        return below

    def _place(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many given scores lie below each ``(N,)``, and which given ones were met, once a score."""
        if self._cells is None or scores.dtype != np.float32:
            return self._searched(scores)
        place, is_given = self._cells.place(scores)
        if not self._cells.complete:
            unknown = np.flatnonzero(place == _SEARCH)
            place[unknown], tied = self._searched(scores[unknown], keep_order=True)
            return place, np.append(place[is_given], tied)
        return place, place[is_given]

    def _searched(self, scores: np.ndarray, keep_order: bool = False) -> tuple[np.ndarray, np.ndarray]:
        # Sorted ones are found about three times faster.
        ordered = scores if keep_order else np.sort(scores)
        place = np.searchsorted(self.given, ordered, side="left")
        inside = np.flatnonzero(place < self.given.size)
        return place, place[inside[self.given[place[inside]] == ordered[inside]]]


class _Cells:
    """The two tables. ``complete``: every given score is in a bucket with cells."""

    def __init__(self, given: np.ndarray) -> None:
        keys = ordered_bits(given)
        in_bucket = np.diff(np.searchsorted(keys, np.arange(1 << 16, dtype=np.uint32) << 16), append=keys.size)
        fullest = np.argsort(-in_bucket, kind="stable")[:_BUCKETS]
        chosen = np.sort(fullest[in_bucket[fullest] > 0])
        self.complete = bool(in_bucket[chosen].sum() == given.size)
        first = np.cumsum(in_bucket) - in_bucket
        # Beside the cells of chosen buckets every bucket has one for all of its numbers, without given ones.
        n_cells = chosen.size * _CELLS
        self._table = np.zeros(n_cells + (1 << 16), np.uint64)
        single = np.where(in_bucket > 0, _SEARCH, first)
        self._table[n_cells:] = single.astype(np.uint64) << np.uint64(32)
        start, mask = np.arange(n_cells, n_cells + (1 << 16)), np.zeros(1 << 16, np.int64)
        start[chosen], mask[chosen] = np.arange(chosen.size) * _CELLS, _CELLS - 1
        self._bucket = (start << 16) | mask
        for begin in range(0, keys.size, CHUNK):
            part = keys[begin : begin + CHUNK]
            part = part[mask[part >> 16] > 0]
            one = np.uint64(1 << 32) | (np.uint64(1) << (part & 31).astype(np.uint64))
            np.add.at(self._table, self._cell(part), one)
        counts = self._table[:n_cells].view(np.uint32)[_HIGH_HALF::2].reshape(-1, _CELLS)
        for row, before in zip(counts, first[chosen].astype(np.uint32), strict=True):
            np.cumsum(row, dtype=np.uint32, out=row)
            row += before

    def place(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many given scores lie below each of ``scores (N,)``, or _SEARCH, and where one equals a score."""
        keys = ordered_bits(scores)
        found = np.take(self._table, self._cell(keys), mode="clip")
        # The score's own bit comes down to the lowest place, before it those of larger numbers of the cell.
        bits = found.view(np.uint32)[1 - _HIGH_HALF :: 2] >> (keys & 31)
        place = (found >> np.uint64(32)).view(np.int64)
        place -= count_ones(bits)
        return place, np.flatnonzero((bits & 1) == 1)

    def _cell(self, keys: np.ndarray) -> np.ndarray:
        bucket = np.take(self._bucket, (keys >> 16).astype(np.intp), mode="clip")
        cell = (keys >> 5).astype(np.uint16) & bucket  # the low half of `bucket` masks it, and nothing is left above
        bucket >>= 16
        cell += bucket
        return cell


def ordered_bits(scores: np.ndarray) -> np.ndarray:
    """``uint32 (N,)`` that order as finite ``scores (N,) float32`` do, equal where they are equal, -0.0 and 0.0 too."""
    bits = np.ascontiguousarray(scores).view(np.int32)
    if bits.size and bits.min() < 0:
        bits = np.where(bits < 0, np.int32(-(1 << 31)) - bits, bits)
    keys: np.ndarray = bits.view(np.uint32) ^ np.uint32(1 << 31)
    return keys


def _count_ones(bits: np.ndarray) -> np.ndarray:
    """Return how many bits of each uint32 are set, by adding neighbours; for NumPy 1."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    counts: np.ndarray = (bits * np.uint32(0x01010101)) >> 24
    return counts


count_ones = getattr(np, "bitwise_count", _count_ones)
