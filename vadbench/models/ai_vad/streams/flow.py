"""Optical flow between two frames, by a network or by OpenCV, in pixels of the frame.

Shape legend: N frame pairs, H W pixels of the frame, h w size at which flow is computed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.weights_file import WeightsFile
from vadbench.data.opencv import opencv_version
from vadbench.errors import ConfigError, nearest
from vadbench.models.ai_vad.in_threads import in_threads
from vadbench.models.ai_vad.streams.raft import SharedEncoder, refine
from vadbench.models.ai_vad.tensors import is_tensor, to_frames
from vadbench.models.ai_vad.weights import describe, published_file, torchvision_network, weights_files

if TYPE_CHECKING:
    import torch

NETWORKS = ("raft_large", "raft_small")
METHODS = (*NETWORKS, "dis", "farneback")
DIS_PRESETS = ("ultrafast", "fast", "medium")

_WITHOUT = "flow=dis and flow=farneback need no weights; model.use_velocity_features=false needs no flow."


class FlowExtractor:
    """Flow from the first to the last frame of each pair.

    Parameters
    ----------
    method: "raft_large" or "raft_small" (Teed and Deng, ECCV 2020; torchvision), "dis" (Kroeger et al., ECCV 2016) or
        "farneback" (Farnebäck, SCIA 2003), both of OpenCV on grey frames.
    weights: of the networks: "pretrained", "random" or a path.
    size: (h, w) that frames are resized to (bilinear); None takes the frame's own, rounded up to what RAFT can take.
    rescale: True gives pixels of the frame; False leaves pixels of the resized frame, as anomalib (520 x 960) and the
        official code (768 x 1024) do, so that x and y have different units where the aspect changes.
    updates: iterations of RAFT.
    preset: of DIS: "ultrafast", "fast" or "medium".
    runner: what runs the networks.
    """

    def __init__(
        self,
        method: str = "raft_large",
        weights: str = "pretrained",
        size: tuple[int, int] | None = (520, 960),
        rescale: bool = True,
        updates: int = 12,
        preset: str = "medium",
        seed: int = 0,
        device: str = "cpu",
        runner: Runner | None = None,
    ) -> None:
        if method not in METHODS:
            raise ConfigError(f"flow.method: unknown method {method!r}. {nearest(method, METHODS)}")
        if preset not in DIS_PRESETS:
            raise ConfigError(f"flow.preset: unknown preset {preset!r}. {nearest(preset, DIS_PRESETS)}")
        if method in NETWORKS and size is not None and (min(size) < 128 or size[0] % 8 or size[1] % 8):
            raise ConfigError(f"flow.size={list(size)}: RAFT takes multiples of 8 from 128 on")
        self.method = method
        self.word = weights
        self.size = size
        self.rescale = rescale or (size is None and method not in NETWORKS)  # there is nothing to scale back
        self.updates = updates
        self.preset = preset
        self.seed = seed
        self.device = device if method in NETWORKS else "cpu"
        self.runner = (runner or Runner()) if method in NETWORKS else None
        self._network: torch.nn.Module | None = None
        self._encoder: SharedEncoder | None = None
        self._dis = threading.local()

    def __call__(self, first_frame: Any, last_frame: Any) -> torch.Tensor:
        """Flow ``float32 (N, 2, H, W)`` (u to the right, v down) of N pairs ``uint8 (N, H, W, 3)`` RGB, or of tensors
        ``(N, 3, H, W)``."""
        import torch

        if is_tensor(first_frame):
            first_frame, last_frame = to_frames(first_frame), to_frames(last_frame)

        if self.method in NETWORKS:
            return self._raft(first_frame, last_frame)
        pairs = in_threads(self._opencv, first_frame, last_frame)
        return torch.from_numpy(np.stack(pairs)).permute(0, 3, 1, 2)

    @property
    def is_network(self) -> bool:
        """Whether a network makes the flow, for which the number of pairs at once is a matter of memory."""
        return self.method in NETWORKS

    def spec(self) -> dict[str, Any]:
        """Everything that the flow depends on; no network is built."""
        spec: dict[str, Any] = {"flow": self.method, "size": self.size, "rescale": self.rescale}
        if self.runner is not None:
            import torchvision

            spec |= {"weights": self._identity(), "updates": self.updates, **self.runner.spec()}
            return spec | {"torchvision": torchvision.__version__.split("+")[0]}
        if self.method == "dis":
            spec["preset"] = self.preset
        return spec | {"opencv": opencv_version()}

    def weights(self) -> list[dict[str, Any]]:
        """One set for the networks, none for OpenCV's methods."""
        return [{"part": f"flow ({self.method})", **self._identity()}] if self.method in NETWORKS else []

    def files(self) -> list[WeightsFile]:
        """Return the file that the weights are in, here or not."""
        if self.method not in NETWORKS:
            return []
        return weights_files(self.method, self.word, "flow", "flow.weights", _WITHOUT)

    def _identity(self) -> dict[str, Any]:
        return describe(self.word, self.seed, published_file(self.method), "flow.weights")

    def _raft(self, first: np.ndarray, last: np.ndarray) -> torch.Tensor:
        import torch
        from torch.nn.functional import interpolate

        if self._network is None or self._encoder is None:
            network: Any = torchvision_network(
                self.method, self.word, self.seed, self.device, "flow", "flow.weights", _WITHOUT
            )
            assert self.runner is not None
            parts = ("feature_encoder", "context_encoder", "update_block", "mask_predictor")
            there = {part: 1 for part in parts if getattr(network, part) is not None}
            self.runner.take(network, f"flow ({self.method})", there)
            self._network = network
            self._encoder = SharedEncoder(lambda frames: network.feature_encoder(self._pixels(frames)))
        size = self._input_size(first.shape[1:3])
        with torch.inference_mode():
            maps = self._encoder(np.concatenate([first, last]))
            flow = refine(self._network, maps.chunk(2), self._pixels(first), self.updates)
            flow = interpolate(flow, first.shape[1:3], mode="bilinear", align_corners=False)
            return flow * flow.new_tensor(self._scale(first.shape[1:3], size))[:, None, None]

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        """Return the network's input of frames ``uint8 (N, H, W, 3)``."""
        import torch
        from torch.nn.functional import interpolate

        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float()
        size = self._input_size(frames.shape[1:3])
        return interpolate(pixels / 127.5 - 1, size, mode="bilinear", align_corners=False)

    def _input_size(self, frame: tuple[int, ...]) -> tuple[int, ...]:
        return self.size or tuple(max(128, -(-side // 8) * 8) for side in frame)

    def _opencv(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        import cv2

        flow: np.ndarray
        original = first.shape[:2]
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, last)]
        if self.size is not None:
            grey = [cv2.resize(g, self.size[::-1], interpolation=cv2.INTER_LINEAR) for g in grey]
        if self.method == "dis":
            # It works in buffers of its own, so that each thread needs one.
            if not hasattr(self._dis, "made"):
                self._dis.made = cv2.DISOpticalFlow_create(DIS_PRESETS.index(self.preset))  # type: ignore[attr-defined]
            flow = self._dis.made.calc(grey[0], grey[1], None)
        else:
            start = np.zeros((*grey[0].shape, 2), np.float32)
            flow = cv2.calcOpticalFlowFarneback(grey[0], grey[1], start, 0.5, 3, 15, 3, 5, 1.2, 0)
        if self.size is None:
            return flow
        flow = cv2.resize(flow, original[::-1], interpolation=cv2.INTER_LINEAR)
        flow = flow * np.array(self._scale(original, self.size), dtype=np.float32)
        return flow

    def _scale(self, original: tuple[int, ...], size: tuple[int, ...]) -> tuple[float, float]:
        """Return what u and v are multiplied by."""
        return (original[1] / size[1], original[0] / size[0]) if self.rescale else (1.0, 1.0)


def default_size(method: str) -> tuple[int, int] | None:
    """Size at which flow is computed if no other is asked for: 520 x 960 for networks, the frame's for OpenCV."""
    return (520, 960) if method in NETWORKS else None
