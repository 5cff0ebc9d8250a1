"""The contract of a backbone: a clip of frames in, the feature maps of one or several layers out.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Layer:
    """One row of ``list layers``.

    Attributes
    ----------
    name: what ``model.layer`` takes.
    shape: (C, t, h, w) of its feature map for one clip; None where it depends on the size of the frames.
    default: whether it is the backbone's default.
    """

    name: str
    shape: tuple[int | None, ...]
    default: bool


class Backbone(Protocol):
    """A frozen network or filter bank, run up to its last wanted layer.

    Frames reach it through a pre-processor (resize, and normalise where the backbone wants floats), one at a time and
    in order, so that work on a single frame is done once however many clips the frame is in. A pre-processed frame is
    ``(H, W, 3)`` RGB: ``float32`` for networks, ``uint8`` for filter banks.

    One with several layers may have ``with_layers(layers)``, which returns the same backbone with other layers, so that
    one pass over the videos serves all of them.
    """

    layers: tuple[str, ...]

    @property
    def needs_calibration(self) -> bool:
        """True if :meth:`calibrate` must be called before the first clip."""

    def spec(self, layer: str) -> dict[str, Any]:
        """JSON-able and cheap (no network is built): architecture, layer, weights and their digest or seed, precision,
        library versions that change the numbers. Never a device or a batch size."""

    def weights_digest(self) -> str | None:
        """SHA-256 of the weights' file, or of the recipe of random weights; None where there are no weights."""

    def calibrate(self, clips: Iterable[np.ndarray]) -> None:
        """Set batch-norm statistics from clips ``(T, ...)`` of the training videos; only random weights need it."""

    def per_frame(self, frame: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        """What a clip is stacked from: the pre-processed frame itself, or a map made of it and the one before.

        ``previous`` is the pre-processed frame ``frame_step`` frames earlier, None at the start of a video.
        """

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of ``layers``: layer to ``float32 (N, C, t, h, w)`` from ``(N, T, ...)`` stacked per_frame."""
