"""The contract of a backbone: a clip of frames in, the feature maps of one or several layers out.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np


class Backbone(Protocol):
    """A frozen network or filter bank, cut after its last wanted layer.

    Frames reach it through a pre-processor (resize, and normalise where the backbone wants floats), one at a time and
    in order, so that work on a single frame is done once however many clips the frame is in.
    """

    layers: tuple[str, ...]

    def spec(self, layer: str) -> dict[str, Any]:
        """JSON-able and cheap (no network is built): architecture, layer, weights and their digest or seed, precision,
        library versions that change the numbers. Never a device or a batch size."""

    def calibrate(self, clips: Iterable[np.ndarray]) -> None:
        """Set batch-norm statistics from clips ``(T, ...)`` of the training videos; only random weights need it."""

    def per_frame(self, frame: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        """What a clip is stacked from: the pre-processed frame itself, or a map made of it and the one before.

        ``previous`` is the pre-processed frame ``step`` frames earlier, None at the start of a video.
        """

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of ``layers``: layer to ``float32 (N, C, t, h, w)`` from ``(N, T, ...)`` stacked per_frame."""
