"""Object detectors: frames in, boxes, classes and perhaps masks out. Networks are built when they are first called.

Shape legend: N frames, M detections of a frame, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.weights_file import WeightsFile
from vadbench.errors import ConfigError, nearest
from vadbench.models.ai_vad.regions.region_set import RegionSet, on_grid, window
from vadbench.models.ai_vad.weights import describe, published_file, torchvision_network, weights_files

if TYPE_CHECKING:
    import torch

TORCHVISION = (
    "maskrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
)
DETECTORS = (*TORCHVISION, "onnx", "none")

# Parts whose inputs have few shapes, and how many of their rows run at once: frames, proposals, detections.
_STATIC = {
    "backbone": 1,
    "rpn.head": 1,
    "head": 1,
    "roi_heads.box_head": 100,
    "roi_heads.mask_head": 10,
    "roi_heads.mask_predictor": 10,
}
_WITHOUT = "regions.detector=none finds moving foreground only and needs no weights."


class Detector(Protocol):
    """Finds objects in frames."""

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        """Return the detections in each of N frames ``uint8 (N, H, W, 3)`` RGB."""

    def spec(self) -> dict[str, Any] | None:
        """Everything that the detections depend on; None if there are never any."""

    def weights(self) -> list[dict[str, Any]]:
        """``part``, ``name`` and ``digest`` of each set of weights."""

    def files(self) -> list[WeightsFile]:
        """Return the files that the weights are in, here or not."""


class NoDetector:
    """Finds nothing: for regions that are moving foreground only."""

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        """No detections in any frame."""
        return [RegionSet.empty() for _ in frames]

    def spec(self) -> None:
        """Nothing to depend on."""

    def weights(self) -> list[dict[str, Any]]:
        """None."""
        return []

    def files(self) -> list[WeightsFile]:
        """None."""
        return []


class TorchvisionDetector:
    """A COCO detector of torchvision; masks where it has them, binarised at ``mask_threshold``.

    Parameters
    ----------
    architecture: one of :data:`TORCHVISION`.
    weights: "pretrained", "random" or a path.
    score_thresh: confidence from which a detection counts.
    nms_thresh: intersection over union from which proposals suppress each other (anomalib's 0.3; torchvision's
        default is 0.7); R-CNN only.
    min_size, max_size: the frame is scaled so that its shorter side is ``min_size``, unless its longer side would pass
        ``max_size``.
    runner: what runs the network's backbone and its heads.
    """

    def __init__(
        self,
        architecture: str = "maskrcnn_resnet50_fpn_v2",
        weights: str = "pretrained",
        score_thresh: float = 0.7,
        nms_thresh: float = 0.3,
        min_size: int = 800,
        max_size: int = 1333,
        mask_threshold: float = 0.5,
        seed: int = 0,
        device: str = "cpu",
        runner: Runner | None = None,
    ) -> None:
        if architecture not in TORCHVISION:
            raise ConfigError(
                f"regions.detector: unknown detector {architecture!r}. {nearest(architecture, DETECTORS)}"
            )
        self.architecture = architecture
        self.word = weights
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh if "rcnn" in architecture else 0.3  # others read none; stored under the default
        self.min_size, self.max_size = min_size, max_size
        self.mask_threshold = mask_threshold
        self.seed = seed
        self.device = device
        self.runner = runner or Runner()
        self._network: torch.nn.Module | None = None

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        """Return the detections in each of N frames ``uint8 (N, H, W, 3)`` RGB."""
        import torch

        network = self._built()
        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found = network(list(images))
        return [self._regions(one, frames.shape[1:3]) for one in found]

    def spec(self) -> dict[str, Any]:
        """Architecture, weights, thresholds and sizes."""
        import torchvision

        return {
            "detector": self.architecture,
            "weights": self._identity(),
            "score_thresh": self.score_thresh,
            "nms_thresh": self.nms_thresh,
            "size": [self.min_size, self.max_size],
            "mask_threshold": self.mask_threshold,
            "torchvision": torchvision.__version__.split("+")[0],
            **self.runner.spec(),
        }

    def weights(self) -> list[dict[str, Any]]:
        """One set."""
        return [{"part": f"regions ({self.architecture})", **self._identity()}]

    def files(self) -> list[WeightsFile]:
        """Return the file that the weights are in, here or not."""
        return weights_files(self.architecture, self.word, "regions", "regions.weights", _WITHOUT)

    def _identity(self) -> dict[str, Any]:
        return describe(self.word, self.seed, published_file(self.architecture), "regions.weights")

    def _built(self) -> torch.nn.Module:
        if self._network is None:
            rcnn = "rcnn" in self.architecture
            threshold = "box_score_thresh" if rcnn else "score_thresh"
            options: dict[str, Any] = {threshold: self.score_thresh}
            if rcnn:
                options["rpn_nms_thresh"] = self.nms_thresh
            self._network = torchvision_network(
                self.architecture,
                self.word,
                self.seed,
                self.device,
                "regions",
                "regions.weights",
                _WITHOUT,
                min_size=self.min_size,
                max_size=self.max_size,
                **options,
            )
            parts = {path: rows for path, rows in _STATIC.items() if _has(self._network, path)}
            self.runner.take(self._network, f"regions ({self.architecture})", parts)
        return self._network

    def _regions(self, found: dict[str, torch.Tensor], size: tuple[int, int]) -> RegionSet:
        boxes = on_grid(found["boxes"].cpu().numpy(), size)
        whole = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        masks: Sequence[np.ndarray | None] = [None] * len(boxes)
        if "masks" in found:
            planes = (found["masks"][:, 0] >= self.mask_threshold).cpu().numpy()
            masks = [plane[window(box)] for plane, box in zip(planes, boxes, strict=True)]
        labels = found["labels"].cpu().numpy().astype(np.int16)
        regions = RegionSet(boxes, labels, found["scores"].cpu().numpy().astype(np.float32), tuple(masks))
        return regions.take(whole)


def build_detector(
    name: str,
    weights: str = "pretrained",
    score_thresh: float = 0.7,
    nms_thresh: float = 0.3,
    min_size: int = 800,
    max_size: int = 1333,
    seed: int = 0,
    device: str = "cpu",
    runner: Runner | None = None,
) -> Detector:
    """Return the detector called ``name`` (one of :data:`DETECTORS`); ConfigError if there is none."""
    if name == "none":
        return NoDetector()
    if name == "onnx":
        from vadbench.models.ai_vad.regions.yolox import OnnxDetector

        return OnnxDetector(weights, score_thresh)
    return TorchvisionDetector(
        name, weights, score_thresh, nms_thresh, min_size, max_size, seed=seed, device=device, runner=runner
    )


def _has(network: torch.nn.Module, path: str) -> bool:
    return path in dict(network.named_modules())
