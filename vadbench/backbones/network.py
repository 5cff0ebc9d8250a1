"""Backbone that is a network: frozen, run up to its last wanted layer, its outputs brought to feature maps.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones import architecture, imports
from vadbench.backbones.base import Facts
from vadbench.backbones.engines import choice
from vadbench.backbones.engines.eager import Eager, run_until
from vadbench.backbones.imports import images_at_once, torch_device
from vadbench.backbones.weights import RANDOM_RECIPE, Weights, find, fitted, read
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

_STATISTICS = ("running_mean", "running_var")
_MEAN = ".running_mean"


class Network:
    """A frozen network that follows :class:`vadbench.backbones.base.Backbone`.

    Checked at once: layers (other than the default), weights, device, engine. Built at the first clip.

    Attributes
    ----------
    engine: what ran the last clips, such as "eager" or "openvino 2026.4.1"; None before there were any.
    remarks: why it is not the engine that ``auto`` chose.
    """

    def __init__(
        self,
        config: BackboneConfig,
        facts: Facts,
        recipe: BackboneConfig,
        layers: tuple[str, ...],
        seed: int,
        device: str,
    ) -> None:
        architecture.check_config(config, facts, recipe)
        self.config = config
        self.facts = facts
        self.recipe = recipe
        self.layers = layers
        self.seed = seed
        self.weights: Weights = find(config.name, facts, config.weights, seed)
        self.device = device
        self.engine: str | None = None
        self.remarks: list[str] = []
        self._training_clips = 0
        self._engines: dict[tuple[int, ...], choice.Engine] = {}  # (T, H, W) of clips to what runs them
        self._module: nn.Module | None = None
        # The recipe's own layer and clip are known to work; not asking saves measuring the network.
        asked = (layers, config.clip_length, config.size)
        if asked != ((recipe.layer,), recipe.clip_length, recipe.size):
            self._check_layers()
        if device not in ("auto", "cpu"):  # these are on every machine, and importing torch takes seconds
            torch_device(device)
        if config.engine == "openvino":
            choice.check_openvino("cpu" if device == "cpu" else torch_device(device).type)

    def with_layers(self, layers: Sequence[str]) -> Network:
        """Return the same network with the same weights and other layers, not built yet."""
        return Network(self.config, self.facts, self.recipe, tuple(layers), self.seed, self.device)

    def expect(self, training_clips: int) -> None:
        """Be told how many training clips there are: ``engine=auto`` converts a network only where that pays."""
        self._training_clips = training_clips

    def takes(self, engine: str) -> bool:
        """Return whether features that ``engine`` made may stand for this network's."""
        return choice.takes(self.config.engine, engine)

    @property
    def needs_calibration(self) -> bool:
        """Random weights of networks with batch norm need statistics from training clips."""
        return self.weights.random and self.facts.batch_norm

    def spec(self, layer: str) -> dict[str, Any]:
        """Everything that the features depend on."""
        return {
            "backbone": self.config.name,
            "version": self.facts.result_version,
            "layer": layer,
            "weights": {
                "digest": self.weights.digest,
                "seed": self.weights.seed,
                "recipe": RANDOM_RECIPE if self.weights.random else None,
            },
            "precision": self.config.precision,
            "libraries": imports.versions(self.facts.builder),
        }

    def weights_digest(self) -> str:
        """SHA-256 of the weights' file, or of the recipe of random weights."""
        return self.weights.digest

    def per_frame(self, frame: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        """Return the normalised frame itself, ``float32 (H, W, 3)``."""
        if frame.dtype != np.float32 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ConfigError(
                f"backbone {self.config.name!r} takes normalised frames, float32 (H, W, 3), and was given "
                f"{frame.dtype} {frame.shape}: set backbone.mean and backbone.std, or let your pre-processor return "
                "floats"
            )
        return frame

    def calibrate(self, clips: Iterable[np.ndarray]) -> None:
        """Set batch-norm statistics from clips ``(T, H, W, 3)``, one at a time, in the order given.

        The statistics of a layer are the mean over the clips of the mean and the unbiased variance that its input has
        in one clip, the layers before it normalising by the statistics of that same clip (cumulative average,
        ``momentum=None``). One pass, independent of batch size; it is not the pooled variance of all clips at once.
        """
        module = self._network()
        self._engines.clear()
        norms = list(self._norms().values())
        eager = Eager(module, self._calibrated_calls(), self.config.precision)
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        n_clips = 0
        try:
            for clip in clips:
                eager(self._input(clip[None]))
                n_clips += 1
        finally:
            for norm in norms:
                norm.eval()
        if norms and not n_clips:
            raise ConfigError("random weights need at least one training clip to set their batch-norm statistics")
        log.info("batch-norm statistics of %d layers set from %d clips", len(norms), n_clips)

    def statistics(self) -> dict[str, np.ndarray]:
        """Return the batch-norm statistics that the network has: ``float32 (C,)`` arrays by name."""
        return {
            f"{name}.{buffer}": getattr(norm, buffer).cpu().numpy().copy()
            for name, norm in self._norms().items()
            for buffer in _STATISTICS
        }

    def take_statistics(self, found: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`statistics` returned; the same bits as after the calibration itself."""
        import torch

        self._engines.clear()
        for name, norm in self._norms().items():
            for buffer in _STATISTICS:
                getattr(norm, buffer).copy_(torch.from_numpy(np.array(found[f"{name}.{buffer}"])))

    def statistics_spec(self) -> dict[str, Any]:
        """Return what the statistics depend on beside the clips.

        They reach to the default layer, or to a deeper one that is wanted, so that layers share them.
        """
        common = {key: value for key, value in self.spec(self.recipe.layer).items() if key != "layer"}
        norms = sorted(name.removesuffix(_MEAN) for name in self._read_tensors() if name.endswith(_MEAN))
        return {**common, "norms": norms}

    def _norms(self) -> dict[str, Any]:
        """Batch-norm layers whose statistics are read, by name."""
        import torch

        modules = self._network().named_modules()
        found = {name: module for name, module in modules if isinstance(module, torch.nn.BatchNorm3d)}
        return {name: norm for name, norm in found.items() if norm.running_mean is not None}

    @property
    def batch_size(self) -> int:
        """Clips at once, by the device alone."""
        return images_at_once(self.device)

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of ``layers``: layer to ``float32 (N, C, t, h, w)`` from ``float32 (N, T, H, W, 3)``."""
        x = self._input(clips)
        engine = self._engine(x)
        outputs = engine(x)
        self.engine = engine.mark
        network = self._architecture()
        maps = {}
        for layer in self.layers:
            output, layout = outputs[layer], network.layout(layer, self.facts.tokens)
            assert layout is not None
            maps[layer] = np.ascontiguousarray(layout.maps(output).float().cpu().numpy())
        return maps

    def _input(self, clips: np.ndarray) -> torch.Tensor:
        """Clips ``(N, T, H, W, 3)`` as the network takes them, ``(N, 3, T, H, W)`` on its device."""
        import torch

        fixed = self.facts.fixed_input
        if fixed is not None and clips.shape[1:4] != fixed:
            raise ConfigError(
                f"backbone {self.config.name!r} takes clips of {fixed[0]} frames of {fixed[1]}x{fixed[2]} pixels only "
                f"and was given {clips.shape[1]} of {clips.shape[2]}x{clips.shape[3]}"
            )
        x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).to(torch_device(self.device))
        return x.contiguous(memory_format=self._memory_format())

    def _eager(self, module: nn.Module) -> Eager:
        return Eager(module, self._calls(), self.config.precision)

    def _engine(self, clips: torch.Tensor) -> choice.Engine:
        """Return what runs clips of this size: chosen and made ready at the first of them."""
        shape = tuple(clips.shape[2:])
        if shape not in self._engines:
            eager, asked = self._eager(self._network()), self.config.engine
            chosen = asked if asked != "auto" else choice.fastest(clips.device.type, lambda: self._work(shape))
            what = f"{self.config.name} up to {', '.join(self.layers)} on clips of {'x'.join(map(str, shape))}"
            self._engines[shape], remark = choice.ready(asked, chosen, eager, (clips[:1],), what)
            self.remarks += [remark] if remark else []
            log.info("backbone.engine=%s: %s runs %s", asked, self._engines[shape].mark, what)
        return self._engines[shape]

    def _work(self, clip: tuple[int, ...]) -> int:
        """Multiply-adds of all training clips that a conversion would speed up."""
        if self.facts.tokens or not self._training_clips:  # OpenVINO runs MViT slower than eager does
            return 0
        return multiply_adds(self.facts, self._calls(), clip) * self._training_clips

    def _architecture(self) -> architecture.Architecture:
        return architecture.measured(self.config, self.facts, self.recipe)

    def _calls(self) -> dict[str, int]:
        """Return how often the network calls each of the layers."""
        calls = self._architecture().calls
        return {layer: calls[layer] for layer in self.layers}

    def _calibrated_calls(self) -> dict[str, int]:
        """Return the same for the layers up to which statistics are set: the default layer is one of them."""
        calls = self._architecture().calls
        layers = dict.fromkeys((*self.layers, self.recipe.layer)) if self.needs_calibration else self.layers
        return {layer: calls[layer] for layer in layers if layer in calls}

    def _check_layers(self) -> None:
        architecture.check_layers(self.config, self.facts, self.recipe, self._architecture(), self.layers)

    def _network(self) -> nn.Module:
        """Return the network with its weights, as far as they are read, on its device."""
        if self._module is None:
            self._check_layers()
            module = self._random() if self.weights.random else self._trained()
            module.requires_grad_(False)
            self._module = module.to(memory_format=self._memory_format()).to(torch_device(self.device))
        return self._module

    def _memory_format(self) -> torch.memory_format:
        """Channels last, but for 32-bit floats on a CPU: there plain order is as fast for X3D and R3D and 1.5 times as
        fast for ResNet-50."""
        import torch

        plain = torch_device(self.device).type == "cpu" and self.config.precision == "float32"
        return torch.contiguous_format if plain else torch.channels_last_3d

    def _random(self) -> nn.Module:
        """Untrained, from the seed; the global random state is left as it was."""
        import torch

        assert self.weights.seed is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            network = architecture.bare_network(self.facts)
        drop_except(network, self._read_tensors())
        return network

    def _trained(self) -> nn.Module:
        """With the weights of a file."""
        import torch

        with torch.device("meta"):
            network = architecture.bare_network(self.facts)
        known = network.state_dict()
        drop_except(network, self._read_tensors())
        tensors = fitted(read(self.weights), network.state_dict(), known, str(self.weights.file))
        floats = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        network.load_state_dict(floats, strict=False, assign=True)
        for name, buffer in network.named_buffers():
            if buffer.is_meta and name.endswith("num_batches_tracked"):
                network.get_submodule(name.rpartition(".")[0]).num_batches_tracked = torch.zeros((), dtype=torch.long)
        return network

    def _read_tensors(self) -> frozenset[str]:
        size = architecture.input_size(self.config, self.recipe)
        return read_tensors(self.facts, self._calibrated_calls(), (self.config.clip_length, *size))


def read_tensors(facts: Facts, calls: Mapping[str, int], clip: tuple[int, int, int]) -> frozenset[str]:
    """Return names of the parameters and buffers that a pass up to the last layer of ``calls`` reads.

    The network runs on the meta device, where nothing is computed, with a clip of (T, H, W).
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    seen: set[int] = set()

    class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.update(id(value) for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor))
            return func(*args, **(kwargs or {}))

    with torch.device("meta"):
        network = architecture.bare_network(facts)
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    with torch.no_grad():
        clips = torch.empty(1, 3, *clip, device="meta")
        with Reads():  # type: ignore[no-untyped-call]
            run_until(network, calls, clips)
    names = {name for name, tensor in named if id(tensor) in seen}
    # Batch norm counts its batches while statistics are set, and reads no count afterwards.
    means = [name for name in names if name.endswith("running_mean")]
    counts = {name.removesuffix("running_mean") + "num_batches_tracked" for name in means}
    return frozenset(names | counts)


def multiply_adds(facts: Facts, calls: Mapping[str, int], clip: Sequence[int]) -> int:
    """Return the multiply-adds of convolutions and matrix products up to the last layer of ``calls`` for one clip
    (T, H, W); counted on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = architecture.bare_network(facts)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run_until(network, calls, torch.empty(1, 3, *clip, device="meta"))
    operations: int = counter.get_total_flops()
    return operations // 2


def drop_except(network: nn.Module, kept: frozenset[str]) -> None:
    """Remove all parameters and buffers but ``kept``: the rest of the network is never run and takes no memory."""
    for path, module in network.named_modules():
        for tensors in (module._parameters, module._buffers):
            for name in tensors:
                if f"{path}.{name}".removeprefix(".") not in kept:
                    tensors[name] = None
