"""Every network at a tiny size: run up to a layer it gives what the whole gives there and computes nothing past it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from tests.backbones import FACTS
from vadbench.backbones import architecture, model_zoo
from vadbench.backbones.architecture import Architecture, first_tensor
from vadbench.backbones.base import Facts
from vadbench.backbones.network import drop_except, read_tensors, run_until
from vadbench.config.schema import BackboneConfig

NETWORKS = [name for name, facts in FACTS.items() if facts.is_network]
SMALL = {"s3d": (16, 32, 48)}
# Channels-last feature maps by hand: which axis of the default layer's output is what, and the class token of MViT.
CHANNELS_LAST = {"swin3d_t", "swin3d_s", "swin3d_b"}
TOKENS = {"mvit_v1_b": (8, 7, 7), "mvit_v2_s": (8, 7, 7)}

pytestmark = pytest.mark.xdist_group("networks")  # each is built once


@dataclass
class Subject:
    """One network, built and run whole once for all tests of it.

    ``called`` are the paths of its torch.nn layers in the order in which the whole network ran them, ``at_default`` is
    what its default layer gave, ``at_end`` what it returned (None if its head can't take so small a clip).
    """

    config: BackboneConfig
    facts: Facts
    network: nn.Module
    recipe: BackboneConfig
    layers: Architecture
    clip: torch.Tensor
    called: list[str]
    at_default: torch.Tensor
    at_end: torch.Tensor | None


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    name = request.param
    facts = FACTS[name]
    t, h, w = facts.fixed_input or SMALL.get(name, (4, 32, 48))
    recipe = model_zoo.load_config(name)
    config = replace(recipe, weights="random", clip_length=t, size=(h, w))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = away_from_the_identity(architecture.bare_network(facts))
        clip = torch.randn(1, 3, t, h, w)
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda m, i, o, path=path: called.append(path))
        for path, module in network.named_modules()
        if type(module).__module__.startswith("torch.nn.") and not list(module.children())
    ]
    seen: list[torch.Tensor] = []
    hooks.append(network.get_submodule(config.layer).register_forward_hook(lambda m, i, o: seen.append(o)))
    layers = architecture.measured(config, facts, recipe)
    with torch.inference_mode():
        if layers.stopped:
            with pytest.raises(RuntimeError):  # the head needs a larger clip, as the meta device found
                network(clip.clone())
            at_end = None
        else:
            at_end = network(clip.clone())
    for hook in hooks:
        hook.remove()
    at_default = first_tensor(seen[0])
    assert at_default is not None
    yield Subject(config, facts, network, recipe, layers, clip, called, at_default, at_end)


def away_from_the_identity(network: nn.Module) -> nn.Module:
    """Parameters under which a layer or an addition that got lost would show."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    for parameter in network.parameters():
        if parameter.dim() <= 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def run(subject: Subject, names: list[str]) -> dict[str, torch.Tensor]:
    return run_until(subject.network, {name: subject.layers.calls[name] for name in names}, subject.clip.clone())


@torch.inference_mode()
def test_up_to_a_layer_it_agrees_with_the_whole_and_computes_nothing_past_the_layer(subject: Subject) -> None:
    default = subject.config.layer
    counted: list[str] = []
    hooks = [
        part.register_forward_hook(lambda m, i, o, path=path: counted.append(path))
        for path, part in subject.network.named_modules()
        if type(part).__module__.startswith("torch.nn.") and not list(part.children())
    ]
    output = run(subject, [default])[default]
    for hook in hooks:
        hook.remove()
    assert torch.equal(output, subject.at_default)
    last = max(i for i, path in enumerate(subject.called) if path == default or path.startswith(default + "."))
    assert counted == subject.called[: last + 1]

    layout = subject.layers.layout(default, subject.facts.tokens)
    assert layout is not None
    if subject.config.name in CHANNELS_LAST:
        by_hand = subject.at_default.permute(0, 4, 1, 2, 3)
    elif subject.config.name in TOKENS:
        t, h, w = TOKENS[subject.config.name]
        by_hand = subject.at_default[:, 1:].transpose(1, 2).reshape(1, -1, t, h, w)
    else:
        by_hand = subject.at_default
    torch.testing.assert_close(layout.maps(output), by_hand, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_all_layers_in_one_pass_have_their_shapes_and_are_what_each_gives_alone(subject: Subject) -> None:
    listed = architecture.listed(subject.facts, subject.recipe, subject.layers)
    assert [layer.name for layer in listed if layer.default] == [subject.config.layer]
    names, n_alone = [layer.name for layer in listed], 8
    assert len(set(names)) == len(names)
    if subject.facts.fixed_input:  # at their full size all layers together take gigabytes
        names = [n for n in names if n.count(".") <= 1 or n.startswith("blocks.14.")]
        n_alone = 1
    shapes = {layer.name: layer.shape for layer in listed}
    outputs = run(subject, names)
    assert sorted(outputs) == sorted(names)
    for name in names:
        layout = subject.layers.layout(name, subject.facts.tokens)
        assert layout is not None
        assert tuple(layout.maps(outputs[name]).shape) == (1, *shapes[name]), name
    # Alone: what is computed after a layer must not have written into it.
    for name in names[len(names) // 2 :: max(1, len(names) // (2 * n_alone))][:n_alone]:
        assert torch.equal(run(subject, [name])[name], outputs[name]), name


@torch.inference_mode()
def test_parameters_that_are_not_read_can_go(subject: Subject) -> None:
    default = subject.config.layer
    t, h, w = subject.clip.shape[2:]
    kept = read_tensors(subject.facts, {default: 1}, (t, h, w))
    past = {n for n, _ in subject.network.named_parameters() if n not in kept}
    assert past
    assert not any(name.startswith(default + ".") for name in past)
    with torch.device("meta"):
        small = architecture.bare_network(subject.facts)
    drop_except(small, kept)
    assert set(small.state_dict()) == kept
    small.load_state_dict(
        {n: v for n, v in subject.network.state_dict().items() if n in kept}, strict=False, assign=True
    )
    for name, buffer in subject.network.named_buffers():  # what a checkpoint does not hold
        if name in kept:
            small.get_submodule(name.rpartition(".")[0])._buffers[name.rpartition(".")[2]] = buffer
    torch.testing.assert_close(
        run_until(small, {default: 1}, subject.clip.clone())[default], subject.at_default, rtol=0, atol=0
    )


def test_facts_agree_with_the_network(subject: Subject) -> None:
    assert sum(p.numel() for p in subject.network.parameters()) == subject.facts.parameters
    assert any(isinstance(m, nn.BatchNorm3d) for m in subject.network.modules()) == subject.facts.batch_norm
