"""A Gaussian mixture: how unlikely is a low-dimensional feature vector, such as the velocity of a region.

Shape legend: N training samples, M samples to score, D feature size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.density.base import Remember, require_samples
from vadbench.density.calibration import RULES, calibrate
from vadbench.density.collecting import CollectingEstimator, Samples, as_array, as_given
from vadbench.density.state import State
from vadbench.errors import one_of

if TYPE_CHECKING:
    pass


_FITTED = ("weights_", "means_", "covariances_", "precisions_cholesky_")


class GMMEstimator(CollectingEstimator):
    """scikit-learn's GaussianMixture with full covariances; the score is the negative log-likelihood (natural log).

    Parameters
    ----------
    n_components: number of Gaussians (2 as anomalib's default and in the official code on Ped2; 5 elsewhere).
    calibration: "max", "p99.9" or "last_group", see :func:`vadbench.density.calibration.calibrate`.
    covariance_floor: added to the variances (scikit-learn's ``reg_covar``). Direction bins that are empty in most
        training regions have no variance of their own: there this number alone says how surprising a little motion is.
    seed: of the k-means that the mixture starts from.
    """

    def __init__(
        self, n_components: int = 2, *, calibration: str = "max", covariance_floor: float = 1e-6, seed: int = 0
    ) -> None:
        super().__init__()
        self.n_components = n_components
        self.rule = one_of("calibration", calibration, RULES)
        self.covariance_floor = covariance_floor
        self.seed = seed
        self.mixture: Any = None

    @property
    def uses_seed(self) -> bool:
        """The start of k-means, where there is more than one Gaussian."""
        return self.n_components > 1

    def fit(
        self, features: np.ndarray | None = None, groups: np.ndarray | None = None, remember: Remember | None = None
    ) -> None:
        """Fit the mixture to ``features (N, D)``, N >= n_components; groups matter only to "last_group".

        ``fit()`` takes what :meth:`update` collected.
        """
        from sklearn.mixture import GaussianMixture

        features, groups = self.training_samples(features, groups)
        require_samples(features, groups, max(2, self.n_components), f"A mixture of {self.n_components} Gaussians")
        samples = np.asarray(features, dtype=np.float64)
        mixture = GaussianMixture(self.n_components, reg_covar=self.covariance_floor, random_state=self.seed)
        self.mixture = mixture.fit(samples)
        self.calibration = calibrate(self.raw(samples), self.rule, groups)

    def raw(self, features: np.ndarray) -> np.ndarray:
        """Negative log-likelihood ``float64 (M,)``."""
        if self.mixture is None:
            raise RuntimeError("fit before you score")
        if len(features) == 0:
            return np.zeros(0)
        likelihood: np.ndarray = self.mixture.score_samples(np.asarray(features, dtype=np.float64))
        return -likelihood

    def raw_without(self, group: int, features: np.ndarray, remember: Remember | None = None) -> np.ndarray:
        """Return the scores of :meth:`raw`: a few samples make next to no difference to a mixture."""
        return self.raw(features)

    def predict(self, features: Samples, normalize: bool = True) -> Samples:
        """Calibrated scores ``(M,)`` of ``features (M, D)``; negative log-likelihoods if ``normalize`` is False."""
        samples = as_array(features)
        return as_given(self.score(samples) if normalize else self.raw(samples), features)

    def summary(self) -> dict[str, Any]:
        """Calibration, components with their weights, and whether the fit converged."""
        if self.mixture is None:
            return {}
        return {
            **super().summary(),
            "components": self.n_components,
            "weights": [round(float(w), 6) for w in self.mixture.weights_],
            "converged": bool(self.mixture.converged_),
        }

    def _own_state(self) -> State:
        if self.mixture is None:
            return State({}, {})
        return State({name: getattr(self.mixture, name) for name in _FITTED}, {"converged": self.mixture.converged_})

    def _load_own_state(self, state: State) -> None:
        from sklearn.mixture import GaussianMixture

        if not state.arrays:
            self.mixture = None
            return
        self.mixture = GaussianMixture(self.n_components, reg_covar=self.covariance_floor, random_state=self.seed)
        for name, array in state.arrays.items():
            setattr(self.mixture, name, array)
        self.mixture.converged_ = state.values["converged"]


@dataclass(config=STRICT, kw_only=True)
class GmmConfig(PartConfig):
    """Gaussian mixture with full covariances: negative log-likelihood."""

    n_components: Annotated[int, Field(ge=1)] = 2
    covariance_floor: Annotated[float, Field(ge=0)] = 1e-6  # added to the variances
    calibration: Literal["max", "p99.9", "last_group"] = "max"  # what becomes 1 where streams are summed (AI-VAD)


@registry.density("gmm", config=GmmConfig, calibrated_by=("calibration",))
def from_config(config: GmmConfig, seed: int) -> GMMEstimator:
    """Gaussian mixture: negative log-likelihood."""
    return GMMEstimator(
        config.n_components, calibration=config.calibration, covariance_floor=config.covariance_floor, seed=seed
    )
