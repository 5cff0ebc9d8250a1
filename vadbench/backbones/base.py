"""The contract of a backbone, clips of frames in and feature maps out, and what is fixed about a built-in one.

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

    One that several engines can run, whose features agree up to rounding, has ``engine`` (what ran the last clips, None
    before there were any), ``takes(engine)`` (whether features that an engine made may stand for its own), ``remarks``
    (what a record should say of the choice) and ``expect(training_clips)``, which it is told before the first clip.

    One whose calibration can be kept has ``statistics()`` (named arrays, after :meth:`calibrate`), ``take_statistics``,
    which stands for a calibration, and ``statistics_spec()`` (JSON-able, what they depend on beside the clips).
    ``batch_size`` is how many clips at once suit it where the configuration leaves that open; 1 if absent.
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
        """Return what a clip is stacked from: the pre-processed frame itself, or a map made of it and the one before.

        ``previous`` is the pre-processed frame ``frame_step`` frames earlier, None at the start of a video.
        """

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of ``layers``: layer to ``float32 (N, C, t, h, w)`` from ``(N, T, ...)`` stacked per_frame."""


@dataclass(frozen=True)
class Checkpoint:
    """One file of published weights.

    Attributes
    ----------
    tag: what ``backbone.weights`` calls it; the first of a backbone is also called ``pretrained``.
    url: where the publisher has it.
    sha256_prefix: leading hex digits of the file's SHA-256 as the publisher gives them; None where none is given.
    trained_on: datasets.
    sampling: frames in a clip and how far apart the recipe sampled them.
    terms: what is known of the licence.
    """

    tag: str
    url: str
    sha256_prefix: str | None
    trained_on: str
    sampling: str
    terms: str

    @property
    def file(self) -> str:
        """File name in a weights folder."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Facts:
    """What is fixed about one backbone.

    Attributes
    ----------
    builder: ``"module:function"`` of the network; empty for filter banks.
    parameters: number of parameters of the whole network, 0 for filter banks.
    checkpoints: published weights, the default first.
    batch_norm: whether random weights need batch-norm statistics from training clips.
    tokens: feature maps come as a row of patch tokens with a class token in front.
    fixed_input: the only (T, H, W) that the network takes, since it has learnt positions; None for any.
    result_version: raised when features change at the same weights and clips; part of their key.
    """

    builder: str = ""
    parameters: int = 0
    checkpoints: tuple[Checkpoint, ...] = ()
    batch_norm: bool = False
    tokens: bool = False
    fixed_input: tuple[int, int, int] | None = None
    result_version: int = 1

    @property
    def is_network(self) -> bool:
        """False for filter banks, which need neither torch nor weights."""
        return self.parameters > 0
