"""The graph of a network: every node by name, its shape, and the network cut after the wanted nodes.

Nodes are named as torchvision's feature extraction names them: the path of the module, then the operation
(``blocks.4.res_blocks.0.branch2.conv_a``, ``layer4.1.add``). A module's own path (``blocks.4``) names its last node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from vadbench.backbones.in_place import MetaRun, without_in_place
from vadbench.backbones.layout import Layout, Shape, axes_layout, token_layout


@dataclass
class NetworkGraph:
    """A traced network without in-place operations.

    Attributes
    ----------
    graph: the nodes; they refer to the network's modules and parameters by path.
    nodes: every node and module path by name, in the order of computation.
    shapes: name to output shape under the probes (see :mod:`vadbench.backbones.layout`), where it could be computed.
    modules: those names that are modules.
    stopped: why nodes after the last one with a shape can't be computed for this input; empty if all can.
    """

    graph: fx.Graph
    nodes: dict[str, fx.Node]
    modules: frozenset[str]
    shapes: dict[str, dict[str, Shape]] = field(default_factory=dict)
    stopped: str = ""

    def layout(self, name: str, tokens: bool) -> Layout | None:
        """How the output of ``name`` becomes a feature map; None if it is none."""
        probes = self.shapes.get(name)
        if not probes or "base" not in probes:
            return None
        if tokens:
            return token_layout(probes, self._grids()) if "N" in probes else None
        if len(probes) < 5 or len({len(shape) for shape in probes.values()}) > 1:
            return None
        return axes_layout(probes)

    def _grids(self) -> list[tuple[int, int, int]]:
        """(t, h, w) of the patch embedding and of every pooling of tokens, which are convolutions over the grid."""
        shapes = [p["base"] for name, p in self.shapes.items() if name in self.modules and len(p.get("base", ())) == 5]
        return list(dict.fromkeys((t, h, w) for _, _, t, h, w in shapes))


def trace(network: nn.Module, clip: tuple[int, int, int]) -> NetworkGraph:
    """The graph of ``network`` in inference mode; the network must be on the meta device, where nothing is computed.

    ``clip`` is (T, H, W) of a clip that it will be used for.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    tracer = NodePathTracer()
    graph = tracer.trace(network.eval())
    paths: dict[fx.Node, str] = dict(tracer.node_to_qualname)
    without_in_place(graph, network, torch.empty(2, 3, *clip, device="meta"))
    last: dict[str, int] = {}
    ordered = [node for node in graph.nodes if node in paths and node.op not in ("placeholder", "output")]
    for number, node in enumerate(ordered):
        parts = paths[node].split(".")
        for depth in range(1, len(parts) + 1):
            last[".".join(parts[:depth])] = number
    names = sorted(last, key=lambda name: (last[name], -name.count(".")))
    modules = {name for name, _ in network.named_modules()}
    return NetworkGraph(graph, {name: ordered[last[name]] for name in names}, frozenset(modules & set(names)))


def measure(traced: NetworkGraph, network: nn.Module, clip: tuple[int, int, int], tokens: bool) -> None:
    """Fill in the shapes of all nodes for a clip of (T, H, W), on the meta device, where nothing is computed."""
    t, h, w = clip
    inputs = {"base": (2, t, h, w), "N": (3, t, h, w)}
    if not tokens:
        inputs |= {"T": (2, 2 * t, h, w), "H": (2, t, 2 * h, w), "W": (2, t, h, 2 * w)}
    module = fx.GraphModule(network, traced.graph)
    for probe, (n, frames, height, width) in inputs.items():
        recorder = _Shapes(module)
        try:
            recorder.run(torch.empty(n, 3, frames, height, width, device="meta"))
        except Exception as error:
            # A head with a fixed pooling window can't take every size; what comes before it has its shape.
            if probe == "base":
                traced.stopped = str(error).strip().partition("\n")[0]
        for name, node in traced.nodes.items():
            if node in recorder.shapes:
                traced.shapes.setdefault(name, {})[probe] = recorder.shapes[node]


def cut(traced: NetworkGraph, network: nn.Module, wanted: Sequence[str]) -> fx.GraphModule:
    """``network`` cut after the ``wanted`` nodes: clips in, dict of their outputs out; nothing past them is kept."""
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    needed = _ancestors([traced.nodes[name] for name in wanted])
    for node in traced.graph.nodes:
        if node in needed or node.op == "placeholder":
            copied[node] = graph.node_copy(node, lambda n: copied[n])
    graph.output({name: copied[traced.nodes[name]] for name in wanted})
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    # GraphModule takes over only the modules and parameters that the graph refers to.
    return fx.GraphModule(network, graph).eval()


def _ancestors(nodes: Sequence[fx.Node]) -> set[fx.Node]:
    """``nodes`` and everything that they are computed from."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


class _Shapes(MetaRun):
    """Runs a graph and keeps the shape of every tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The node's value."""
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n] = tuple(value.shape)
        return value
