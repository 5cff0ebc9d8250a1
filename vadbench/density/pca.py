"""Exact principal components of a tall or a wide matrix, in bounded memory, for every level at once.

The eigenvectors come from the smaller of the two Gram matrices, accumulated in float64 over blocks: X Xᵀ (N x N) where
there are fewer rows than columns, as with flattened clip features, else Xᵀ X (D x D). Both give the same subspace as a
full singular value decomposition of the centred matrix.

Shape legend: N rows (clips), D columns (feature size), R rank, K components kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import SkipValidation
from pydantic.dataclasses import dataclass as checked

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.density.base import BaseDensityEstimator, Remember, prefixed
from vadbench.density.state import State
from vadbench.errors import ConfigError, one_of

log = logging.getLogger(__name__)

Rows = Sequence[np.ndarray]
"""The training matrix as a list of ``(n_i, D)`` arrays, one for each video; memory-mapped arrays are read in blocks."""

COMPONENTS = ("enough", "one_fewer")

BLOCK_BYTES = 128 * 2**20

# Directions are made this many at a time.
_CHUNK = 64

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
    chunks: the K <= R leading directions as orthonormal rows, ``float64 (k_i, D)`` each; kept apart so that chunks that
        are memory-mapped need not be in memory at once.
    n_rows: N.
    scores: ``float64 (N, R)``, the training rows in terms of all R directions; None where N > D.
    """

    mean: np.ndarray
    variances: np.ndarray
    chunks: tuple[np.ndarray, ...]
    n_rows: int
    scores: np.ndarray | None = None

    @property
    def basis(self) -> np.ndarray:
        """All directions, ``float64 (K, D)``, in memory."""
        return np.concatenate([np.empty((0, self.mean.size)), *self.chunks])

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

    def residual(self, rows: np.ndarray, k: int, remember: Remember | None = None) -> np.ndarray:
        """What the first ``k`` components do not explain: ``float64 (n, D)`` for ``rows (n, D)``.

        ``remember``: see :func:`decompose`, for these rows; what they are in terms of 64 directions is asked for by
        itself, so that all levels share it.
        """
        import scipy.linalg

        remember = remember or _make
        residual = np.subtract(rows, self.mean, dtype=np.float64, order="C")
        if not len(rows):
            return residual
        for number, (directions, used) in enumerate(self._leading(k)):
            scores = remember(f"scores{number * _CHUNK}", partial(_scores, residual, directions))["scores"]
            # In place, by columns of the transposed: what numpy would hold in between is as large as the rows.
            residual = scipy.linalg.blas.dgemm(
                -1.0, directions[:used].T, scores[:, :used].T, 1.0, residual.T, overwrite_c=True
            ).T
        return residual

    def training_energy(self, k: int) -> np.ndarray | None:
        """Squared norm of the residual of each training row for ``k`` components, ``float64 (N,)``, without a look at
        the rows: Σ_{j>=k} z_j². None where ``scores`` is."""
        return None if self.scores is None else np.square(self.scores[:, k:]).sum(axis=1)

    def residual_energy(self, rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        """Squared norm of the residual for several numbers of components at once: ``float64 (len(counts), n)``.

        One projection serves all: ||x - x̂_k||² = ||x||² - Σ_{j<k} z_j².
        """
        centred = rows.astype(np.float64) - self.mean
        total = np.einsum("nd,nd->n", centred, centred)
        projected = [centred @ directions[:used].T for directions, used in self._leading(max(counts))]
        explained = np.cumsum(np.concatenate([np.zeros((len(rows), 1)), *projected], axis=1) ** 2, axis=1)
        return np.stack([np.maximum(total - explained[:, k], 0.0) for k in counts])

    def _leading(self, k: int) -> Iterator[tuple[np.ndarray, int]]:
        """The chunks that hold the first ``k`` directions, and how many of each are among them."""
        there = sum(len(chunk) for chunk in self.chunks)
        if k > there:
            raise ValueError(f"{k} components asked for, but only {there} were computed; decompose deeper")
        for chunk in self.chunks:
            if k <= 0:
                return
            yield chunk, min(k, len(chunk))
            k -= len(chunk)


class Pca(BaseDensityEstimator):
    """Principal components as a density: the raw score is the squared norm of what they do not explain.

    Parameters
    ----------
    level: at most 1 the explained variance ratio to reach, above 1 the number of components.
    components: "enough" keeps the fewest components that reach the level, "one_fewer" one less, as anomalib does.
    """

    def __init__(self, level: float = 0.98, components: str = "enough") -> None:
        if not isinstance(level, (int, float)) or level <= 0 or (level > 1 and level != int(level)):
            raise ConfigError(
                f"density.level={level}: at most 1 it is a share of variance, above 1 a whole number of components"
            )
        self.level = level
        self.components = one_of("components", components, COMPONENTS)
        self.decomposition: Decomposition | None = None
        self.n_components = 0
        self._own: dict[int, np.ndarray] = {}  # raw scores of the training samples of each group

    def fit(self, features: np.ndarray, groups: np.ndarray, remember: Remember | None = None) -> None:
        """Find the components of ``features (N, D)``."""
        self.fit_parts([features], groups, remember)

    def fit_parts(self, parts: Sequence[np.ndarray], groups: np.ndarray, remember: Remember | None = None) -> None:
        """Find the components of ``parts (n_i, D)``, which are never joined in memory."""
        self.decomposition = decompose(parts, self.level, remember)
        self.n_components = self.decomposition.n_components(self.level, self.components)
        energy = self.decomposition.training_energy(self.n_components)
        self._own = {} if energy is None else {int(group): energy[groups == group] for group in np.unique(groups)}
        if self.n_components == 0:
            log.warning("PCA keeps no component: the score is the distance to the mean training clip")

    def fit_spec(self) -> dict[str, Any]:
        """Return the version of the decomposition: all levels share it."""
        return {"fit": "pca/1"}

    def raw(self, features: np.ndarray, remember: Remember | None = None) -> np.ndarray:
        """Return the residual energy ``float64 (M,)`` of ``features (M, D)``."""
        return self.location_energy(features, (features.shape[1], 1, 1, 1), remember)[:, 0, 0]

    def raw_without(self, group: int, features: np.ndarray, remember: Remember | None = None) -> np.ndarray:
        """Return the residual energy of training samples under all components, those of their group included: what
        FUVAS compares with. The fit has it ready where there are fewer samples than columns."""
        own = self._own.get(group)
        return own if own is not None and len(own) == len(features) else self.raw(features, remember)

    def location_energy(
        self, features: np.ndarray, shape: tuple[int, ...], remember: Remember | None = None
    ) -> np.ndarray:
        """Return the residual energy of each location, summed over channels and time: ``float64 (M, h, w)``.

        ``features (M, D)`` are read in blocks. ``remember`` keeps what they are in terms of the components, which all
        levels share.
        """
        if self.decomposition is None:
            raise RuntimeError("fit before you score")
        step = max(1, BLOCK_BYTES // (8 * self.decomposition.mean.size))
        energies = [np.empty((0, *shape[2:]))]
        for start in range(0, len(features), step):
            rows = features[start : start + step]
            block = prefixed(remember, end=f" of {len(rows)} clips from {start}")
            residual = self.decomposition.residual(rows, self.n_components, block)
            energies.append(np.square(residual).reshape(len(rows), *shape).sum(axis=(1, 2)))
        return np.concatenate(energies)

    def summary(self) -> dict[str, Any]:
        """Return the size of a sample, the components kept and the explained variance ratio."""
        if self.decomposition is None:
            return super().summary()
        return {
            **super().summary(),
            "feature_size": int(self.decomposition.mean.size),
            "components": self.n_components,
            "variance_share": self.decomposition.variance_share(self.n_components),
        }

    def _own_state(self) -> State:
        if self.decomposition is None:
            return State({}, {})
        found = self.decomposition
        chunks = {f"chunk{number}": chunk for number, chunk in enumerate(found.chunks)}
        values = {"rows": found.n_rows, "components": self.n_components}
        return State({"mean": found.mean, "variances": found.variances, **chunks}, values)

    def _load_own_state(self, state: State) -> None:
        self.decomposition, self._own = None, {}
        if "mean" in state.arrays:
            arrays, values = state
            chunks = tuple(arrays[f"chunk{number}"] for number in range(len(arrays) - 2))
            self.decomposition = Decomposition(arrays["mean"], arrays["variances"], chunks, values["rows"])
            self.n_components = values["components"]


@checked(config=STRICT, kw_only=True)
class PcaConfig(PartConfig):
    """Principal components, exact, from the smaller Gram matrix."""

    # At most 1: explained variance ratio to reach; above 1: number of components. None: 0.98. It follows
    # model.pca_level where there is one (conf/density/pca.yaml). Pca itself checks it, so that a mistake there is
    # reported once.
    level: SkipValidation[float | None] = None
    components: Literal["enough", "one_fewer"] = "enough"  # one_fewer: what anomalib does, for comparison


@registry.density("pca", config=PcaConfig)
def from_config(config: PcaConfig, seed: int) -> Pca:
    """Principal components: squared norm of what they do not explain."""
    return Pca(0.98 if config.level is None else config.level, config.components)


def count_components(variances: np.ndarray, level: float, rule: str = "enough") -> int:
    """See :meth:`Decomposition.n_components`."""
    one_of("components", rule, COMPONENTS)
    if level > 1:
        return min(int(level), len(variances))
    if len(variances) == 0:
        return 0
    share = np.cumsum(variances) / variances.sum()
    # share[-1] may miss 1.0 by rounding, and level=1 must still be reachable.
    first = int(np.argmax(share >= min(level, share[-1])))
    return first + 1 if rule == "enough" else first


def decompose(
    rows: Rows, level: float, remember: Remember | None = None, block_bytes: int = BLOCK_BYTES
) -> Decomposition:
    """Principal components of ``rows``, at least as many directions as ``level`` asks for.

    Parameters
    ----------
    rows: ``(n_i, D)`` arrays of any float type; read in blocks, never copied as a whole.
    level: see :meth:`Decomposition.n_components`.
    remember: called as ``remember(name, make)``, returns ``make()`` or what it returned earlier for the same rows. The
        spectrum and every chunk of 64 directions are asked for by themselves, so that all levels share one
        decomposition and no direction depends, not even in its last bit, on how deep it was asked for.
    block_bytes: bound on the float64 blocks that are held beside the Gram matrix and the basis.

    Raises
    ------
    ValueError: fewer than two rows, or rows that are not finite.
    """
    remember = remember or _make
    n = sum(len(r) for r in rows)
    if n < 2:
        raise ValueError(f"principal components need at least two rows, got {n}")
    spectrum = remember("spectrum", lambda: _spectrum(rows, block_bytes))
    mean, values, vectors = spectrum["mean"], spectrum["values"], spectrum["vectors"]
    k = count_components(values, level)
    chunks: list[np.ndarray] = []
    for start in range(0, k, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, len(values)))
        weights = vectors[:, chunk] / np.sqrt(values[chunk])
        made = remember(f"basis{start}", partial(_directions, rows, mean, weights, values, chunk, chunks, block_bytes))
        chunks.append(made["basis"])
    scores = vectors * np.sqrt(values) if len(vectors) == n else None
    return Decomposition(mean, values / (n - 1), tuple(chunks), n, scores)


def _scores(rows: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
    return {"scores": rows @ directions.T}


def _make(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return make()


def _spectrum(rows: Rows, block_bytes: int) -> dict[str, np.ndarray]:
    """Mean ``(D,)``, squared singular values ``(R,)`` descending, and the eigenvectors of the smaller Gram matrix."""
    import scipy.linalg

    n, d = sum(len(r) for r in rows), rows[0].shape[1]
    mean = _mean(rows, block_bytes)
    if not np.isfinite(mean).all():
        raise ValueError("features are not finite")
    gram = _row_gram(rows, mean, block_bytes) if n <= d else _column_gram(rows, mean, block_bytes)
    values, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    # A constant matrix leaves nothing but rounding of its mean; that is no direction.
    rounding = n * float(np.square(mean).max(initial=0.0)) * 1e-30
    rank = int(np.sum(values > max(values[0] * _RANK_TOLERANCE * n, rounding)))
    return {"mean": mean, "values": values[:rank].copy(), "vectors": np.ascontiguousarray(vectors[:, :rank])}


def _directions(
    rows: Rows,
    mean: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
    chunk: slice,
    before: Sequence[np.ndarray],
    block_bytes: int,
) -> dict[str, np.ndarray]:
    """One chunk of unit directions in D-space, ``{"basis": (k, D)}``, orthogonal to those ``before`` it."""
    if len(weights) == len(mean) and sum(len(r) for r in rows) > len(mean):
        return {"basis": (weights * np.sqrt(values[chunk])).T.copy()}
    basis = _project(rows, mean, weights, block_bytes)
    if values[chunk.stop - 1] < values[0] * _WELL_CONDITIONED:
        for earlier in (*before, *before):  # twice is enough (Kahan)
            basis -= (basis @ earlier.T) @ earlier
        basis = np.linalg.qr(basis.T)[0].T.copy()
    return {"basis": basis}


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
