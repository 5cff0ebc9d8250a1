"""The pose of each region: keypoints from the head of Keypoint R-CNN on given boxes, in coordinates of the box.

Shape legend: N frames, M regions of all of them, H W pixels, 17 COCO keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.weights_file import WeightsFile
from vadbench.density.collecting import as_given
from vadbench.errors import ConfigError, nearest
from vadbench.models.ai_vad.tensors import is_tensor, to_boxes, to_frames
from vadbench.models.ai_vad.weights import describe, published_file, torchvision_network, weights_files

if TYPE_CHECKING:
    import torch

N_KEYPOINTS = 17
BOX_SCALES = ("xy", "yx")

_ARCHITECTURE = "keypointrcnn_resnet50_fpn"
_BOXES_AT_ONCE = 4
_WITHOUT = "model.use_pose_features=false needs no keypoints."


class PoseExtractor:
    """Keypoints of every given box; the network's own detector is not used.

    Parameters
    ----------
    weights: "pretrained", "random" or a path.
    min_size, max_size: the frame is scaled so that its shorter side is ``min_size``, unless its longer side would pass
        ``max_size`` (torchvision's defaults).
    box_scale: factors that boxes follow the frame by: "xy": x by that of the width and y by that of the height; "yx":
        the other way round, as anomalib has it, which moves boxes by the rounding of the resized frame's sides (a
        thousandth of their coordinates at most, nothing where both factors are the same).
    runner: what runs the network's backbone and its head.
    """

    def __init__(
        self,
        weights: str = "pretrained",
        min_size: int = 800,
        max_size: int = 1333,
        seed: int = 0,
        device: str = "cpu",
        box_scale: str = "xy",
        runner: Runner | None = None,
    ) -> None:
        if box_scale not in BOX_SCALES:
            raise ConfigError(f"Unknown pose_box_scale {box_scale!r}. {nearest(box_scale, BOX_SCALES)}")
        self.word = weights
        self.min_size, self.max_size = min_size, max_size
        self.seed = seed
        self.device = device
        self.box_scale = box_scale
        self.runner = runner or Runner()
        self._network: torch.nn.Module | None = None

    def __call__(self, frames: Any, boxes: Any) -> Any:
        """Pose of the regions of N frames ``uint8 (N, H, W, 3)`` RGB; ``boxes``: ``(M_i, 4)`` for each, in pixels.

        Of tensors ``(N, 3, H, W)`` a list with one ``(M_i, 34)`` for each frame; ``boxes`` may be ``(M, 5)`` there,
        with the number of the frame first.

        Returns
        -------
        pose: ``float32 (M, 34)``, x and y of each keypoint in the box, 0 to 1 from corner to corner;
        confidence: ``float32 (M, 17)``, heat map values at the keypoints (logits).
        """
        if is_tensor(frames):
            parts, _ = to_boxes(boxes, len(frames))
            poses = self(to_frames(frames), parts)["pose"]
            return list(as_given(poses, frames.float()).split([len(part) for part in parts]))
        counts = np.array([len(b) for b in boxes])
        pose = np.zeros((int(counts.sum()), 2 * N_KEYPOINTS), np.float32)
        confidence = np.zeros((len(pose), N_KEYPOINTS), np.float32)
        if len(pose):
            # A frame without regions has nothing to look at.
            busy = np.flatnonzero(counts).tolist()
            given = [np.asarray(boxes[i], dtype=np.float32) for i in busy]
            keypoints, confidence = self._keypoints(frames[busy], given)
            pose = normalise_keypoints(keypoints, np.concatenate(given))
        return {"pose": pose, "confidence": confidence}

    def spec(self) -> dict[str, Any]:
        """Everything that the pose depends on beside frames and boxes; no network is built."""
        import torchvision

        spec: dict[str, Any] = {
            "pose": _ARCHITECTURE,
            "weights": self._identity(),
            "size": [self.min_size, self.max_size],
            "torchvision": torchvision.__version__.split("+")[0],
            **self.runner.spec(),
        }
        return spec if self.box_scale == "xy" else {**spec, "box_scale": self.box_scale}

    def weights(self) -> list[dict[str, Any]]:
        """One set."""
        return [{"part": f"pose ({_ARCHITECTURE})", **self._identity()}]

    def files(self) -> list[WeightsFile]:
        """Return the file that the weights are in, here or not."""
        return weights_files(_ARCHITECTURE, self.word, "pose", "model.pose_weights", _WITHOUT)

    def _identity(self) -> dict[str, Any]:
        return describe(self.word, self.seed, published_file(_ARCHITECTURE), "model.pose_weights")

    def _keypoints(self, frames: np.ndarray, boxes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints ``(M, 17, 2)`` in pixels of the frame and their confidence ``(M, 17)``."""
        import torch
        from torchvision.models.detection.roi_heads import keypointrcnn_inference

        network: Any = self._built()
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            images, _ = network.transform(list(pixels))
            scale = resize_factors(frames.shape[1:3], images.image_sizes[0]).to(self.device)
            if self.box_scale == "yx":
                scale = scale.flip(0)
            scaled = [torch.from_numpy(b).to(self.device) * scale.repeat(2) for b in boxes]
            heads = network.roi_heads
            pooled = heads.keypoint_roi_pool(network.backbone(images.tensors), scaled, images.image_sizes)
            heat = heads.keypoint_predictor(heads.keypoint_head(pooled))
            keypoints, confidence = keypointrcnn_inference(heat, scaled)
            # By the factors of the boxes, so that a keypoint keeps its place in its box.
            found = torch.cat(keypoints)[:, :, :2] / scale
        return found.cpu().numpy(), torch.cat(confidence).cpu().numpy()

    def _built(self) -> torch.nn.Module:
        if self._network is None:
            self._network = torchvision_network(
                _ARCHITECTURE,
                self.word,
                self.seed,
                self.device,
                "pose",
                "model.pose_weights",
                _WITHOUT,
                min_size=self.min_size,
                max_size=self.max_size,
            )
            heads = {"roi_heads.keypoint_head": _BOXES_AT_ONCE, "roi_heads.keypoint_predictor": _BOXES_AT_ONCE}
            self.runner.take(self._network, f"pose ({_ARCHITECTURE})", {"backbone": 1, **heads})
        return self._network


def resize_factors(frame: Sequence[int], resized: Sequence[int]) -> torch.Tensor:
    """Pixels of the resized frame per pixel of the frame along x and y, ``float32 (2,)``; sizes are (H, W).

    Sizes are whole numbers, so the two factors differ even where the aspect ratio is kept.
    """
    import torch

    return torch.tensor([resized[1] / frame[1], resized[0] / frame[0]], dtype=torch.float32)


def normalise_keypoints(keypoints: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Keypoints ``(M, 17, 2)`` in pixels to ``float32 (M, 34)`` in their boxes ``(M, 4)``: x by width, y by height."""
    corner = boxes[:, None, :2]
    size = np.maximum(boxes[:, None, 2:] - corner, 1e-6)
    poses: np.ndarray = ((keypoints - corner) / size).reshape(len(boxes), -1).astype(np.float32)
    return poses
