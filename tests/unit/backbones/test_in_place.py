"""In-place operations of every kind, in a small network that would go wrong if one were lost or came too early."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from vadbench.backbones.in_place import without_in_place


def opaque(x: torch.Tensor, y: torch.Tensor) -> None:
    """Changes its first argument and returns nothing, as torchvision's _add_shortcut does."""
    x.mul_(2)
    x.add_(y)


fx.wrap("opaque")


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = x * 2
        a.add_(1)  # the returned value is not used
        b = a - 3
        b += a
        c = b * 1.5
        d = self.relu(c)
        e = c + d  # c has been changed by then
        f = e * 1
        f[:, 1:].mul_(10)  # a slice of f
        opaque(f, d)
        g = torch.nn.functional.relu(f - 60, inplace=True)
        return g + f


def traced(network: nn.Module, clip: torch.Tensor) -> fx.Graph:
    class Tracer(fx.Tracer):
        pass

    graph = Tracer().trace(network)
    without_in_place(graph, network, clip.to("meta"))
    return graph


def test_the_network_without_in_place_operations_gives_the_same() -> None:
    network, x = InPlace(), torch.linspace(-5, 5, 12).reshape(3, 4)
    expected = network(x.clone())
    graph = traced(network, x)
    network.relu.inplace = False
    given = x.clone()
    torch.testing.assert_close(fx.GraphModule(network, graph)(given), expected)
    assert torch.equal(given, x)


def test_no_value_changes_after_it_was_computed() -> None:
    network, x = InPlace(), torch.linspace(-5, 5, 12).reshape(3, 4)
    graph = traced(network, x)
    network.relu.inplace = False
    first: dict[str, torch.Tensor] = {}

    class Keep(fx.Interpreter):
        kept: dict[str, torch.Tensor] = {}  # noqa: RUF012

        def run_node(self, n: fx.Node) -> object:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                first[n.name] = value.clone()
                self.kept[n.name] = value
            return value

    run = Keep(fx.GraphModule(network, graph))
    run.run(x)
    assert len(first) > 12
    for name, value in run.kept.items():
        assert torch.equal(value, first[name]), name


def test_dead_code_is_all_that_dead_code_elimination_finds() -> None:
    network, x = InPlace(), torch.linspace(-5, 5, 12).reshape(3, 4)
    expected = network(x.clone())
    graph = traced(network, x)
    network.relu.inplace = False
    graph.eliminate_dead_code()
    torch.testing.assert_close(fx.GraphModule(network, graph)(x.clone()), expected)


def test_what_can_not_be_made_pure_is_refused() -> None:
    class OfASplit(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = (x * 1).split(2, dim=1)[0]
            a.add_(1)
            return a

    with pytest.raises(NotImplementedError, match="no slice"):
        traced(OfASplit(), torch.zeros(3, 4))
