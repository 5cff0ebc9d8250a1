"""What a configured network looks like before it has weights: its layers, their shapes, what is wrong with a request.

A layer is a module that the network calls, named by its path (``blocks.4``, ``blocks.4.res_blocks.0.branch2.conv_a``).
What an operation inside a module gives (an addition, a concatenation, an attention matrix) has no name and is no layer.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vadbench.backbones import imports
from vadbench.backbones.base import Facts, Layer
from vadbench.backbones.layout import Layout, Shape, axes_layout, token_layout
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError
from vadbench.files import remembered

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass
class Architecture:
    """The layers of a network for one size of clip.

    Attributes
    ----------
    modules: paths of all modules, those that the network never calls too.
    shapes: layer to its output shape under each probe (see :mod:`vadbench.backbones.layout`), in the order in which the
        layers return.
    calls: how often the network calls each layer; its output is that of the last call.
    stopped: why the layers after the last one can't be computed for this input; empty if all can.
    """

    modules: frozenset[str]
    shapes: dict[str, dict[str, Shape]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    def layout(self, layer: str, tokens: bool) -> Layout | None:
        """Return how the output of ``layer`` becomes a feature map; None if it is none."""
        probes = self.shapes.get(layer)
        if not probes or "base" not in probes:
            return None
        if tokens:
            return token_layout(probes, self._grids()) if "N" in probes else None
        if len(probes) < 5 or len({len(shape) for shape in probes.values()}) > 1:
            return None
        return axes_layout(probes)

    def _grids(self) -> list[tuple[int, int, int]]:
        """(t, h, w) of the patch embedding and of every pooling of tokens, which are convolutions over the grid."""
        shapes = [probes["base"] for probes in self.shapes.values() if len(probes.get("base", ())) == 5]
        return list(dict.fromkeys((t, h, w) for _, _, t, h, w in shapes))


def layers(config: BackboneConfig, facts: Facts, recipe: BackboneConfig) -> list[Layer]:
    """Return every layer that has a feature map, in the order of computation.

    Where ``config.size`` is null, the shapes are those of the size in ``recipe``, the backbone's configuration file.
    """
    check_config(config, facts, recipe)
    return listed(facts, recipe, measured(config, facts, recipe))


def measured(config: BackboneConfig, facts: Facts, recipe: BackboneConfig) -> Architecture:
    """Return the network's layers for a clip of ``config``; nothing is computed and no weights are made.

    The points of a sweep share it: it must not be changed.
    """
    return _measured(facts, (config.clip_length, *input_size(config, recipe)))


@lru_cache(maxsize=8)
def _measured(facts: Facts, clip: tuple[int, int, int]) -> Architecture:
    """Measure once for each clip and version of the libraries: importing torch for it takes seconds."""
    libraries = imports.versions(facts.builder)
    if "none" in libraries.values():  # a network of a file, which may change
        return _run_on_meta(facts, clip)
    key = {"version": 1, "builder": facts.builder, "tokens": facts.tokens, "clip": clip, "libraries": libraries}
    table = remembered("layers", key, lambda: _as_table(_run_on_meta(facts, clip)))
    shapes = {layer: {probe: tuple(shape) for probe, shape in found.items()} for layer, found in table["shapes"]}
    return Architecture(frozenset(table["modules"]), shapes, Counter(table["calls"]), table["stopped"])


def _as_table(network: Architecture) -> dict[str, Any]:
    """Return what JSON holds of a network; its layers are in the order in which they return."""
    shapes = list(network.shapes.items())
    return {"modules": sorted(network.modules), "shapes": shapes, "calls": network.calls, "stopped": network.stopped}


def _run_on_meta(facts: Facts, clip: tuple[int, int, int]) -> Architecture:
    import torch

    with torch.device("meta"):
        network = bare_network(facts)
    paths = {path: module for path, module in network.named_modules() if path}
    found = Architecture(frozenset(paths))
    probe = "base"

    def note(path: str, output: Any) -> None:
        value = first_tensor(output)
        if value is None:
            return
        probes = found.shapes.setdefault(path, {})
        probes[probe] = tuple(value.shape)
        if probe == "base":
            found.calls[path] += 1
            found.shapes[path] = found.shapes.pop(path)

    for path, module in paths.items():
        module.register_forward_hook(lambda _module, _inputs, output, path=path: note(path, output))
    t, h, w = clip
    inputs = {"base": (2, 3, t, h, w), "N": (3, 3, t, h, w)}
    if not facts.tokens:
        inputs |= {"T": (2, 3, 2 * t, h, w), "H": (2, 3, t, 2 * h, w), "W": (2, 3, t, h, 2 * w)}
    for probe, shape in inputs.items():
        fault = _fault(network, torch.empty(shape, device="meta"))
        found.stopped = fault if probe == "base" else found.stopped
    return found


def _fault(network: nn.Module, clips: torch.Tensor) -> str:
    """Run the network and return what stops it: a head with a fixed pooling window can't take every size."""
    import torch

    try:
        with torch.no_grad():
            network(clips)
    except Exception as error:
        return str(error).strip().partition("\n")[0]
    return ""


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return a module's output; of a tuple its first part (MViT's blocks return their grid beside their tokens)."""
    import torch

    value = output[0] if isinstance(output, tuple) and output else output
    return value if isinstance(value, torch.Tensor) else None


def listed(facts: Facts, recipe: BackboneConfig, network: Architecture) -> list[Layer]:
    """Return the usable layers in the order in which they are computed, the default one marked."""
    found = []
    for name, probes in network.shapes.items():
        layout = network.layout(name, facts.tokens)
        if layout is not None:
            found.append(Layer(name, layout.shape(probes["base"]), name == recipe.layer))
    return found


def bare_network(facts: Facts) -> nn.Module:
    """Return the whole network, without published weights."""
    make = imports.builder(facts.builder)
    without = {"pretrained": False} if facts.builder.startswith("pytorchvideo") else {"weights": None}
    network: nn.Module = make(**without)
    return network.eval()


def check_config(config: BackboneConfig, facts: Facts, recipe: BackboneConfig) -> None:
    """Refuse what a network can't have."""
    if config.options:
        key = next(iter(config.options))
        raise ConfigError(f"backbone.options.{key}: backbone {config.name!r} is a network and has no options")
    fixed = facts.fixed_input
    asked = (config.clip_length, *input_size(config, recipe))
    if fixed is not None and asked != fixed:
        raise ConfigError(
            f"backbone {config.name!r} has learnt positions and takes only backbone.clip_length={fixed[0]} with "
            f"backbone.size=[{fixed[1]},{fixed[2]}], not {asked[0]} with [{asked[1]},{asked[2]}]"
        )


def input_size(config: BackboneConfig, recipe: BackboneConfig) -> tuple[int, int]:
    """Return (H, W) that frames are resized to; the recipe's where frames stay as they are."""
    size = config.size or recipe.size
    assert size is not None
    return size


def check_layers(
    config: BackboneConfig, facts: Facts, recipe: BackboneConfig, network: Architecture, wanted: Sequence[str]
) -> None:
    """Raise ConfigError for a layer that is not there or is no feature map."""
    usable = [layer.name for layer in listed(facts, recipe, network)]
    for layer in wanted:
        if layer not in usable:
            raise ConfigError(
                f"layer {layer!r} of backbone {config.name!r}: {_problem(config, recipe, network, layer)}. "
                f"{_nearest_layers(layer, usable)} All with their shapes: "
                f"python -m vadbench list layers backbone={config.name}"
            )


def _nearest_layers(layer: str, usable: list[str]) -> str:
    """Nearest layers, and the stages in place of hundreds of modules."""
    close = difflib.get_close_matches(layer, usable, n=3, cutoff=0.5)
    hint = f"Did you mean: {', '.join(close)}? " if close else ""
    stages = [name for name in usable if name.count(".") <= 1]
    return f"{hint}Stages: {', '.join(stages)}."


def _problem(config: BackboneConfig, recipe: BackboneConfig, network: Architecture, layer: str) -> str:
    """Return why ``layer`` is unavailable."""
    if layer not in network.modules:
        return "there is no such layer (layers are modules of the network; an operation inside a module is not one)"
    if "base" in network.shapes.get(layer, {}):
        return "it is not a feature map"
    size = input_size(config, recipe)
    clip = f"clips of {config.clip_length} frames of {size[0]}x{size[1]} pixels"
    around = layer.rpartition(".")[0]
    if network.stopped and "base" not in network.shapes.get(around, {}):
        return f"it can't be computed for {clip} ({network.stopped})"
    return "the network does not call this module itself (a list of blocks, or parameters that are used directly)"
