"""A dataset: a dark square that walks, and in test videos runs.

python -m vadbench --plugin dataset.py model=frame_difference dataset=squares
"""

from dataclasses import dataclass

import numpy as np

from vadbench import plugins


@dataclass
class SquaresConfig:
    """A square that walks, and runs in the middle of each test video."""

    n_train: int = 3
    n_test: int = 4
    n_frames: int = 40
    seed: int = 0


def _video(name, config, runs):
    rng = np.random.default_rng([config.seed, *name.encode()])
    labels = np.zeros(config.n_frames, dtype=bool)
    if runs:
        labels[config.n_frames // 3 : config.n_frames // 2] = True
    left = np.cumsum(np.where(labels, 6, 1)) + rng.integers(10)
    frames = rng.integers(190, 210, (config.n_frames, 48, 64, 3), dtype=np.uint8)
    masks = np.zeros(frames.shape[:3], dtype=bool)
    for frame, at in enumerate(left % 54):
        frames[frame, 20:30, at : at + 10] = 40
        masks[frame, 20:30, at : at + 10] = labels[frame]
    return plugins.Video(name, plugins.ArraySource(frames), *((labels, masks) if runs else ()))


@plugins.dataset("squares", config=SquaresConfig)
def squares(config):
    """Return training videos of walks and test videos with a run."""
    train = tuple(_video(f"walk_{n}", config, runs=False) for n in range(config.n_train))
    test = tuple(_video(f"run_{n}", config, runs=True) for n in range(config.n_test))
    return plugins.Dataset("squares", train, test, label_source="drawn")
