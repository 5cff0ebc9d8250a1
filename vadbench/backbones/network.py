"""Backbone that is a network: cut after its last wanted layer, frozen, its outputs brought to feature maps.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones import architecture, imports
from vadbench.backbones.publishers import Facts
from vadbench.backbones.weights import RANDOM_RECIPE, Weights, find
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch
    from torch import fx

    from vadbench.backbones.graph import NetworkGraph

log = logging.getLogger(__name__)


class Network:
    """A frozen network that follows :class:`vadbench.backbones.base.Backbone`.

    Checked at once: layers (other than the default), weights, device. Built at the first clip.
    """

    def __init__(self, config: BackboneConfig, facts: Facts, layers: tuple[str, ...], seed: int, device: str) -> None:
        architecture.check_config(config, facts)
        self.config = config
        self.facts = facts
        self.layers = layers
        self.weights: Weights = find(config.name, facts, config.weights, seed)
        self.device = device
        self._module: fx.GraphModule | None = None
        # The recipe's own layer and clip are known to work; not asking saves importing torch where features are cached.
        if not architecture.is_recipe(config, layers) or device.startswith("cuda"):
            architecture.check_layers(config, facts, self._graph(), layers)
            torch_device(device)

    @property
    def needs_calibration(self) -> bool:
        """Random weights of networks with batch norm need statistics from training clips."""
        return self.weights.random and self.facts.batch_norm

    def spec(self, layer: str) -> dict[str, Any]:
        """Everything that the features depend on."""
        return {
            "backbone": self.config.name,
            "version": 1,
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
        """The normalised frame itself, ``float32 (H, W, 3)``."""
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
        import torch

        module = self._network()
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm3d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        n_clips = 0
        try:
            for clip in clips:
                self._forward(module, clip[None])
                n_clips += 1
        finally:
            for norm in norms:
                norm.eval()
        if norms and not n_clips:
            raise ConfigError("random weights need at least one training clip to set their batch-norm statistics")
        log.info("batch-norm statistics of %d layers set from %d clips", len(norms), n_clips)

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of ``layers``: layer to ``float32 (N, C, t, h, w)`` from ``float32 (N, T, H, W, 3)``."""
        outputs = self._forward(self._network(), clips)
        traced = self._graph()
        maps = {}
        for layer, output in outputs.items():
            layout = traced.layout(layer, self.facts.tokens)
            assert layout is not None
            maps[layer] = np.ascontiguousarray(layout.maps(output).float().cpu().numpy())
        return maps

    def _forward(self, module: fx.GraphModule, clips: np.ndarray) -> dict[str, torch.Tensor]:
        """Outputs of the cut network as it gives them."""
        import torch

        device = torch_device(self.device)
        fixed = self.facts.fixed_input
        if fixed is not None and clips.shape[1:4] != fixed:
            raise ConfigError(
                f"backbone {self.config.name!r} takes clips of {fixed[0]} frames of {fixed[1]}x{fixed[2]} pixels only "
                f"and was given {clips.shape[1]} of {clips.shape[2]}x{clips.shape[3]}"
            )
        low = self.config.precision == "bfloat16"
        x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).to(device).contiguous(memory_format=self._memory_format())
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=low),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            outputs: dict[str, torch.Tensor] = module(x)
        return outputs

    def _graph(self) -> NetworkGraph:
        return architecture.traced_graph(self.config, self.facts)

    def _network(self) -> fx.GraphModule:
        """The cut network with its weights, on its device."""
        if self._module is None:
            architecture.check_layers(self.config, self.facts, self._graph(), self.layers)
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

    def _random(self) -> fx.GraphModule:
        """Untrained, from the seed; the global random state is left as it was."""
        import torch

        from vadbench.backbones.graph import cut

        assert self.weights.seed is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            network = architecture.bare_network(self.facts)
        return cut(self._graph(), network, self.layers)

    def _trained(self) -> fx.GraphModule:
        """With the weights of a file."""
        import torch

        from vadbench.backbones.checkpoint import fitted, read
        from vadbench.backbones.graph import cut

        with torch.device("meta"):
            network = architecture.bare_network(self.facts)
        known = network.state_dict()
        module = cut(self._graph(), network, self.layers)
        tensors = fitted(read(self.weights), module.state_dict(), known, str(self.weights.file))
        floats = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        module.load_state_dict(floats, strict=False, assign=True)
        for name, buffer in module.named_buffers():
            if buffer.is_meta and name.endswith("num_batches_tracked"):
                module.get_submodule(name.rpartition(".")[0]).num_batches_tracked = torch.zeros((), dtype=torch.long)
        return module


def torch_device(name: str) -> torch.device:
    """The torch device; ConfigError where it is not there."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"runtime.device={name}: no such device. {nearest(name, ['auto', 'cpu', 'cuda'])}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"runtime.device={name}: torch can use {torch.cuda.device_count()} GPUs on this machine; try "
            "runtime.device=cpu"
        )
    return device
