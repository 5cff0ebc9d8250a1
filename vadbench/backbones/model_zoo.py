"""All backbones by name: their configuration, a description, and what builds them. Importing it never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.backbones.base import Backbone, Checkpoint, Facts, Layer
from vadbench.config.parts import defaults, keys_of
from vadbench.config.schema import BackboneConfig


@dataclass(frozen=True)
class Description:
    """One row of ``list``: what the configuration says and what the publisher says."""

    name: str
    config: BackboneConfig
    facts: Facts

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The default published weights."""
        return self.facts.checkpoints[0] if self.facts.checkpoints else None

    def row(self) -> dict[str, str]:
        """Column to text, the same columns for every backbone."""
        config, published = self.config, self.checkpoint
        return {
            "name": self.name,
            "input": "as they are" if config.size is None else f"{config.size[0]}x{config.size[1]}",
            "clip": str(config.clip_length),
            "mean": _numbers(config.mean),
            "std": _numbers(config.std),
            "parameters": f"{self.facts.parameters / 1e6:.1f} M" if self.facts.is_network else "none",
            "default layer": config.layer,
            "weights": "none needed" if published is None else published.tag,
            "source": "" if published is None else published.url,
            "sha256": "" if published is None else (published.sha256_prefix or "not given"),
            "terms": "" if published is None else published.terms,
        }


def describe(name: str | None = None) -> list[Description]:
    """All built-in backbones, or the one called ``name``, with configuration defaults and facts."""
    names = [name] if name else [part.name for part in registry.parts("backbone") if part.is_built_in]
    return [Description(n, load_config(n), facts_of(n)) for n in names]


def facts_of(name: str) -> Facts:
    """Return what is fixed about the backbone ``name``, nothing for one from outside; ConfigError if there is none."""
    facts: Facts = registry.get("backbone", name).facts.get("facts", Facts())
    return facts


def load_config(name: str) -> BackboneConfig:
    """Return the default configuration of the backbone ``name``, for use from Python without Hydra."""
    part = registry.get("backbone", name)
    keys = keys_of(part, BackboneConfig)
    # Built-in ones have no keys of their own: one class to prepare instead of seventeen.
    config: BackboneConfig = (BackboneConfig if part.is_built_in else keys)(**{**defaults(keys), "name": name})
    return config


def build(config: BackboneConfig, layers: Sequence[str] | None = None, seed: int = 0, device: str = "cpu") -> Backbone:
    """Return the backbone that ``config`` describes, cut after the last of ``layers``.

    Everything that is wrong with the combination is raised here, before any work: unknown layers, unavailable
    weights, options out of bounds. The network itself is built at the first clip.

    Parameters
    ----------
    config: a checked configuration.
    layers: wanted layers, several in one pass; None takes ``config.layer``.
    seed: of random weights; nothing else depends on it.
    device: "cpu", "cuda", "cuda:1", or "auto" for a GPU where there is one.

    Raises
    ------
    ConfigError: a layer, option or combination that does not exist, with the nearest choices.
    WeightsError: weights that are unavailable or don't fit.
    """
    part = registry.get("backbone", config.name)
    wanted = tuple(dict.fromkeys(layers or (config.layer,)))
    backbone: Backbone = part.make(config, wanted, seed, device)
    return backbone if part.is_built_in else FromPlugin(backbone, part.digest)


class FromPlugin:
    """A backbone from outside: the digest of its plug-in is part of its features' key, so that no old ones are used."""

    def __init__(self, backbone: Backbone, digest: str) -> None:
        self.backbone = backbone
        self.digest = digest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`vadbench.backbones.base.Backbone`."""
        return self.backbone(clips)

    def spec(self, layer: str) -> dict[str, Any]:
        """See :class:`vadbench.backbones.base.Backbone`."""
        return {**self.backbone.spec(layer), "plugin": self.digest}


def layers(config: BackboneConfig) -> list[Layer]:
    """Every layer of the backbone in the order in which it is computed, with the shape of its feature map."""
    from vadbench.backbones.grid import LAYER, grid_shape

    if not registry.get("backbone", config.name).is_built_in:
        return [Layer(name, (None,) * 4, name == config.layer) for name in build(config).layers]
    facts = facts_of(config.name)
    if facts.is_network:
        from vadbench.backbones import architecture

        return architecture.layers(config, facts, load_config(config.name))
    bank: Any = build(config, (LAYER,))
    grid = (None, None) if config.size is None else grid_shape(config.size, bank.cell)
    return [Layer(LAYER, (len(bank.channels), config.clip_length, *grid), default=True)]


def _numbers(values: tuple[float, ...] | None) -> str:
    return "" if values is None else "/".join(f"{v:g}" for v in dict.fromkeys(values))
