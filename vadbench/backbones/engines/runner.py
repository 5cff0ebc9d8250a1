"""Parts of a network, such as its encoder, run by an engine, while the rest of it stays in PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from vadbench.backbones.engines import choice
from vadbench.backbones.engines.eager import Eager

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)


class Runner:
    """What runs the parts of some networks, by one setting.

    Parameters
    ----------
    engine: auto, eager, openvino or compile. precision: float32 or bfloat16. device: of the networks.
    key: of the configuration, where ``engine`` is from.

    Attributes
    ----------
    marks: the engines that ran something so far. remarks: why they are not those that ``auto`` chose.
    """

    def __init__(
        self, engine: str = "auto", precision: str = "float32", device: str = "cpu", key: str = "model.engine"
    ) -> None:
        if engine == "openvino":
            choice.check_openvino(device.partition(":")[0], key)
        self.asked = engine
        self.precision = precision
        self.key = key
        self.marks: set[str] = set()
        self.remarks: list[str] = []
        self.frames = 0

    def expect(self, training_frames: int) -> None:
        """Be told how many training frames there are: ``auto`` converts a part only where that pays."""
        self.frames = training_frames

    def spec(self) -> dict[str, Any]:
        """Return what outputs depend on: the precision where it is not float32, never the engine."""
        return {} if self.precision == "float32" else {"precision": self.precision}

    def take(self, network: nn.Module, what: str, parts: Mapping[str, int]) -> None:
        """Run the modules of ``network`` that ``parts`` names from now on.

        All their inputs are tensors, or lists and mappings of tensors, whose first dimension is that of independent
        rows (frames, regions); so are their outputs. ``parts``: path of the module to how many rows run at once.
        ``what``: such as "regions (fcos_resnet50_fpn)".
        """
        for path, rows in parts.items():
            module = network.get_submodule(path)
            module.forward = _Part(self, module, f"{path} of {what}", rows)


class _EagerPart(Eager):
    """A module on flat tensors: ``rebuild`` makes its arguments of them, ``flatten`` tensors of what it returns."""

    def __init__(
        self, part: _Part, names: tuple[str, ...], rebuild: Callable[[Sequence[torch.Tensor]], Any], precision: str
    ) -> None:
        self.part = part
        self.module = part.module
        self.names = names
        self.rebuild = rebuild
        self.precision = precision
        self.rows = part.rows

    def run(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        from torch.utils._pytree import tree_leaves

        return dict(zip(self.names, tree_leaves(self.part.forward(*self.rebuild(inputs))), strict=True))

    def exact(self) -> Eager:
        return _EagerPart(self.part, self.names, self.rebuild, "float32")

    def identity(self) -> list[Any]:
        return [self.part.what]


class _Part:
    """Stands for the ``forward`` of a module: an engine for each shape of its inputs."""

    def __init__(self, runner: Runner, module: nn.Module, what: str, rows: int) -> None:
        self.runner = runner
        self.module = module
        self.forward = module.forward
        self.what = what
        self.rows = rows
        # Structure and shapes of inputs to what runs them and what it returns; None: the module as it is.
        self._ready: dict[Any, tuple[choice.Engine, Any] | None] = {}

    def __call__(self, *given: Any) -> Any:
        from torch.utils._pytree import tree_flatten, tree_unflatten

        inputs, structure = tree_flatten(given)
        if not len(inputs[0]):
            return self.forward(*given)
        key = (structure, *(tuple(x.shape[1:]) for x in inputs))
        if key not in self._ready:
            self._ready[key] = self._choose(inputs, structure)
        chosen = self._ready[key]
        self.runner.marks.add(Eager.mark if chosen is None else chosen[0].mark)
        if chosen is None:
            return self.forward(*given)
        engine, returned = chosen
        return tree_unflatten([output.float() for output in engine(*inputs).values()], returned)

    def _choose(self, inputs: Sequence[torch.Tensor], structure: Any) -> tuple[choice.Engine, Any] | None:
        """Return what runs inputs like these, and the structure of what the module returns."""
        import torch
        from torch.utils._pytree import tree_unflatten

        runner = self.runner
        with torch.inference_mode(False):  # what it makes can't be traced
            example = [_rows(x, self.rows) for x in inputs]
            measured = cache(lambda: _returned(self.forward, tree_unflatten(example, structure)))
            asked = chosen = runner.asked
            if asked == "auto":
                work = (lambda: measured()[1] * runner.frames) if runner.frames else (lambda: 0)
                chosen = choice.fastest(example[0].device.type, work)
            if chosen == "eager" and runner.precision == "float32":
                return None
            returned = measured()[0]
            names = tuple(str(i) for i in range(returned.num_leaves))
            eager = _EagerPart(self, names, lambda flat: tree_unflatten(list(flat), structure), runner.precision)
            engine, remark = choice.ready(asked, chosen, eager, example, self.what, runner.key)
        runner.remarks += [remark] if remark else []
        log.info("%s=%s: %s runs %s", runner.key, asked, engine.mark, self.what)
        return None if engine is eager and runner.precision == "float32" else (engine, returned)


def _rows(x: torch.Tensor, rows: int) -> torch.Tensor:
    """Return so many rows of ``x``, its own over and over."""
    import torch

    return x[torch.arange(rows, device=x.device) % len(x)].clone()


def _returned(forward: Callable[..., Any], given: Any) -> tuple[Any, int]:
    """Return the structure of what a module returns and its multiply-adds; nothing is computed."""
    import torch
    from torch._subclasses import FakeTensorMode
    from torch.utils._pytree import tree_map, tree_structure
    from torch.utils.flop_counter import FlopCounterMode

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it is not counted
    try:
        with torch.no_grad(), fake, FlopCounterMode(display=False) as counter:
            outputs = forward(*tree_map(fake.from_tensor, given))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return tree_structure(outputs), counter.get_total_flops() // 2
