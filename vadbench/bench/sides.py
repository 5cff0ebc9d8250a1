"""FUVAS by vadbench and by anomalib 2.7.0 on the same generated clips and weights, in turns.

Costs of a clip are slopes between two sizes of the same data: imports, building and converting networks cancel out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vadbench.bench import clips
from vadbench.bench.measure import Cost, cost, one_thread
from vadbench.errors import VadbenchError

# Two training and two test videos of so many frames hold 32 and 96 clips of 13 frames.
SIZES = {20: 32, 36: 96}

_SWITCHES = (
    "experiment=fuvas_anomalib",
    "dataset=ucsd_ped2",
    "backbone=x3d_s",
    "backbone.size=[256,256]",
    "backbone.clip_stride=1",
    "model.visualizer=false",
    "tracking=none",
    "protocol=raw",
    "runtime.threads=1",
)

PEER = "anomalib"


@dataclass(frozen=True)
class Side:
    """One program and its settings: a name, and the overrides of vadbench (None: anomalib)."""

    name: str
    overrides: tuple[str, ...] | None


@dataclass
class Measured:
    """What a side took at each size, and its scores of test clips at the larger one.

    Attributes
    ----------
    costs: frames a video to the cost of each repetition.
    scores: ``float64 (N,)``. phases: seconds by phase of its last run, empty for anomalib.
    """

    costs: dict[int, list[Cost]] = field(default_factory=lambda: {frames: [] for frames in SIZES})
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    phases: dict[str, float] = field(default_factory=dict)

    def per_clip(self) -> float:
        """CPU seconds a clip: the slope between the least costs of both sizes."""
        small, large = SIZES
        least = {frames: min(one.cpu for one in costs) for frames, costs in self.costs.items()}
        return (least[large] - least[small]) / (SIZES[large] - SIZES[small])

    def peak_mb(self) -> float:
        """Largest memory of any repetition at the larger size."""
        return max(one.peak_mb for one in self.costs[max(SIZES)])


def compare(sides: Sequence[Side], repetitions: int, folder: Path, peer: Sequence[str] | None) -> dict[str, Measured]:
    """Run every side ``repetitions`` times at both sizes, in turns; ``peer``: the command that runs peer.py."""
    for frames in SIZES:
        clips.write(folder / f"frames_{frames}", frames)
    found = {side.name: Measured() for side in sides}
    for turn in range(repetitions):
        for frames in SIZES:
            for side in sides:
                place = folder / f"{side.name}_{frames}_{turn}"
                place.mkdir()
                data = folder / f"frames_{frames}"
                one = found[side.name]
                if side.overrides is None:
                    assert peer is not None
                    command = [*peer, str(data), str(place / "scores.npz"), str(folder / "weights.pt")]
                else:
                    command = [sys.executable, "-m", "vadbench", *_SWITCHES, f"dataset.root={data}"]
                    command += [f"backbone.weights={folder / 'weights.pt'}", f"results={place}", *side.overrides]
                one.costs[frames].append(cost(command, one_thread(), place))
                one.scores = _scores(place, data, frames)
                one.phases = _phases(place)
                print(f"{side.name}, {SIZES[frames]} clips: {one.costs[frames][-1].cpu:.1f} CPU s", flush=True)
    return found


def largest_difference(one: Measured, other: Measured) -> float:
    """Largest difference of the scores of two sides, over the largest score."""
    if one.scores.shape != other.scores.shape:
        raise VadbenchError(f"the sides scored {one.scores.size} and {other.scores.size} test clips")
    return float(np.abs(one.scores - other.scores).max() / np.abs(one.scores).max())


def _scores(place: Path, data: Path, frames: int) -> np.ndarray:
    """Scores of the test clips: frames whose score is their own, in the order of videos."""
    made = place / "scores.npz"
    if made.exists():
        return np.asarray(np.load(made)["scores"])
    import pandas as pd

    (path,) = place.glob("runs/*/*/*/scores.parquet")
    table = pd.read_parquet(path)
    return np.asarray(table.loc[~table["filled"], "score"], dtype=np.float64)


def _phases(place: Path) -> dict[str, float]:
    found = list(place.glob("runs/*/*/*/run.json"))
    return dict(json.loads(found[0].read_text())["timings"]) if found else {}
