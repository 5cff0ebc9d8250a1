"""Principal components of a tall or a wide matrix, in bounded memory, for every level at once.

The eigenvectors of the smaller Gram matrix give the same subspace as a full singular value decomposition of the centred
matrix. The matrix is read once for the Gram matrix and once for all directions together.

Shape legend: N rows (clips), D columns (feature size), R rank, K components kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from vadbench.density.base import Remember, prefixed
from vadbench.density.device import Cpu, Gpu
from vadbench.density.spectrum import DENSE, Rows, column_blocks, eigen, gram, shape_of, working_dtype
from vadbench.errors import DataError, one_of

COMPONENTS = ("enough", "one_fewer")

# Directions are kept this many together.
_CHUNK = 64
# Of a matrix too large for all eigenvectors this many are computed first, then twice as many, until they suffice.
_FIRST_DEPTH = 256
# Directions and residuals are float64 for a matrix of at most this many values, where few clips may leave residuals of
# 1e-5 of their energy, else float32.
_FLOAT64_VALUES = 2**23
# Share of the largest variance below which they are made in float64 all the same: Xᵀ U / s divides by its root.
_FLOAT64_DIRECTIONS = 1e-4
# Below this one they are no longer orthogonal and are orthogonalised anew.
_WELL_CONDITIONED = 1e-8


@dataclass(frozen=True)
class Decomposition:
    """Mean, spectrum and leading directions of a training matrix.

    Attributes
    ----------
    mean: ``float64 (D,)``.
    variances: ``float64 (R,)``, the non-zero variances, descending (divided by N - 1): all of them or, of a large
        matrix, at least those that were asked for.
    chunks: the K <= R leading directions as orthonormal rows, ``(k_i, D)`` each; kept apart so that chunks that are
        memory-mapped need not be in memory at once.
    dtype: of the chunks and of residuals, float32 or, of a small matrix, float64.
    n_rows: N.
    total: sum of all variances.
    scores: ``float64 (N, R)``, the training rows in terms of all R directions; None where N > D or the spectrum is not
        known to 1e-6 to its end.
    computed: what tells the directions from those of a computation of another depth; empty where there is one only.
    """

    mean: np.ndarray
    variances: np.ndarray
    chunks: tuple[np.ndarray, ...]
    dtype: np.dtype
    n_rows: int
    total: float
    scores: np.ndarray | None = None
    computed: str = ""

    @property
    def basis(self) -> np.ndarray:
        """All directions, ``(K, D)``, in memory."""
        return np.concatenate([np.empty((0, self.mean.size), self.dtype), *self.chunks])

    def n_components(self, level: float, rule: str = "enough") -> int:
        """Return how many components ``level`` asks for.

        Parameters
        ----------
        level: in (0, 1] the explained variance ratio to reach; above 1 a number of components (at most R are there).
        rule: "enough" keeps the fewest that reach the share; "one_fewer" keeps one less, which is what
            anomalib's PCA keeps by using the index of the first sufficient component as a count.
        """
        return count_components(self.variances, level, rule, self.total)

    def variance_share(self, k: int) -> float:
        """Share of the total variance in the first ``k`` components."""
        return float(self.variances[:k].sum() / self.total) if self.total > 0 else 1.0

    def placed(self, device: Cpu | Gpu) -> Decomposition:
        """Return the decomposition with its directions on ``device``."""
        return replace(self, chunks=tuple(device.put(chunk) for chunk in self.chunks))

    def residual(
        self, rows: np.ndarray, k: int, remember: Remember | None = None, device: Cpu | Gpu | None = None
    ) -> np.ndarray:
        """Return what the first ``k`` components do not explain: ``(n, D)`` for ``rows (n, D)``.

        ``remember``: see :func:`decompose`, for these rows; what they are in terms of 64 directions is asked for by
        itself, so that all levels share it. ``device``: where the directions are.
        """
        device, remember = device or Cpu(), remember or _make
        centred = np.empty(rows.shape, self.dtype)
        np.subtract(rows, self.mean, out=centred, dtype=np.float64, casting="same_kind")
        if not len(rows):
            return centred
        left = device.put(centred)
        for number, (directions, used) in enumerate(self._leading(k)):
            name = f"scores{number * _CHUNK}{self.computed}"
            scores = device.put(remember(name, partial(_scores, left, directions, device))["scores"])
            device.subtract_product(left, scores[:, :used], directions[:used])
        return device.get(left)

    def training_energy(self, k: int) -> np.ndarray | None:
        """Squared norm of the residual of each training row for ``k`` components, ``float64 (N,)``, without a look at
        the rows: Σ_{j>=k} z_j². None where ``scores`` is."""
        return None if self.scores is None else np.square(self.scores[:, k:]).sum(axis=1)

    def _leading(self, k: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yield the chunks that hold the first ``k`` directions, and how many of each are among them."""
        there = sum(len(chunk) for chunk in self.chunks)
        if k > there:
            raise ValueError(f"{k} components asked for, but only {there} were computed; decompose deeper")
        for chunk in self.chunks:
            if k <= 0:
                return
            yield chunk, min(k, len(chunk))
            k -= len(chunk)


def count_components(variances: np.ndarray, level: float, rule: str = "enough", total: float | None = None) -> int:
    """See :meth:`Decomposition.n_components`; ``total`` is the sum of all variances, by default of these."""
    one_of("components", rule, COMPONENTS)
    if level > 1:
        return min(int(level), len(variances))
    if len(variances) == 0:
        return 0
    share = np.cumsum(variances) / (variances.sum() if total is None else total)
    # share[-1] may miss 1.0 by rounding, and level=1 must still be reachable.
    first = int(np.argmax(share >= min(level, share[-1])))
    return first + 1 if rule == "enough" else first


def decompose(
    rows: Rows,
    level: float,
    remember: Remember | None = None,
    block_bytes: int | None = None,
    device: Cpu | Gpu | None = None,
) -> Decomposition:
    """Principal components of ``rows``, at least as many directions as ``level`` asks for.

    Parameters
    ----------
    rows: ``(n_i, D)`` arrays of any float type; read in blocks, never copied as a whole: once for the spectrum, once
        for the directions.
    level: see :meth:`Decomposition.n_components`.
    remember: called as ``remember(name, make)``, returns ``make()`` or what it returned earlier for the same rows. The
        spectrum and every chunk of 64 directions are asked for by themselves, so that all levels share them and no
        direction depends, not even in its last bit, on the level.
    block_bytes: bound of the blocks that are held beside the Gram matrix and the directions; None: by the size of rows.
    device: where the matrix products run.

    Raises
    ------
    DataError: fewer than two rows. ValueError: rows that are not finite.
    """
    n, d = shape_of(rows)
    if n < 2:
        raise DataError(
            f"principal components need at least 2 training samples and got {n}: give more or longer training videos, "
            "or take more clips of them (a smaller backbone.clip_stride)."
        )
    device, remember = device or Cpu(), remember or _make
    spectrum, computed = _spectrum(rows, level, remember, lambda: gram(rows, device, block_bytes))
    mean, values, vectors, total = (spectrum[name] for name in ("mean", "values", "vectors", "total"))
    variance = float(total[0]) / (n - 1)
    k = count_components(values / (n - 1), level, total=variance)
    waiting: dict[int, np.ndarray] = {}
    chunks: list[np.ndarray] = []
    kept = prefixed(remember, end=computed) or _make

    def directions(start: int) -> dict[str, np.ndarray]:
        if start not in waiting:
            wanted = [slice(at, min(at + _CHUNK, len(values))) for at in range(start, k, _CHUNK)]
            made = _directions(rows, mean, values, vectors, wanted, chunks, block_bytes, device)
            waiting.update(zip(range(start, k, _CHUNK), made, strict=True))
        return {"basis": waiting.pop(start)}

    for start in range(0, k, _CHUNK):
        chunks += [kept(f"basis{start}", partial(directions, start))["basis"]]  # directions looks at those before
    known = n <= d and not computed and working_dtype(rows) == np.float64
    scores = vectors * np.sqrt(values) if known else None
    return Decomposition(mean, values / (n - 1), tuple(chunks), _dtype(rows), n, variance, scores, computed)


def _spectrum(
    rows: Rows, level: float, remember: Remember, make: Callable[[], dict[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], str]:
    """As much of the spectrum as ``level`` asks for, and what tells it from that of another depth."""
    n, d = shape_of(rows)
    size, dtype = min(n, d), working_dtype(rows)

    def computed(found: dict[str, np.ndarray], depth: int | None) -> dict[str, np.ndarray]:
        return eigen(found["gram"], found["mean"], n, dtype, depth)

    if size <= DENSE:
        return remember("spectrum", lambda: computed(make(), None)), ""
    shared = cache(lambda: remember("gram", make))
    depth = _FIRST_DEPTH
    while True:
        name = f" of {depth}"
        spectrum = remember(f"spectrum{name}", lambda: computed(shared(), depth))  # noqa: B023
        values = spectrum["values"]
        reached = level <= len(values) if level > 1 else values.sum() >= level * spectrum["total"][0]
        if reached or len(values) < depth or depth >= size:
            return spectrum, name
        depth = min(2 * depth, size)


def _directions(
    rows: Rows,
    mean: np.ndarray,
    values: np.ndarray,
    vectors: np.ndarray,
    wanted: Sequence[slice],
    before: Sequence[np.ndarray],
    block_bytes: int | None,
    device: Cpu | Gpu,
) -> list[np.ndarray]:
    """Yield the ``wanted`` chunks of unit directions, ``(k_i, D)``, orthogonal to those ``before`` them."""
    n, d = shape_of(rows)
    kept = _dtype(rows)
    if n > d:
        return [vectors[:, chunk].T.astype(kept) for chunk in wanted]
    made = [np.empty((chunk.stop - chunk.start, d), kept) for chunk in wanted]
    small = [values[chunk.stop - 1] < _FLOAT64_DIRECTIONS * values[0] for chunk in wanted]
    dtypes = [np.dtype(np.float64) if one else kept for one in small]
    scaled = [(vectors[:, chunk] / np.sqrt(values[chunk])).T for chunk in wanted]
    weights = [device.put(np.ascontiguousarray(part, dtype)) for part, dtype in zip(scaled, dtypes, strict=True)]
    for columns, block in column_blocks(rows, mean, np.result_type(*dtypes), block_bytes):
        on_device = {dtype: device.put(block.astype(dtype, copy=False)) for dtype in set(dtypes)}
        for basis, weight, dtype in zip(made, weights, dtypes, strict=True):
            basis[:, columns] = device.get(weight @ on_device[dtype])
    for at, chunk in enumerate(wanted):
        if values[chunk.stop - 1] < values[0] * _WELL_CONDITIONED:
            exact = made[at].astype(np.float64)
            for earlier in (*before, *made[:at]) * 2:  # twice is enough (Kahan)
                exact -= (exact @ earlier.T) @ earlier
            made[at] = np.linalg.qr(exact.T)[0].T.astype(kept)
    return made


def _dtype(rows: Rows) -> np.dtype:
    """Return the precision of directions and residuals."""
    n, d = shape_of(rows)
    return np.dtype(np.float64 if n * d <= _FLOAT64_VALUES else np.float32)


def _scores(rows: np.ndarray, directions: np.ndarray, device: Cpu | Gpu) -> dict[str, np.ndarray]:
    return {"scores": device.get(rows @ directions.T)}


def _make(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return make()
