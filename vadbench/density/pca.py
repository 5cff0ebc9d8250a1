"""Exact principal components of a tall or a wide matrix, in bounded memory, for every level at once.

The eigenvectors come from the smaller of the two Gram matrices, accumulated in float64 over blocks: X Xᵀ (N x N) where
there are fewer rows than columns, as with flattened clip features, else Xᵀ X (D x D). Both give the same subspace as a
full singular value decomposition of the centred matrix.

Shape legend: N rows (clips), D columns (feature size), R rank, K components kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

Rows = Sequence[np.ndarray]
"""The training matrix as a list of ``(n_i, D)`` arrays, one for each video; memory-mapped arrays are read in blocks."""

BLOCK_BYTES = 128 * 2**20

# Below this share of the largest variance a direction can't be told from rounding: X Xᵀ squares the condition number.
_RANK_TOLERANCE = 1e-13
# From here on the columns of Xᵀ U / s are no longer orthogonal to 1e-8 and are made so again.
_WELL_CONDITIONED = 1e-8


@dataclass(frozen=True)
class Decomposition:
    """Mean, spectrum and leading directions of a training matrix.

    Attributes
    ----------
    mean: ``float64 (D,)``.
    variances: ``float64 (R,)``, all non-zero variances, descending (divided by N - 1).
    basis: ``float64 (K, D)``, orthonormal rows, the K leading directions, K <= R.
    n_rows: N.
    """

    mean: np.ndarray
    variances: np.ndarray
    basis: np.ndarray
    n_rows: int

    def n_components(self, level: float, rule: str = "enough") -> int:
        """How many components ``level`` asks for.

        Parameters
        ----------
        level: in (0, 1] the share of variance to reach; above 1 a number of components (at most R are there).
        rule: "enough" keeps the fewest that reach the share; "one_fewer" keeps one less, which is what
            anomalib's PCA keeps by using the index of the first sufficient component as a count.
        """
        return count_components(self.variances, level, rule)

    def variance_share(self, k: int) -> float:
        """Share of the total variance in the first ``k`` components."""
        total = self.variances.sum()
        return float(self.variances[:k].sum() / total) if total > 0 else 1.0

    def residual(self, rows: np.ndarray, k: int) -> np.ndarray:
        """What the first ``k`` components do not explain: ``float64 (n, D)`` for ``rows (n, D)``."""
        self._require(k)
        centred = rows.astype(np.float64) - self.mean
        basis = self.basis[:k]
        return centred - (centred @ basis.T) @ basis

    def residual_energy(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        """Squared norm of the residual for several numbers of components at once: ``float64 (len(counts), n)``.

        One projection serves all: ||x - x̂_k||² = ||x||² - Σ_{j<k} z_j².
        """
        self._require(max(counts))
        centred = rows.astype(np.float64) - self.mean
        total = np.einsum("nd,nd->n", centred, centred)
        explained = np.cumsum((centred @ self.basis[: max(counts)].T) ** 2, axis=1)
        explained = np.concatenate([np.zeros((len(rows), 1)), explained], axis=1)
        return np.stack([np.maximum(total - explained[:, k], 0.0) for k in counts])

    def arrays(self) -> dict[str, np.ndarray]:
        """The decomposition as named arrays, to be stored."""
        return {
            "mean": self.mean,
            "variances": self.variances,
            "basis": self.basis,
            "n_rows": np.array([self.n_rows]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Decomposition:
        """The inverse of :meth:`arrays`."""
        return cls(arrays["mean"], arrays["variances"], arrays["basis"], int(arrays["n_rows"][0]))

    def _require(self, k: int) -> None:
        if k > len(self.basis):
            raise ValueError(f"{k} components asked for, but only {len(self.basis)} were computed; decompose deeper")


def count_components(variances: np.ndarray, level: float, rule: str = "enough") -> int:
    """See :meth:`Decomposition.n_components`."""
    if level > 1:
        return min(int(level), len(variances))
    if len(variances) == 0:
        return 0
    share = np.cumsum(variances) / variances.sum()
    # share[-1] may miss 1.0 by rounding, and level=1 must still be reachable.
    first = int(np.argmax(share >= min(level, share[-1])))
    return first + 1 if rule == "enough" else first


def decompose(rows: Rows, level: float, block_bytes: int = BLOCK_BYTES) -> Decomposition:
    """Principal components of ``rows``, as many directions as ``level`` asks for (all smaller levels are in them).

    Parameters
    ----------
    rows: ``(n_i, D)`` arrays of any float type; read in blocks, never copied as a whole.
    level: see :meth:`Decomposition.n_components`.
    block_bytes: bound on the float64 blocks that are held beside the Gram matrix and the basis.

    Raises
    ------
    ValueError: fewer than two rows, or rows that are not finite.
    """
    n, d = sum(len(r) for r in rows), rows[0].shape[1]
    if n < 2:
        raise ValueError(f"principal components need at least two rows, got {n}")
    mean = _mean(rows, block_bytes)
    if not np.isfinite(mean).all():
        raise ValueError("features are not finite")
    wide = n <= d
    gram = _row_gram(rows, mean, block_bytes) if wide else _column_gram(rows, mean, block_bytes)
    values, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    # A constant matrix leaves nothing but rounding of its mean; that is no direction.
    floor = max(values[0] * _RANK_TOLERANCE * max(n, 1), n * float(np.square(mean).max(initial=0.0)) * 1e-30)
    values = values[values > floor]
    k = count_components(values, level)
    kept = vectors[:, :k]
    basis = _project(rows, mean, kept / np.sqrt(values[:k]), block_bytes) if wide else kept.T.copy()
    if wide and k and values[k - 1] < values[0] * _WELL_CONDITIONED:
        basis = np.linalg.qr(basis.T)[0].T
    return Decomposition(mean, values / (n - 1), np.ascontiguousarray(basis), n)


def _mean(rows: Rows, block_bytes: int) -> np.ndarray:
    total = np.zeros(rows[0].shape[1])
    for block in _row_blocks(rows, block_bytes):
        total += block.sum(axis=0)
    return total / sum(len(r) for r in rows)


def _row_blocks(rows: Rows, block_bytes: int) -> Iterator[np.ndarray]:
    """The matrix as float64 blocks of whole rows."""
    step = max(1, block_bytes // (8 * rows[0].shape[1]))
    for part in rows:
        for start in range(0, len(part), step):
            yield part[start : start + step].astype(np.float64)


def _column_blocks(rows: Rows, mean: np.ndarray, block_bytes: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The centred matrix as float64 blocks ``(N, d)`` of whole columns."""
    n, d = sum(len(r) for r in rows), rows[0].shape[1]
    step = max(1, block_bytes // (8 * n))
    for start in range(0, d, step):
        columns = slice(start, min(start + step, d))
        block = np.empty((n, columns.stop - start))
        np.concatenate([part[:, columns] for part in rows], out=block, casting="same_kind")
        block -= mean[columns]
        yield columns, block


def _row_gram(rows: Rows, mean: np.ndarray, block_bytes: int) -> np.ndarray:
    n = sum(len(r) for r in rows)
    gram = np.zeros((n, n))
    for _, block in _column_blocks(rows, mean, block_bytes):
        gram += block @ block.T
    return gram


def _column_gram(rows: Rows, mean: np.ndarray, block_bytes: int) -> np.ndarray:
    gram = np.zeros((len(mean), len(mean)))
    for block in _row_blocks(rows, block_bytes):
        block -= mean
        gram += block.T @ block
    return gram


def _project(rows: Rows, mean: np.ndarray, weights: np.ndarray, block_bytes: int) -> np.ndarray:
    """``weightsᵀ (X - mean)``: ``(K, D)``, the directions of D-space from those of N-space."""
    basis = np.empty((weights.shape[1], len(mean)))
    for columns, block in _column_blocks(rows, mean, block_bytes):
        basis[:, columns] = weights.T @ block
    return basis
