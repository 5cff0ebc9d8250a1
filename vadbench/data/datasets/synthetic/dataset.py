"""The synthetic dataset: rendered once from its settings into a cache, read from there ever after.

A fixed camera over a square; people walk from left to right along two paths. In the test videos some of them run,
cycle, go the wrong way, leave a bag or loiter: each with pixel masks (the agent itself, without its shadow, where
nothing nearer hides it) and tracks that say what it is and why it is anomalous.
A frame is anomalous if a pixel of it is.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT
from vadbench.config.schema import DatasetConfig
from vadbench.data.opencv import opencv_version
from vadbench.data.readers.masks import StackMasks, load_npy
from vadbench.data.readers.source import ArraySource, policy_of
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError, StoreError

if TYPE_CHECKING:
    from vadbench.data.datasets.synthetic.scene import Camera

log = logging.getLogger(__name__)

VERSION = 1
"""Version of the generator: raised when it draws anything differently."""


@dataclass(config=STRICT, kw_only=True)
class SyntheticConfig(DatasetConfig):
    """Made from a seed: a fixed camera over a square where people walk; no download. Card: datasets/synthetic.md"""

    root: str | None = "results/data"  # cache: rendered once for each set of settings
    seed: Annotated[int, Field(ge=0)] = 0  # of scene, people and anomalies; apart from the seed of a run
    n_train: Annotated[int, Field(ge=1)] = 6  # videos in which everybody walks
    # Videos with a runner, cyclist, wrong way, left object, loiterer, and one with nothing.
    n_test: Annotated[int, Field(ge=1)] = 6
    n_frames: Annotated[int, Field(ge=24)] = 150
    size: tuple[Annotated[int, Field(ge=48)], Annotated[int, Field(ge=64)]] = (120, 160)  # height, width
    noise: Annotated[float, Field(ge=0, le=50)] = 2.0  # standard deviation of the sensor noise in grey levels


@registry.dataset("synthetic", config=SyntheticConfig)
def load(config: SyntheticConfig) -> Dataset:
    """Return the dataset of these settings, rendered first if it is not in the cache (``dataset.root``) yet."""
    import pandas as pd

    folder = generate(config)
    try:
        train = tuple(_video(folder, name, config, False) for name in _names("train", config.n_train))
        test = tuple(_video(folder, name, config, True) for name in _names("test", config.n_test))
    except (DataError, OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{folder} is damaged ({error}). Remove it, and it is rendered again.") from None
    return Dataset(
        "synthetic",
        train,
        test,
        label_source="rendered masks",
        tree=str(folder),
        expected={"train_videos": config.n_train, "test_videos": config.n_test},
        comparable=True,
    )


def generate(config: SyntheticConfig) -> Path:
    """Return the folder of the rendered dataset; made at most once however many processes ask.

    Raises
    ------
    StoreError: the cache can't be written.
    """
    settings = _settings(config)
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    root = Path(config.root or "results/data")
    folder = root / f"synthetic-{key}"
    if (folder / "manifest.json").is_file():
        return folder
    from filelock import FileLock  # slow to import, and naming the datasets needs no lock

    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".synthetic-{key}.lock"):
            if not (folder / "manifest.json").is_file():
                _render_all(config, settings, folder)
    except OSError as error:
        raise StoreError(
            f"the synthetic dataset can't be written to {root} ({error.strerror or error}). Choose another folder "
            "with dataset.root=FOLDER, or make room."
        ) from error
    return folder


def _settings(config: SyntheticConfig) -> dict[str, Any]:
    """Everything that the pixels depend on."""
    names = ("seed", "n_train", "n_test", "n_frames", "size", "noise")
    versions = {"generator": VERSION, "opencv": opencv_version(), "numpy": np.__version__}
    return {**{name: getattr(config, name) for name in names}, **versions}


def _render_all(config: SyntheticConfig, settings: dict[str, Any], folder: Path) -> None:
    """Render into a folder of our own, then rename it: what has the final name is complete."""
    from vadbench.data.datasets.synthetic.scene import Camera, background

    log.info("rendering the synthetic dataset into %s (once)", folder)
    ours = f".{folder.name}.{socket.gethostname()}."
    mine = folder.with_name(f"{ours}{os.getpid()}")
    # Left by a copy that was cut short (it has no manifest) and by killed processes: the lock is ours, none is at work.
    for left in [folder, *(path for path in folder.parent.iterdir() if path.name.startswith(ours))]:
        shutil.rmtree(left, ignore_errors=True)
    camera = Camera((config.size[0], config.size[1]))
    scene = background(np.random.default_rng([config.seed, 0]), camera)
    try:
        for split, count in (("train", config.n_train), ("test", config.n_test)):
            for index, name in enumerate(_names(split, count)):
                _render_video(config, camera, scene, split, index, mine / name)
        (mine / "manifest.json").write_text(json.dumps(settings, indent=1))
        mine.rename(folder)
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _render_video(
    config: SyntheticConfig, camera: Camera, scene: np.ndarray, split: str, index: int, folder: Path
) -> None:
    """One video: frames.npy, and for a test video masks.npy and tracks.csv."""
    import pandas as pd

    from vadbench.data.datasets.synthetic.render import render
    from vadbench.data.datasets.synthetic.script import plan, script

    folder.mkdir(parents=True)
    rng = np.random.default_rng([config.seed, 1 if split == "train" else 2, index])
    agents = script(rng, camera, config.n_frames, plan(index) if split == "test" else [])
    anomalous = [agent for agent in agents if agent.anomalous.any()]
    frames = np.empty((config.n_frames, *config.size, 3), np.uint8)
    masks = np.zeros((config.n_frames, *config.size), bool)
    rows = []
    for number, rendered in enumerate(render(agents, scene, camera, config.n_frames, config.noise, rng)):
        frames[number] = rendered.frame
        for agent in anomalous:
            visible = rendered.visible.get(agent.track)
            if agent.anomalous[number] and visible is not None and visible.any():
                masks[number] |= visible
                rows.append([number, agent.track, *_box(visible), agent.kind, agent.why])
    np.save(folder / "frames.npy", frames, allow_pickle=False)
    if split == "test":
        np.save(folder / "masks.npy", masks, allow_pickle=False)
        columns = ["frame", "track", "x1", "y1", "x2", "y2", "kind", "why"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "tracks.csv", index=False)


def _box(visible: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1 inside, x2, y2 one beyond, of what is visible in ``bool (H, W)``."""
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _names(split: str, count: int) -> list[str]:
    return [f"{split}_{number:02d}" for number in range(1, count + 1)]


def _video(folder: Path, name: str, config: SyntheticConfig, test: bool) -> Video:
    import pandas as pd

    source = ArraySource(load_npy(folder / name / "frames.npy"), name, policy_of(config))
    if not test:
        return Video(name, source)
    masks = StackMasks(folder / name / "masks.npy")
    labels = np.array([masks[frame].any() for frame in range(len(masks))], dtype=bool)
    return Video(name, source, labels, masks, pd.read_csv(folder / name / "tracks.csv"))
