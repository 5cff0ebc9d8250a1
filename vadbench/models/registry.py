"""From the configuration of a run to its detector, by the name of the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vadbench import registry
from vadbench.config.schema import RunConfig
from vadbench.density.base import BaseDensityEstimator
from vadbench.errors import ConfigError
from vadbench.models.base import Detector

if TYPE_CHECKING:
    from vadbench.backbones.base import Backbone


@dataclass(frozen=True)
class ModelRun:
    """What a method is built with beside its own configuration.

    config: of the whole run. open_store: opens the feature store; None where a detector is only built to ask it.
    """

    config: RunConfig
    open_store: Callable[[], Any] | None = None

    @property
    def seed(self) -> int:
        """Every random choice comes from it."""
        return self.config.seed

    @property
    def device(self) -> str:
        """Such as "cpu", "cuda:1" or "auto"."""
        return self.config.runtime.device

    @property
    def batch_size(self) -> int | None:
        """Clips or images that a network sees at once; None: by the device."""
        return self.config.runtime.batch_size

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone of the run, cut at ``model.layer`` or at its default layer."""
        return self.backbone_at([getattr(self.config.model, "layer", None) or self._group("backbone").layer])

    def backbone_at(self, layers: Sequence[str]) -> Backbone:
        """Return the backbone of the run for these layers."""
        from vadbench.backbones import model_zoo

        return model_zoo.build(self._group("backbone"), tuple(layers), self.seed, self.device)

    @cached_property
    def density(self) -> BaseDensityEstimator:
        """The density of the run, not fitted."""
        config = self._group("density")
        built: BaseDensityEstimator = registry.get("density", config.name).make(config, self.seed)
        return built

    @cached_property
    def store(self) -> Any:
        """The feature store of the run."""
        return None if self.open_store is None else self.open_store()

    def _group(self, group: str) -> Any:
        found = getattr(self.config, group)
        if found is None:
            raise ConfigError(
                f"model={self.config.model.name} asks for a {group} and the run has none; register the model with "
                f'{group}="NAME" for its default'
            )
        return found


def build(config: RunConfig, open_store: Callable[[], Any] | None = None) -> Detector:
    """Return the detector that ``config`` describes; everything wrong with the combination is raised here."""
    detector: Detector = registry.get("model", config.model.name).make(config.model, ModelRun(config, open_store))
    return detector
