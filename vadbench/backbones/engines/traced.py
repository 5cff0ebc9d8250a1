"""The operations of a network up to its last wanted layer, as one graph for clips of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vadbench.backbones.engines.eager import Eager

if TYPE_CHECKING:
    import torch

BOUND = {"float32": 1e-5, "bfloat16": 0.3}
"""Largest distance from eager, as a share of the norm of a layer's output. In bfloat16 rounding alone moves deep
layers by up to 0.16; a larger distance means that something else was computed."""


def traced(eager: Eager, *inputs: torch.Tensor) -> torch.fx.GraphModule:
    """Return what ``eager`` computes as a graph: of a clip ``(1, 3, T, H, W)``, the output of each of its layers.

    Shapes are constants of the graph. Nothing is computed and no activation is stored.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    def outputs(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=eager.precision == "bfloat16"):
            return tuple(run(*given).values())

    run = eager.run
    with torch.no_grad():
        graph = make_fx(outputs, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def in_blocks(
    run: Callable[[list[torch.Tensor]], list[torch.Tensor]], rows: int, inputs: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Return what ``run`` makes of inputs ``(N, ...)``, given to it ``rows`` at a time, the last filled up with zeros.

    So each row of the outputs depends on no other row, and ``run`` sees one shape only.
    """
    import torch

    parts = []
    for start in range(0, len(inputs[0]), rows):
        block = [x[start : start + rows] for x in inputs]
        missing = rows - len(block[0])
        if missing:
            block = [torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) for x in block]
        parts.append([output[: rows - missing] for output in run(block)])
    return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]


def distance(outputs: Mapping[str, torch.Tensor], reference: Mapping[str, torch.Tensor]) -> float:
    """Return the largest distance of a layer's output from its reference, as a share of the reference's norm."""
    shares = []
    for layer, expected in reference.items():
        wanted = expected.double()
        shares.append(float((outputs[layer].double() - wanted).norm() / wanted.norm().clamp_min(1e-30)))
    return max(shares)
