"""Eigenvectors of the smaller Gram matrix of a tall or a wide matrix, which is read once.

X Xᵀ (N x N) where there are at most as many rows as columns, as with flattened clip features, else Xᵀ X (D x D). Both
hold the squared singular values of the centred matrix.

Shape legend: N rows, D columns, S = min(N, D), R eigenvalues, M columns of a Krylov basis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vadbench.density.device import Cpu, Gpu
from vadbench.files import drop_pages

Rows = Sequence[np.ndarray]
"""A matrix as a list of ``(n_i, D)`` arrays of any float type, one for each video; memory-mapped arrays stay so."""

BLOCK_BYTES = 32 * 2**20

# Up to this many multiplications the products are float64 (about 20 s on one core), beyond it float32: half the time.
_FLOAT64_WORK = 1e12
# Fewer columns of X in a product are not worth adding it up.
_LEAST_COLUMNS = 4096
# Below this share of the largest eigenvalue one can't be told from rounding: N times the first, √N times the second.
_RANK_FLOAT64, _RANK_FLOAT32 = 1e-13, 2e-8
# Up to this size all eigenvectors are computed.
DENSE = 4096

_KRYLOV_BLOCK = 64


def working_dtype(rows: Rows) -> np.dtype:
    """Return the precision of the products that make the Gram matrix, by the work there is; their sum is float64."""
    n, d = shape_of(rows)
    return np.dtype(np.float64 if n * d * min(n, d) <= _FLOAT64_WORK else np.float32)


def shape_of(rows: Rows) -> tuple[int, int]:
    """(N, D)."""
    return sum(len(part) for part in rows), rows[0].shape[1]


def gram(rows: Rows, device: Cpu | Gpu, block_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Return the mean row ``{"mean": float64 (D,)}`` and the Gram matrix ``{"gram": float64 (S, S)}`` about it.

    Every value is read once. ``block_bytes``: bound of a centred block in memory.

    Raises
    ------
    ValueError: the rows are not finite.
    """
    n, d = shape_of(rows)
    mean = np.zeros(d)
    total = device.put(np.zeros((min(n, d),) * 2))
    with np.errstate(invalid="ignore", over="ignore"):  # said below, once
        if n <= d:
            for _, block in column_blocks(rows, mean, working_dtype(rows), block_bytes, measure=True):
                on_device = device.put(block)
                total += on_device @ on_device.T
            found = device.get(total)
        else:
            found = _column_gram(rows, mean, total, device, block_bytes)
    if not np.isfinite(mean).all():
        raise ValueError("features are not finite")
    return {"mean": mean, "gram": found}


def column_blocks(
    rows: Rows, mean: np.ndarray, dtype: np.dtype, block_bytes: int | None = None, measure: bool = False
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the centred matrix as blocks ``(N, d)`` of whole columns, each in the memory of the one before; ``measure``
    sets their ``mean`` first."""
    n, d = shape_of(rows)
    least = 1 if block_bytes else _LEAST_COLUMNS
    step = max(least, (block_bytes or BLOCK_BYTES) // (8 * n))  # for any dtype, so that it decides no bit
    buffer = np.empty(n * min(step, d), dtype)
    for start in range(0, d, step):
        columns = slice(start, min(start + step, d))
        parts = [part[:, columns] for part in rows]
        if measure:
            mean[columns] = sum(part.sum(axis=0, dtype=np.float64) for part in _each(parts)) / n
        block = buffer[: n * (columns.stop - start)].reshape(n, -1)
        at = 0
        for part in _each(parts):
            # In float64: features may lie far from zero.
            np.subtract(part, mean[columns], out=block[at : at + len(part)], dtype=np.float64, casting="same_kind")
            at += len(part)
        yield columns, block


def _each(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield ``parts`` one by one; the pages of each are dropped when it was read."""
    for part in parts:
        yield part
        drop_pages(part)


def _column_gram(
    rows: Rows, mean: np.ndarray, total: np.ndarray, device: Cpu | Gpu, block_bytes: int | None
) -> np.ndarray:
    """Xᵀ X by blocks of rows about the mean of the first, then moved to the mean of all, which is set."""
    n, d = shape_of(rows)
    dtype = working_dtype(rows)
    step = max(1, (block_bytes or BLOCK_BYTES) // (dtype.itemsize * d))
    pieces = _each(part[start : start + step] for part in rows for start in range(0, len(part), step))
    first, summed = True, np.zeros(d)
    shift = np.zeros(d)
    for piece in pieces:
        if first:
            shift, first = piece.mean(axis=0, dtype=np.float64), False
        block = np.subtract(piece, shift, dtype=np.float64)
        summed += block.sum(axis=0)
        on_device = device.put(block.astype(dtype, copy=False))
        total += on_device.T @ on_device
    off = summed / n
    mean[:] = shift + off
    return np.asarray(device.get(total) - n * np.outer(off, off))


def eigen(
    found: np.ndarray, mean: np.ndarray, n: int, dtype: np.dtype, depth: int | None = None
) -> dict[str, np.ndarray]:
    """Return what the Gram matrix ``found`` says of the matrix: of all of it or, with ``depth``, of the leading part.

    ``mean``, ``dtype``: as :func:`gram` made it from ``n`` rows; they decide what is rounding. Eigenvalues come
    descending.

    Returns
    -------
    mean; values ``(R,)`` and vectors ``(S, R)``; total ``(1,)``, the sum of all eigenvalues.
    """
    import scipy.linalg

    total = np.trace(found, dtype=np.float64).reshape(1)
    size = len(found)
    leading = None if depth is None or 4 * depth >= size else _leading(found, depth)
    if leading is None:
        values, vectors = scipy.linalg.eigh(found, check_finite=False)
        leading = values[::-1][:depth], vectors[:, ::-1][:, :depth]
    values, vectors = leading
    tolerance = _RANK_FLOAT64 * n if dtype == np.float64 else _RANK_FLOAT32 * np.sqrt(n)
    # A constant matrix leaves nothing but rounding of its mean; that is no direction.
    rounding = n * float(np.square(mean).max(initial=0.0)) * 1e-30
    rank = int(np.sum(values > max(values[0] * tolerance, rounding)))
    vectors = np.ascontiguousarray(vectors[:, :rank])
    return {"mean": mean, "values": values[:rank].copy(), "vectors": vectors, "total": total}


def _leading(matrix: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the ``depth`` largest eigenvalues and their vectors; None if they have not converged in half the size.

    Block Lanczos with full orthogonalisation, from a fixed start, in a basis of at most half the size (Golub and Van
    Loan, Matrix Computations, section 10.3.6).
    """
    import scipy.linalg

    size, width = len(matrix), _KRYLOV_BLOCK
    limit = size // 2 // width * width
    basis = np.empty((size, limit), order="F")
    reduced = np.zeros((limit, limit), order="F")
    block = np.linalg.qr(np.random.default_rng(0).standard_normal((size, width)))[0]
    wanted = depth + 2 * width
    for m in range(width, limit + 1, width):
        basis[:, m - width : m] = block
        known = basis[:, :m]
        product = matrix @ block
        projected = known.T @ product
        product -= known @ projected
        again = known.T @ product  # twice is enough (Kahan)
        product -= known @ again
        reduced[:m, m - width : m] = projected + again
        block, coupling = np.linalg.qr(product)
        block -= known @ (known.T @ block)  # where little is left, what is left is rounding
        block = np.linalg.qr(block)[0]
        if m < wanted:
            continue
        wanted = int(1.2 * m)
        values, vectors = scipy.linalg.eigh(reduced[:m, :m], lower=False, check_finite=False)
        values, vectors = values[::-1][:depth], vectors[:, ::-1][:, :depth]
        residuals = np.linalg.norm(coupling @ vectors[m - width :], axis=0)
        if (residuals <= np.maximum(1e-9 * values, 1e-13 * values[0])).all():
            return values, known @ vectors
    return None
