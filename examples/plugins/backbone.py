"""A backbone: mean colours of square patches.

python -m vadbench --plugin backbone.py model=fuvas backbone=patch_colours dataset=synthetic
"""

from dataclasses import dataclass

import numpy as np

from vadbench import plugins


@dataclass
class PatchColoursConfig:
    """Mean colours of square patches, without weights."""

    patch: int = 16  # side in pixels
    layer: str = "colours"  # overrides a common key of all backbones, as the next two do
    clip_length: int = 4
    clip_stride: int = 4


@plugins.backbone("patch_colours", config=PatchColoursConfig)
class PatchColours:
    """Mean colours of square patches."""

    needs_calibration = False

    def __init__(self, config, layers, seed, device):
        self.patch, self.layers = config.patch, layers

    def spec(self, layer):
        """Return all that the features depend on."""
        return {"backbone": "patch_colours", "patch": self.patch, "layer": layer}

    def weights_digest(self):
        """There are no weights."""

    def calibrate(self, clips):
        """Nothing to calibrate."""

    def per_frame(self, frame, previous):
        """Return ``float32 (h, w, 3)`` of a frame ``(H, W, 3)``."""
        p, (height, width, _) = self.patch, frame.shape
        cut = frame[: height // p * p, : width // p * p].astype(np.float32)
        return cut.reshape(height // p, p, width // p, p, 3).mean(axis=(1, 3))

    def __call__(self, clips):
        """Return ``float32 (N, 3, T, h, w)`` of clips ``(N, T, h, w, 3)``."""
        return dict.fromkeys(self.layers, np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3)))
