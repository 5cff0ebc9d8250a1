"""Trivial methods, on the same contracts as the real ones: what a number has to beat before it means anything."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.density.state import State
from vadbench.errors import one_of
from vadbench.models.base import Extractor, Features, VideoScores
from vadbench.models.clips.flow_maps import FlowMaps
from vadbench.models.registry import ModelRun

BASELINES = ("random", "position", "frame_difference", "flow_percentile")


def random_scores(video: str, n_frames: int, seed: int) -> np.ndarray:
    """Uniform in [0, 1), ``float64 (T,)``; the numbers depend on the seed and the video's id alone."""
    digest = hashlib.sha256(video.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")]).random(n_frames)


def position_scores(n_frames: int) -> np.ndarray:
    """(t + 1) / T for frame t from 0, ``float64 (T,)``: good where anomalies come late (Ped2: 0.750 micro AUROC)."""
    return np.arange(1, n_frames + 1, dtype=np.float64) / max(n_frames, 1)


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
    """A method that learns nothing; the baselines under every run are made by it too.

    name: "random" (see :func:`random_scores`), "position" (:func:`position_scores`), "frame_difference" (mean squared
        difference of neighbouring grey frames) or "flow_percentile" (the 99.5th percentile of the optical flow speed in
        a frame, see :class:`vadbench.models.clips.flow_maps.FlowMaps`).
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = one_of("model", name, BASELINES)
        self.seed = seed
        self.extractor: Extractor = _EXTRACTORS.get(name, NoFeatures)()
        # Until version 2 the scores of these two were not those of the baselines under every run.
        self.result_version = 2 if name in ("random", "position") else 1
        self.post_processor: Any = True
        self.evaluator: Any = True
        self.visualizer: Any = True

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores."""
        return self.name == "random"

    @property
    def frames_ahead(self) -> int:
        """How many later frames a score can depend on: frame 0 takes the score of frame 1 where frames are compared."""
        return 1 if self.name in _EXTRACTORS else 0

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Nothing to learn."""

    def fit_spec(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """One score a frame."""
        filled = np.zeros(video.n_frames, dtype=bool)
        if self.name == "random":
            scores = random_scores(video.id, video.n_frames, self.seed)
        elif self.name == "position":
            scores = position_scores(video.n_frames)
        else:
            scores = features["energy"]["energy"] if self.name == "frame_difference" else features["flow"]["speed"]
            filled[:1] = True
        return VideoScores(video.id, np.asarray(scores, dtype=np.float64), filled)

    def summary(self) -> dict[str, Any]:
        """Nothing was learnt."""
        return {"learning_type": "none"}

    def state(self) -> State:
        """Return nothing: nothing was learnt."""
        return State({}, {})

    def load_state(self, state: State) -> None:
        """Take over nothing."""


_EXTRACTORS: dict[str, type[FrameDifferenceEnergy | FlowMaps]] = {
    "frame_difference": FrameDifferenceEnergy,
    "flow_percentile": FlowMaps,
}


def from_frames() -> list[Baseline]:
    """The baselines that look at the frames: the others are known from the labels' length."""
    return [Baseline(name) for name in _EXTRACTORS]


@dataclass(config=STRICT, kw_only=True)
class BaselineConfig(PartConfig):
    """A method that learns nothing."""

    post_processor: bool
    evaluator: bool
    visualizer: bool


def _from_config(config: BaselineConfig, run: ModelRun) -> Baseline:
    baseline = Baseline(config.name, run.seed)
    baseline.post_processor, baseline.evaluator = config.post_processor, config.evaluator
    baseline.visualizer = config.visualizer
    return baseline


for _name in BASELINES:
    registry.model(_name, config=BaselineConfig)(_from_config)
