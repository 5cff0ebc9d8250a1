"""PyTorch as it is: the reference that every other engine must agree with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vadbench.backbones import architecture

if TYPE_CHECKING:
    import torch
    from torch import nn


class Eager:
    """Runs a module up to its last wanted layer, operation by operation.

    Parameters
    ----------
    module: the network with its weights, on its device.
    calls: layer to how often the network calls it.
    precision: float32 or bfloat16.

    Attributes
    ----------
    names: of the outputs. rows: how many clips other engines run at once.
    """

    mark = "eager"
    rows = 1

    def __init__(self, module: nn.Module, calls: Mapping[str, int], precision: str) -> None:
        self.module = module
        self.calls = calls
        self.names = tuple(calls)
        self.precision = precision

    def __call__(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output, as the network gives it, of clips ``(N, 3, T, H, W)``."""
        import torch

        low = self.precision == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=low),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            return self.run(*inputs)

    def run(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs under whatever modes of torch are on, in the order of ``names``."""
        (clips,) = inputs
        found = run_until(self.module, self.calls, clips)
        return {layer: found[layer] for layer in self.calls}

    def exact(self) -> Eager:
        """Return the same in 32-bit floats."""
        return Eager(self.module, self.calls, "float32")

    def identity(self) -> list[Any]:
        """Return what it computes, beside the module and its weights, in a form that JSON can hold."""
        return list(self.calls.items())


class _AllFound(Exception):
    """Ends a pass through a network once its last wanted layer has returned."""


def run_until(network: nn.Module, calls: Mapping[str, int], clips: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the outputs of the layers that ``calls`` names; nothing after the last of them is computed.

    ``calls`` is how often the network calls each; its output is that of the last call.
    """
    found: dict[str, torch.Tensor] = {}
    left = dict(calls)

    def keep(layer: str, output: Any) -> None:
        value = architecture.first_tensor(output)
        assert value is not None
        left[layer] -= 1
        if any(left.values()):
            # Operations in place that come later must not change it.
            found.update({} if left[layer] else {layer: value.clone()})
            return
        found[layer] = value
        raise _AllFound

    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, output, layer=layer: keep(layer, output))
        for layer in calls
    ]
    try:
        network(clips)
    except _AllFound:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found
