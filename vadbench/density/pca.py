"""Principal components as a density: the energy of a sample that the directions of the training data do not explain."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import SkipValidation
from pydantic.dataclasses import dataclass as checked

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.density.base import BaseDensityEstimator, Remember, prefixed
from vadbench.density.decomposition import COMPONENTS, Decomposition, decompose
from vadbench.density.device import device_named
from vadbench.density.state import State
from vadbench.errors import ConfigError, one_of
from vadbench.files import drop_pages

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 * 2**20


class Pca(BaseDensityEstimator):
    """Principal components as a density: the raw score is the squared norm of what they do not explain.

    Parameters
    ----------
    level: at most 1 the explained variance ratio to reach, above 1 the number of components.
    components: "enough" keeps the fewest components that reach the level, "one_fewer" one less, as anomalib does.
    """

    result_version = 2
    result_note = "pca: directions and residuals are float32 where they are large, scores changed by up to 1e-6"

    def __init__(self, level: float = 0.98, components: str = "enough") -> None:
        if not isinstance(level, (int, float)) or level <= 0 or (level > 1 and level != int(level)):
            raise ConfigError(
                f"density.level={level}: an explained variance ratio up to 1, or a whole number of components above 1"
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
        self.decomposition = decompose(parts, self.level, remember, device=device_named(self.device))
        self.n_components = self.decomposition.n_components(self.level, self.components)
        energy = self.decomposition.training_energy(self.n_components)
        self._own = {} if energy is None else {int(group): energy[groups == group] for group in np.unique(groups)}
        if self.n_components == 0:
            log.warning("PCA keeps no component: the score is the distance to the mean training clip")

    def fit_spec(self) -> dict[str, Any]:
        """Return the version of the decomposition: all levels share it."""
        return {"fit": "pca/2"}

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
        device = device_named(self.device)
        placed = self.decomposition.placed(device)
        step = max(1, BLOCK_BYTES // (placed.dtype.itemsize * placed.mean.size))
        energies = [np.empty((0, *shape[2:]))]
        for start in range(0, len(features), step):
            rows = features[start : start + step]
            block = prefixed(remember, end=f" of {len(rows)} clips from {start}")
            residual = placed.residual(rows, self.n_components, block, device)
            drop_pages(rows)
            np.square(residual, out=residual)
            energies.append(residual.reshape(len(rows), *shape).sum(axis=(1, 2), dtype=np.float64))
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
        values = {
            "rows": found.n_rows,
            "components": self.n_components,
            "total": found.total,
            "computed": found.computed,
        }
        return State({"mean": found.mean, "variances": found.variances, **chunks}, values)

    def _load_own_state(self, state: State) -> None:
        self.decomposition, self._own = None, {}
        if "mean" in state.arrays:
            arrays, values = state
            chunks = tuple(arrays[f"chunk{number}"] for number in range(len(arrays) - 2))
            mean, variances, rows = arrays["mean"], arrays["variances"], values["rows"]
            dtype = np.result_type(*chunks) if chunks else np.dtype(np.float64)
            # States of version 1 hold all variances and say nothing of their sum.
            total, computed = values.get("total", float(variances.sum())), values.get("computed", "")
            self.decomposition = Decomposition(mean, variances, chunks, dtype, rows, total, computed=computed)
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
