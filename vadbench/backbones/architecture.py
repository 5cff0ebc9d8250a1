"""What a configured network looks like before it has weights: its graph, its layers, what is wrong with a wish."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from vadbench.backbones import imports
from vadbench.backbones.base import Layer
from vadbench.backbones.publishers import Facts
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from vadbench.backbones.graph import NetworkGraph


def layers(config: BackboneConfig, facts: Facts) -> list[Layer]:
    """Every layer that has a feature map, in the order of computation.

    Where ``config.size`` is null, the shapes are those of the size in the backbone's configuration file.
    """
    check_config(config, facts)
    return listed(config, facts, traced_graph(config, facts))


def traced_graph(config: BackboneConfig, facts: Facts) -> NetworkGraph:
    """The network's graph with the shapes for a clip of ``config``; nothing is computed and no weights are made.

    The points of a sweep share it: it must not be changed.
    """
    return _traced(facts, (config.clip_length, *input_size(config)))


@lru_cache(maxsize=8)
def _traced(facts: Facts, clip: tuple[int, int, int]) -> NetworkGraph:
    import torch

    from vadbench.backbones.graph import measure, trace

    with torch.device("meta"):
        network = bare_network(facts)
    traced = trace(network, clip)
    measure(traced, network, clip, facts.tokens)
    return traced


def listed(config: BackboneConfig, facts: Facts, traced: NetworkGraph) -> list[Layer]:
    """The usable layers in the order in which they are computed, the default one marked."""
    default = default_layer(config.name)
    found = []
    for name in traced.nodes:
        layout = traced.layout(name, facts.tokens)
        if layout is not None:
            shape = layout.shape(traced.shapes[name]["base"])
            found.append(Layer(name, shape, name == default, name in traced.modules))
    return found


def bare_network(facts: Facts) -> nn.Module:
    """The whole network, without published weights."""
    make = imports.builder(facts.builder)
    without = {"pretrained": False} if facts.builder.startswith("pytorchvideo") else {"weights": None}
    network: nn.Module = make(**without)
    return network.eval()


def check_config(config: BackboneConfig, facts: Facts) -> None:
    """What a network can't have."""
    if config.options:
        key = next(iter(config.options))
        raise ConfigError(f"backbone.options.{key}: backbone {config.name!r} is a network and has no options")
    fixed = facts.fixed_input
    asked = (config.clip_length, *input_size(config))
    if fixed is not None and asked != fixed:
        raise ConfigError(
            f"backbone {config.name!r} has learnt positions and takes only backbone.clip_length={fixed[0]} with "
            f"backbone.size=[{fixed[1]},{fixed[2]}], not {asked[0]} with [{asked[1]},{asked[2]}]"
        )


def input_size(config: BackboneConfig) -> tuple[int, int]:
    """(H, W) that frames are resized to; the recipe's where frames stay as they are."""
    from vadbench.backbones.model_zoo import load_config

    size = config.size or load_config(config.name).size
    assert size is not None
    return size


def is_recipe(config: BackboneConfig, layers: Sequence[str]) -> bool:
    """True if layer, clip length and size are those of the backbone's configuration file."""
    from vadbench.backbones.model_zoo import load_config

    recipe = load_config(config.name)
    return (tuple(layers), config.clip_length, config.size) == ((recipe.layer,), recipe.clip_length, recipe.size)


def default_layer(backbone: str) -> str:
    """The layer that conf/backbone names for ``backbone``."""
    from vadbench.backbones.model_zoo import load_config

    return load_config(backbone).layer


def _nearest_layers(layer: str, usable: list[str]) -> str:
    """Nearest layers, and the stages in place of hundreds of nodes."""
    close = difflib.get_close_matches(layer, usable, n=3, cutoff=0.5)
    hint = f"Did you mean: {', '.join(close)}? " if close else ""
    stages = [name for name in usable if name.count(".") <= 1]
    return f"{hint}Stages: {', '.join(stages)}."


def check_layers(config: BackboneConfig, facts: Facts, traced: NetworkGraph, wanted: Sequence[str]) -> None:
    """ConfigError for a layer that is not there or is no feature map."""
    usable = [layer.name for layer in listed(config, facts, traced)]
    for layer in wanted:
        if layer not in usable:
            raise ConfigError(
                f"layer {layer!r} of backbone {config.name!r}: {_problem(config, traced, layer)}. "
                f"{_nearest_layers(layer, usable)} All with their shapes: "
                f"python -m vadbench list layers backbone={config.name}"
            )


def _problem(config: BackboneConfig, traced: NetworkGraph, layer: str) -> str:
    """Why ``layer`` can't be had."""
    if layer not in traced.nodes:
        return "there is no such layer"
    if "base" in traced.shapes.get(layer, {}):
        return "it is not a feature map"
    size = input_size(config)
    why = f" ({traced.stopped})" if traced.stopped else ""
    return f"it can't be computed for clips of {config.clip_length} frames of {size[0]}x{size[1]} pixels{why}"
