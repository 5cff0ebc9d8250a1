"""ShanghaiTech Campus (Liu et al., CVPR 2018): training videos, test frames, masks per clip, thirteen scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT
from vadbench.config.schema import DatasetConfig
from vadbench.data.datasets.folder_layout import (
    find_folder,
    find_split,
    label_roots,
    not_recognised,
    open_source,
    required_root,
    video_entries,
)
from vadbench.data.labels.published import read_npy
from vadbench.data.readers.masks import StackMasks, any_of
from vadbench.data.readers.source import Policy, policy_of
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError

OFFICIAL = {
    "train_videos": 330,
    "test_videos": 107,
    "train_frames": 274515,
    "test_frames": 40791,
    "anomalous_frames": 17326,
    "mask_videos": 107,
}

_CLIP = r"\d+_\d+"
_SPLITS = (
    ("training/videos", "training/frames", "training"),
    ("testing/frames", "testing/videos", "testing"),
)

EXPECTED_TREE = """\
  shanghaitech/
    training/videos/01_001.avi ...                 330 videos
    testing/frames/01_0014/000.jpg ...             107 clips
    testing/test_frame_mask/01_0014.npy ...
    testing/test_pixel_mask/01_0014.npy ...        (for pixel metrics)"""


@dataclass(config=STRICT, kw_only=True)
class ShanghaiTechConfig(DatasetConfig):
    """ShanghaiTech Campus: 13 scenes, 330 training videos and 107 test clips. Card: datasets/shanghaitech.md"""

    root: str | None = "datasets/shanghaitech"
    # Numbers of those to load, in training and test, such as [1,2]; None: all thirteen.
    scenes: list[Annotated[int, Field(ge=1)]] | None = None


@registry.dataset("shanghaitech", config=ShanghaiTechConfig)
def load(config: ShanghaiTechConfig) -> Dataset:
    """All scenes, or those of ``config.scenes``; labels from ``test_frame_mask``, else from the pixel masks.

    The training AVIs are decoded as they are. Every video's ``scene`` is the number before the underscore.
    """
    policy = policy_of(config)
    root = required_root(config.root, config.name, EXPECTED_TREE)
    base = find_folder(root, _is_base)
    if base is None:
        raise not_recognised(root, config.name, EXPECTED_TREE, _is_base)
    folders = label_roots(config)
    train, test = (list(video_entries(f, _CLIP)) if (f := find_split(base, s, _CLIP)) else [] for s in _SPLITS)
    kinds = ["video files" if paths and paths[0].is_file() else "frames" for paths in (train, test)]
    wanted = _scenes(config.scenes, [*train, *test])
    frame_masks, pixel_masks = _arrays(folders, "test_frame_mask"), _arrays(folders, "test_pixel_mask")
    videos, sources = [], set()
    for path in test:
        if scene_of(path) in wanted:
            video, source = _test_video(path, frame_masks, pixel_masks, policy)
            videos.append(video)
            sources.add(source)
    return Dataset(
        name=config.name,
        train=tuple(_video(path, policy) for path in train if scene_of(path) in wanted),
        test=tuple(videos),
        label_source=" and ".join(sorted(sources - {"none"})) or "none",
        tree=f"training {kinds[0]}, testing {kinds[1]}" + (f", scenes {sorted(wanted)}" if config.scenes else ""),
        expected=OFFICIAL,
        warnings=tuple(_warnings(config, train, videos)),
    )


def _is_base(folder: Path) -> bool:
    """Return True where the clips are."""
    return any(find_split(folder, names, _CLIP) for names in _SPLITS)


def reference_labels(config: ShanghaiTechConfig) -> dict[str, np.ndarray]:
    """Labels from ``test_frame_mask`` of every clip, of those too whose frames are not there."""
    return {clip: read_npy(path) for clip, path in _arrays(label_roots(config), "test_frame_mask").items()}


def clip_ids(config: ShanghaiTechConfig) -> dict[str, list[str]]:
    """Return the test clips that there are labels of, in the chosen scenes; nothing is known of the training videos'
    names."""
    labelled = [Path(clip) for clip in reference_labels(config)]
    return {"test": [path.name for path in labelled if not config.scenes or scene_of(path) in config.scenes]}


def scene_of(path: Path) -> int:
    """Return the scene's number: ``01_0014`` is in scene 1."""
    return int(path.stem.partition("_")[0])


def _scenes(scenes: list[int] | None, paths: list[Path]) -> set[int]:
    """Return the scenes to load; DataError naming those that are there if one is not."""
    there = {scene_of(path) for path in paths}
    missing = set(scenes or ()) - there
    if missing:
        raise DataError(
            f"dataset.scenes={scenes}: no clips of scene {', '.join(map(str, sorted(missing)))}. "
            f"Scenes found: {', '.join(map(str, sorted(there)))}."
        )
    return set(scenes) if scenes else there


def _video(path: Path, policy: Policy) -> Video:
    return Video(path.stem, open_source(path, policy), scene=f"{scene_of(path):02d}")


def _test_video(
    path: Path, frame_masks: dict[str, Path], pixel_masks: dict[str, Path], policy: Policy
) -> tuple[Video, str]:
    """Return a test video and where its labels came from."""
    clip = path.stem
    masks = StackMasks(pixel_masks[clip]) if clip in pixel_masks else None
    labels: np.ndarray | None = None
    source = "none"
    if clip in frame_masks:
        labels, source = read_npy(frame_masks[clip]), "test_frame_mask"
    elif masks is not None:
        labels, source = any_of(masks), "test_pixel_mask"
    video = Video(clip, open_source(path, policy), labels=labels, masks=masks, scene=f"{scene_of(path):02d}")
    return video, source


def _arrays(folders: list[Path], name: str) -> dict[str, Path]:
    """Clip to its array in the folder ``name``, wherever that is."""
    for root in folders:
        base = root if root.name == name else find_folder(root, lambda f: (f / name).is_dir())
        if base is not None:
            folder = base if base.name == name else base / name
            return {path.stem: path for path in sorted(folder.glob("*.npy")) if not path.name.startswith(".")}
    return {}


def _warnings(config: ShanghaiTechConfig, train: list[Path], test: list[Video]) -> list[str]:
    warnings = []
    if test and all(video.labels is None for video in test):
        warnings.append("neither test_frame_mask nor test_pixel_mask found: scores only")
    trained = {scene_of(path) for path in train}
    tested = {int(video.scene or 0) for video in test}
    wanted = set(config.scenes or ())
    warnings += [f"scene {scene} has no test clips" for scene in sorted(wanted - tested)]
    warnings += [f"scene {scene} has no training videos" for scene in sorted(wanted - trained)]
    return warnings
