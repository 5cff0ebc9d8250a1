"""Trivial methods, on the same contracts as the real ones: what a number has to beat before it means anything."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vadbench.config import RunConfig
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.models.base import Extractor, Features, VideoScores


class NoFeatures:
    """An extractor without outputs, for methods that never look at a frame."""

    def prepare(self, train: Sequence[Video]) -> None:
        """Nothing to prepare."""

    def outputs(self) -> dict[str, dict[str, Any]]:
        """No outputs."""
        return {}

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """Nothing to extract."""
        return {}


class FrameDifferenceEnergy:
    """Mean squared difference of neighbouring grey frames: output "energy", ``{"energy": float64 (T,)}``.

    Frame 0 has no predecessor and takes the energy of frame 1.
    """

    def prepare(self, train: Sequence[Video]) -> None:
        """Nothing to prepare."""

    def outputs(self) -> dict[str, dict[str, Any]]:
        """One output."""
        return {"energy": {"extractor": "frame_difference_energy/1"}}

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """The energies of one video, in one pass."""
        import cv2

        energies: list[float] = []
        previous = None
        for frame in video.frames():
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
            energies.append(0.0 if previous is None else float(np.square(grey - previous).mean(dtype=np.float64)))
            previous = grey
        if len(energies) > 1:
            energies[0] = energies[1]
        return {"energy": {"energy": np.array(energies)}}


class Baseline:
    """A method that learns nothing: "random", "position" (frame number over frame count) or "frame_difference"."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.seed = seed
        self.extractor: Extractor = FrameDifferenceEnergy() if name == "frame_difference" else NoFeatures()
        self.post_processor: Any = True
        self.evaluator: Any = True
        self.visualizer: Any = True

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Nothing to learn."""

    def fit_spec(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """One score a frame."""
        n = video.n_frames
        if self.name == "random":
            rng = np.random.default_rng([self.seed, zlib.crc32(video.id.encode())])
            scores, first_filled = rng.random(n), False
        elif self.name == "position":
            scores, first_filled = np.arange(n) / max(n - 1, 1), False
        else:
            scores, first_filled = np.asarray(features["energy"]["energy"], dtype=np.float64), True
        filled = np.zeros(n, dtype=bool)
        filled[:1] = first_filled
        return VideoScores(video.id, scores, filled)

    def summary(self) -> dict[str, Any]:
        """Nothing was learnt."""
        return {"learning_type": "none"}


BASELINES = ("random", "position", "frame_difference")


def from_config(config: RunConfig) -> Baseline:
    """The baseline that ``model=`` names."""
    return Baseline(config.model.name, config.seed)
