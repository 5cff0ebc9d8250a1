"""Trivial methods, on the same contracts as the real ones: what a number has to beat before it means anything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig, setting, with_defaults
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.density.state import State
from vadbench.models.base import Extractor, Features, VideoScores
from vadbench.models.clips.flow_maps import FlowMaps
from vadbench.models.registry import ModelRun


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
        """Compute the energies of one video, in one pass."""
        watcher = self.watcher()
        for frame in video.frames():
            watcher.see(frame)
        return watcher.features()

    def watcher(self) -> _Differences:
        """Return what makes the energies of a video from its frames as they go by."""
        return _Differences()


class _Differences:
    def __init__(self) -> None:
        self._energies: list[float] = []
        self._previous: np.ndarray | None = None

    def see(self, frame: np.ndarray) -> None:
        import cv2

        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        previous, self._previous = self._previous, grey
        self._energies.append(0.0 if previous is None else float(np.square(grey - previous).mean(dtype=np.float64)))

    def features(self) -> dict[str, Features]:
        return {"energy": {"energy": np.array(self._energies[1:2] + self._energies[1:] or self._energies)}}


@dataclass(config=STRICT, kw_only=True)
class BaselineConfig(PartConfig):
    """A method that learns nothing."""

    post_processor: bool = True  # apply the protocol
    evaluator: bool = True  # compute metrics
    visualizer: bool = setting(default=True, in_key=False)  # draw score curves


class Baseline:
    """A method that learns nothing; the baselines under every run are made by it too."""

    name: ClassVar[str]
    made_of: ClassVar[type[Extractor]] = NoFeatures
    result_version: ClassVar[int] = 1
    result_note: ClassVar[str] = ""
    uses_seed: ClassVar[bool] = False  # whether another seed can change the scores
    frames_ahead: ClassVar[int] = 0

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.extractor: Extractor = self.made_of()
        self.post_processor: Any = True
        self.evaluator: Any = True
        self.visualizer: Any = True

    @classmethod
    def from_config(cls, config: BaselineConfig, run: ModelRun) -> Baseline:
        """Return the baseline of a run."""
        baseline = cls(run.seed)
        baseline.post_processor, baseline.evaluator = config.post_processor, config.evaluator
        baseline.visualizer = config.visualizer
        return baseline

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Nothing to learn."""

    def fit_spec(self) -> dict[str, Any]:
        """Nothing is cached."""
        return {}

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """One score a frame."""
        scores = np.asarray(self.scores_of(video, features), dtype=np.float64)
        filled = np.zeros(video.n_frames, dtype=bool)
        filled[: self.frames_ahead] = True
        return VideoScores(video.id, scores, filled)

    def scores_of(self, video: Video, features: Mapping[str, Features]) -> np.ndarray:
        """``float (T,)``."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """Nothing was learnt."""
        return {"learning_type": "none"}

    def state(self) -> State:
        """Return nothing: nothing was learnt."""
        return State({}, {})

    def load_state(self, state: State) -> None:
        """Take over nothing."""


def _registered(summary: str) -> Callable[[type[Baseline]], type[Baseline]]:
    def register(baseline: type[Baseline]) -> type[Baseline]:
        config = with_defaults(BaselineConfig, f"Baseline: {summary}")
        registry.model(baseline.name, config=config)(baseline.from_config)
        return baseline

    return register


@_registered("a seeded random number for every frame")
class Random(Baseline):
    """Random numbers, see :func:`random_scores`."""

    name = "random"
    result_version = 2
    result_note = "the scores are now those of the baseline of this name under every run"
    uses_seed = True

    def scores_of(self, video: Video, features: Mapping[str, Features]) -> np.ndarray:
        """``float64 (T,)`` in [0, 1)."""
        return random_scores(video.id, video.n_frames, self.seed)


@_registered("the position of a frame in its video")
class Position(Baseline):
    """The place of a frame in its video, see :func:`position_scores`."""

    name = "position"
    result_version = 2
    result_note = Random.result_note

    def scores_of(self, video: Video, features: Mapping[str, Features]) -> np.ndarray:
        """``float64 (T,)`` in (0, 1]."""
        return position_scores(video.n_frames)


@_registered("mean squared difference of neighbouring grey frames")
class FrameDifference(Baseline):
    """Mean squared difference of neighbouring grey frames, see :class:`FrameDifferenceEnergy`."""

    name = "frame_difference"
    made_of = FrameDifferenceEnergy
    frames_ahead = 1  # frame 0 takes the score of frame 1

    def scores_of(self, video: Video, features: Mapping[str, Features]) -> np.ndarray:
        """``float64 (T,)``, squared grey levels."""
        return features["energy"]["energy"]


@_registered("the 99.5th percentile of the optical flow speed in a frame")
class FlowPercentile(Baseline):
    """The 99.5th percentile of the speed of optical flow in a frame, see :class:`FlowMaps`."""

    name = "flow_percentile"
    made_of = FlowMaps
    frames_ahead = 1  # frame 0 takes the score of frame 1

    def scores_of(self, video: Video, features: Mapping[str, Features]) -> np.ndarray:
        """``float64 (T,)``, pixels a frame."""
        return features["flow"]["speed"]


def from_frames() -> list[Baseline]:
    """Return the baselines that look at the frames: the others are known from the labels' length."""
    return [FrameDifference(), FlowPercentile()]
