"""Several streams of features, each with its own density estimate, summed after calibration.

Shape legend: N training samples, M samples to score, D feature size of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, SkipValidation
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.config.schema import checked_part
from vadbench.density.bank import BankKind
from vadbench.density.base import BaseDensityEstimator, Remember
from vadbench.density.collecting import CollectingEstimator, Samples, as_array, as_given
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.density.state import State, joined, part
from vadbench.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import torch


Calibration = Literal["max", "p99.9", "last_group"]
Count = Annotated[int, Field(ge=1)]


def _density(given: Any) -> Any:
    """Return the typed configuration of the density of one stream, given by its name or with keys."""
    if given is None or isinstance(given, PartConfig):
        return given
    given = {"name": given} if isinstance(given, str) else given
    if isinstance(given, Mapping) and given.get("name") == "attributes":
        single = [name for name in registry.names("density") if name != "attributes"]
        raise ValueError(f"a stream takes one density, such as {', '.join(single)}")
    try:
        return checked_part("density", given)
    except ConfigError as error:
        raise ValueError(f"as the density of a stream: {error}") from None


AnyDensity = Annotated[PartConfig | None, SkipValidation, BeforeValidator(_density)]


@dataclass(config=STRICT, kw_only=True)
class AttributeDensityConfig(PartConfig):
    """One density for each attribute: Gaussians for velocity, nearest neighbours for pose and deep features."""

    n_components_velocity: Count = 2  # 2 on Ped2, 5 elsewhere (official)
    # scikit-learn's default; matters for direction bins that are mostly empty.
    covariance_floor_velocity: Annotated[float, Field(ge=0)] = 1e-6
    n_neighbors_pose: Count = 1
    n_neighbors_deep: Count = 1
    # What becomes 1: max (paper), p99.9 (official), last_group (anomalib's pose and deep: last training video only).
    calibration_velocity: Calibration = "max"
    calibration_pose: Calibration = "max"  # p99.9 (official)
    calibration_deep: Calibration = "max"
    distance: Literal["l2", "squared_l2"] = "l2"  # l2 (anomalib); squared_l2 (official)
    bank_pose: BankKind = "full"  # full, kmeans:K or coreset:SHARE
    bank_deep: BankKind = "full"
    # Training regions that the calibration takes. None: all, which costs the square of their number; auto: all up to
    # 20,000, beyond that 20,000 evenly spread ones.
    calibration_samples: Count | Literal["auto"] | None = "auto"
    # Any density in place of what the keys above say: NAME, or {name: NAME, ...} with keys; None: as they say.
    velocity: AnyDensity = None
    pose: AnyDensity = None
    deep: AnyDensity = None


@registry.density("attributes", config=AttributeDensityConfig)
class CombinedDensityEstimator:
    """Scores each stream by itself and adds up the calibrated scores.

    Parameters
    ----------
    use_pose_features, use_deep_features, use_velocity_features: streams with the documented densities: nearest
        neighbours for pose and deep features, a Gaussian mixture for velocity.
    n_neighbors_pose, n_neighbors_deep, n_components_velocity, seed, device: of those densities.
    estimators: stream name to estimator, in place of all these.
    in_sum: names of the streams that count in the total; None takes all. The official AI-VAD code computes deep
        features on ShanghaiTech and leaves them out of the sum.

    A sample whose vector of one stream is NaN has no such feature (a pose of what is not a person): it takes no part in
    that stream's fit, its score there is NaN and adds the calibrated minimum, 0, to its total.
    """

    def __init__(
        self,
        use_pose_features: bool = True,
        use_deep_features: bool = True,
        use_velocity_features: bool = False,
        n_neighbors_pose: int = 1,
        n_neighbors_deep: int = 1,
        n_components_velocity: int = 5,
        *,
        seed: int = 0,
        device: str = "cpu",
        estimators: Mapping[str, BaseDensityEstimator] | None = None,
        in_sum: Sequence[str] | None = None,
    ) -> None:
        if estimators is None:
            documented: dict[str, BaseDensityEstimator] = {}
            if use_velocity_features:
                documented["velocity"] = GMMEstimator(n_components_velocity, seed=seed)
            if use_pose_features:
                documented["pose"] = GroupedKNNEstimator(n_neighbors_pose, seed=seed, device=device)
            if use_deep_features:
                documented["deep"] = GroupedKNNEstimator(n_neighbors_deep, seed=seed, device=device)
            estimators = documented
        if not estimators:
            raise ConfigError("No feature stream is on. Switch on at least one of velocity, pose and deep.")
        self.estimators = dict(estimators)
        self.in_sum = tuple(self.estimators) if in_sum is None else tuple(in_sum)
        for name in self.in_sum:
            if name not in self.estimators:
                raise ConfigError(f"The sum asks for stream {name!r}. {nearest(name, self.estimators)}")
        if not self.in_sum:
            raise ConfigError(f"The sum of streams is empty. Available: {', '.join(self.estimators)}.")

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores of a stream."""
        return any(estimator.uses_seed for estimator in self.estimators.values())

    @property
    def result_version(self) -> int:
        """Higher whenever the version of the estimator of a stream is."""
        return 1 + sum(estimator.result_version - 1 for estimator in self.estimators.values())

    @property
    def share_calibrated(self) -> float:
        """Smallest share of the training samples that the calibration of a stream was bounded to."""
        return min(getattr(estimator, "share_calibrated", 1.0) for estimator in self.estimators.values())

    @property
    def result_note(self) -> str:
        """What changed when the versions were last raised."""
        return "; ".join(dict.fromkeys(one.result_note for one in self.estimators.values() if one.result_note))

    def fit(
        self,
        features: Mapping[str, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
        remember: Remember | None = None,
    ) -> None:
        """Fit every stream: ``features`` stream name to ``(N, D)``, ``groups int (N,)``; see
        :meth:`vadbench.density.base.BaseDensityEstimator.fit`. ``fit()`` takes what :meth:`update` collected."""
        if features is None or groups is None:
            for collecting in self._collecting().values():
                collecting.fit()
            return
        for name, estimator in self.estimators.items():
            present = _present(features[name])
            samples, own = (features[name], groups) if present.all() else (features[name][present], groups[present])
            # The features of a stream depend on more than the spec of the fit says.
            estimator.learn([samples], own, remember if estimator.fit_spec() == {} else None)
            estimator.calibrate(samples, own)

    def score(self, features: Mapping[str, np.ndarray], without: int | None = None) -> dict[str, np.ndarray]:
        """Stream name to calibrated scores ``float64 (M,)``, NaN where a sample has no such feature.

        ``without``: a group of training samples that is to count as never seen, because ``features`` are its own.
        """
        scores = {}
        for name, estimator in self.estimators.items():
            present = _present(features[name])
            scores[name] = np.full(len(present), np.nan)
            vectors = features[name][present]
            scores[name][present] = (
                estimator.score(vectors) if without is None else estimator.score_without(without, vectors)
            )
        return scores

    def total(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Sum over the streams that count, ``float64 (M,)``."""
        total: np.ndarray = np.sum([np.nan_to_num(scores[name], nan=0.0) for name in self.in_sum], axis=0)
        return total

    def state(self) -> State:
        """Return the fit of every stream."""
        return joined({name: estimator.state() for name, estimator in self.estimators.items()})

    def load_state(self, state: State) -> None:
        """Take over the fit of every stream."""
        for name, estimator in self.estimators.items():
            estimator.load_state(part(state, name))

    def update(self, features: Mapping[Any, np.ndarray | torch.Tensor], group: str | None = None) -> None:
        """Keep the samples of one frame, stream to ``(M, D)``, for :meth:`fit`; ``group`` names the video."""
        named = _by_name(features)
        for name, estimator in self._collecting().items():
            samples = as_array(_stream(named, name))
            estimator.update(samples[_present(samples)], group)

    def predict(self, features: Mapping[Any, Samples]) -> tuple[Samples, Samples]:
        """Scores of one frame from the features of its regions, stream to ``(M, D)``.

        Returns
        -------
        scores of the regions, the total ``(M,)``; the score of the frame, a scalar: the largest of each stream, summed.
        A frame without regions gets the calibrated minimum, 0.
        """
        named = _by_name(features)
        given = {name: _stream(named, name) for name in self.estimators}
        scores = self.score({name: as_array(samples) for name, samples in given.items()})
        known = [scores[name][~np.isnan(scores[name])] for name in self.in_sum]
        frame: np.ndarray = np.sum([part.max() for part in known if len(part)])
        example = next(iter(given.values()))
        return as_given(self.total(scores), example), as_given(frame, example)

    def __call__(self, features: Mapping[Any, Samples]) -> tuple[Samples, Samples]:
        """As :meth:`predict`."""
        return self.predict(features)

    def _collecting(self) -> dict[str, CollectingEstimator]:
        collecting = {n: e for n, e in self.estimators.items() if isinstance(e, CollectingEstimator)}
        others = self.estimators.keys() - collecting.keys()
        if others:
            raise ConfigError(f"The density of stream {min(others)!r} has no update: use fit(features, groups)")
        return collecting

    def summary(self) -> dict[str, Any]:
        """Stream name to what its fit found."""
        return {name: estimator.summary() for name, estimator in self.estimators.items()}


def _by_name(features: Mapping[str, Any]) -> dict[str, Any]:
    """Streams by their plain names; an Enum of names is no key of the same hash."""
    return {str(getattr(stream, "value", stream)): samples for stream, samples in features.items()}


def _stream(features: Mapping[str, Any], name: str) -> Any:
    if name not in features:
        raise DataError(f"There are no {name} features. {nearest(name, features)}")
    return features[name]


def _present(features: np.ndarray) -> np.ndarray:
    """``bool (n,)``: rows that are not NaN throughout."""
    return np.concatenate(
        [~np.isnan(features[i : i + (1 << 16)]).all(axis=1) for i in range(0, len(features), 1 << 16)]
        or [np.zeros(0, bool)]
    )
