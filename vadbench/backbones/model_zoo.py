"""All backbones by name: their configuration, a description, and what builds them. Importing it never imports torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.backbones.base import Backbone, Layer
from vadbench.backbones.publishers import FACTS, Checkpoint, Facts
from vadbench.config.parts import keys_of
from vadbench.config.paths import CONF
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError, nearest

WHERE = "vadbench/backbones/publishers.py and conf/backbone"


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
    """All built-in backbones, or the one called ``name``, with configuration defaults and facts. Reads YAML only."""
    return [Description(n, load_config(n), facts_of(n)) for n in ([name] if name else FACTS)]


def facts_of(name: str) -> Facts:
    """What is fixed about the backbone ``name``; ConfigError with the nearest names if there is none."""
    if name not in FACTS:
        raise ConfigError(f"Unknown backbone {name!r}. {nearest(name, FACTS)} To add one, see {WHERE}.")
    return FACTS[name]


def load_config(name: str) -> BackboneConfig:
    """The configuration in conf/backbone/NAME.yaml, for use from Python without Hydra."""
    import yaml
    from pydantic import TypeAdapter

    part = registry.get("backbone", name)
    path = Path(CONF) / "backbone" / f"{name}.yaml"
    values: Any = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {"name": name}
    config: BackboneConfig = TypeAdapter(keys_of(part, BackboneConfig)).validate_python(values)
    return config


def build(config: BackboneConfig, layers: Sequence[str] | None = None, seed: int = 0, device: str = "cpu") -> Backbone:
    """The backbone that ``config`` describes, cut after the last of ``layers``.

    Everything that is wrong with the combination is raised here, before any work: unknown layers, weights that can't be
    had, options out of bounds. The network itself is built at the first clip.

    Parameters
    ----------
    config: a checked configuration.
    layers: wanted layers, several in one pass; None takes ``config.layer``.
    seed: of random weights; nothing else depends on it.
    device: "cpu", "cuda", "cuda:1", or "auto" for a GPU where there is one.

    Raises
    ------
    ConfigError: a layer, option or combination that does not exist, with the nearest choices.
    WeightsError: weights that can't be had or don't fit.
    """
    part = registry.get("backbone", config.name)
    wanted = tuple(dict.fromkeys(layers or (config.layer,)))
    backbone: Backbone = part.build(config, wanted, seed, device)
    return backbone if part.is_built_in else FromPlugin(backbone, part.digest)


def _network(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> Backbone:
    from vadbench.backbones.network import Network

    return Network(config, FACTS[config.name], load_config(config.name), layers, seed, device)


def _filter_bank(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> Backbone:
    _check_bank(config, layers)
    module, _, attribute = FACTS[config.name].builder.partition(":")
    bank: Backbone = getattr(importlib.import_module(module), attribute)(config.options)
    return bank


for _name, _facts in FACTS.items():
    registry.backbone(_name, config=BackboneConfig)(_network if _facts.is_network else _filter_bank)


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
    bank: Any = _filter_bank(config, (LAYER,), 0, "cpu")
    grid = (None, None) if config.size is None else grid_shape(config.size, bank.cell)
    return [Layer(LAYER, (len(bank.channels), config.clip_length, *grid), default=True)]


def _check_bank(config: BackboneConfig, wanted: tuple[str, ...]) -> None:
    """What a filter bank can't have."""
    from vadbench.backbones.grid import LAYER

    for layer in wanted:
        if layer != LAYER:
            raise ConfigError(f"backbone {config.name!r} has no layer {layer!r}. {nearest(layer, [LAYER])}")
    fixed = {"weights": None, "mean": None, "std": None, "precision": "float32"}
    for key, value in fixed.items():
        if getattr(config, key) != value:
            shown = "null" if value is None else value
            raise ConfigError(
                f"backbone.{key}={getattr(config, key)!r}: backbone {config.name!r} is a filter bank without weights "
                f"that takes frames as bytes; it works with backbone.{key}={shown} only"
            )


def _numbers(values: tuple[float, ...] | None) -> str:
    return "" if values is None else "/".join(f"{v:g}" for v in dict.fromkeys(values))
