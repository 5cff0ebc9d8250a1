"""Made-up inputs: videos of a square that walks and runs, feature vectors in groups, scores with both classes.

Shape legend: T frames, H W pixels, N samples, D feature size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vadbench.data.readers.masks import StackMasks
from vadbench.data.readers.source import ArraySource, Fault
from vadbench.data.video import Dataset, Video

SIZE = (48, 64)


class WritableFrames(ArraySource):
    """Frames that are handed out as they are, so that a part that writes into them is found out."""

    def __init__(self, array: np.ndarray, name: str) -> None:
        super().__init__(array, name)
        self.array = array

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        yield from self.array


def dataset(n_frames: int) -> Dataset:
    """Three training and two test videos of about ``n_frames``, the test videos with labels and masks."""
    train = tuple(_video(f"train_{number}", n_frames + number, runs=False) for number in range(3))
    test = tuple(_video(f"test_{number}", n_frames + 2 * number, runs=True) for number in range(2))
    return Dataset("made_up", train, test, label_source="drawn")


def _video(name: str, n_frames: int, runs: bool) -> Video:
    rng = np.random.default_rng([*name.encode()])
    anomalous = np.zeros(n_frames, dtype=bool)
    anomalous[n_frames // 3 : n_frames // 2 + 1] = runs
    left = (np.cumsum(np.where(anomalous, 5, 2)) + rng.integers(10)) % (SIZE[1] - 16)
    ground = rng.integers(60, 120, (*SIZE, 3))
    body = rng.integers(140, 250, (16, 16, 3))
    frames = np.clip(ground + rng.integers(-3, 4, (n_frames, *SIZE, 3)), 0, 255).astype(np.uint8)
    masks = np.zeros((n_frames, *SIZE), dtype=bool)
    for frame, column in enumerate(left):
        frames[frame, 14:30, column : column + 16] = body
        masks[frame, 14:30, column : column + 16] = anomalous[frame]
    source = WritableFrames(frames, name)
    return Video(name, source, anomalous, StackMasks(masks)) if runs else Video(name, source)


def vectors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training vectors ``float32 (N, D)``, the video of each ``int (N,)``, and vectors to score ``float32 (M, D)``.

    D = 24 is a feature map of 3 x 2 x 2 x 2; magnitudes are those of network features, from 1e-2 to 1e2.
    """
    rng = np.random.default_rng(0)
    scale = np.logspace(-2, 2, 24)
    mixed = rng.normal(size=(75, 24)) @ (np.eye(24) + 0.3 * rng.normal(size=(24, 24)))
    samples = (mixed * scale + 2 * scale).astype(np.float32)
    samples[70:] *= 3
    return samples[:60], np.repeat(np.arange(4), 15), samples[60:]


def scores() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores ``float64 (T,)`` and labels ``bool (T,)`` by video; one video is normal throughout."""
    rng = np.random.default_rng(0)
    values, labels = {}, {}
    for number, n_frames in enumerate((40, 55, 31, 47)):
        truth = np.zeros(n_frames, dtype=bool)
        truth[n_frames // 3 : n_frames // 2] = number != 2
        values[f"video_{number}"] = rng.lognormal(truth, 1.5).astype(np.float32).astype(np.float64)
        labels[f"video_{number}"] = truth
    return values, labels
