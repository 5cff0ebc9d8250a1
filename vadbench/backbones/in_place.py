"""A traced network made free of in-place operations, so that any of its outputs can be taken and the rest left out.

Otherwise a wanted output could be overwritten by what is computed after it, and an operation that only changes its
input would be lost in the cut, because nobody uses what it returns. (torchvision 0.29.2's own feature extractor loses
MViT's residual pooling and v1's position embedding that way.)

Which operations change their input is not guessed from names: the graph is run once on the meta device, where tensors
count their changes.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

_PURE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class MetaRun(fx.Interpreter):
    """Runs a graph node by node with lists that may be changed, as generated code passes them."""

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a node."""
        args, kwargs = super().fetch_args_kwargs_from_env(n)
        return tuple(_plain(a) for a in args), {k: _plain(v) for k, v in kwargs.items()}


def without_in_place(graph: fx.Graph, network: nn.Module, clip: torch.Tensor) -> None:
    """Make every operation in ``graph`` return its result and leave its input alone.

    What used the changed input afterwards uses the result in its place; where the input was a slice of something, what
    used that afterwards gets a copy with the slice replaced. Modules still work in place until ``module.inplace`` is
    set to False.

    Parameters
    ----------
    graph: of ``network``, changed here.
    network: on the meta device.
    clip: an input on the meta device.
    """
    for node in _changers(graph, network, clip):
        changed, result = node.args[0], node
        assert isinstance(changed, fx.Node)
        _make_pure(node, network)
        _use_from_here(graph, changed, result)
        while changed.op == "call_function" and changed.target is operator.getitem:
            whole, index = changed.args
            assert isinstance(whole, fx.Node)
            if not isinstance(index, tuple):
                raise NotImplementedError(f"{node} changes {changed}, which is a part of {whole} but no slice")
            with graph.inserting_after(result):
                result = graph.call_function(with_slice, (whole, index, result))
            _use_from_here(graph, whole, result)
            changed = whole


def with_slice(whole: torch.Tensor, index: tuple[Any, ...], part: torch.Tensor) -> torch.Tensor:
    """A copy of ``whole`` with ``part`` at ``index``."""
    changed = whole.clone()
    changed[index] = part
    return changed


def _changers(graph: fx.Graph, network: nn.Module, clip: torch.Tensor) -> list[fx.Node]:
    """Nodes that change their first argument, in order, as far as the clip gets through the network."""
    watch = _Watch(fx.GraphModule(network, graph))
    try:
        with torch.no_grad():
            watch.run(clip)
    except Exception:
        # A head with a fixed pooling window can't take every size; nodes from there on can't be used at all.
        return watch.changers
    return watch.changers


class _Watch(MetaRun):
    """Notes which nodes change their first argument."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.changers: list[fx.Node] = []

    def run_node(self, n: fx.Node) -> Any:
        """The node's value."""
        before = {node: value._version for node in n.all_input_nodes if _is_tensor(value := self.env[node])}
        value = super().run_node(n)
        changed = [node for node, version in before.items() if self.env[node]._version != version]
        if changed:
            if n.args[0] not in changed:
                raise NotImplementedError(f"{n} changes {changed}, which is not its first argument")
            self.changers.append(n)
        return value


def _make_pure(node: fx.Node, network: nn.Module) -> None:
    """Turn ``node`` into the operation that returns what it wrote."""
    name = str(node.target)
    if node.op == "call_module" and getattr(network.get_submodule(name), "inplace", False):
        return
    if node.op == "call_function" and node.target in _PURE:
        node.target = _PURE[node.target]
    elif node.op == "call_function" and node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    elif node.op == "call_function" and callable(node.target):
        node.target = _on_a_copy(node.target)
    elif node.op == "call_method" and name.endswith("_") and not name.endswith("__"):
        node.target = name[:-1]
    else:
        raise NotImplementedError(f"{node} changes its input in a way that has no pure form here")


def _on_a_copy(function: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """``function`` on a copy of its first argument, which it returns."""

    @functools.wraps(function)
    def pure(first: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        copy = first.clone()
        function(copy, *rest, **named)
        return copy

    return pure


def _use_from_here(graph: fx.Graph, old: fx.Node, new: fx.Node) -> None:
    """Let what is computed after ``new`` use it in place of ``old``."""
    later = False
    for node in graph.nodes:
        if later:
            node.replace_input_with(old, new)
        later = later or node is new


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else value
