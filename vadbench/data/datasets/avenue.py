"""CUHK Avenue (Lu, Shi, Jia, ICCV 2013): the official AVIs with their masks, and the redistribution as JPEG frames."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vadbench import registry
from vadbench.config.parts import with_defaults
from vadbench.config.schema import DatasetConfig
from vadbench.data.datasets.folder_layout import (
    find_folder,
    find_split,
    label_roots,
    not_recognised,
    number_id,
    open_source,
    required_root,
    video_entries,
)
from vadbench.data.datasets.known_labels import KnownLabels
from vadbench.data.labels.published import pick, read_mat
from vadbench.data.readers.masks import ImageMasks, any_of
from vadbench.data.readers.mat_masks import MatMasks
from vadbench.data.readers.source import Policy, policy_of
from vadbench.data.video import Dataset, MaskSource, Video

OFFICIAL = {
    "avenue": {
        "train_videos": 16,
        "test_videos": 21,
        "train_frames": 15328,
        "test_frames": 15324,
        "anomalous_frames": 3712,
        "mask_videos": 21,
    },
    "avenue17": {
        "train_videos": 16,
        "test_videos": 16,
        "train_frames": 15328,
        "test_frames": 10622,
        "anomalous_frames": 2757,
        "mask_videos": 16,
    },
}

# Clips with static anomalies that are there from the first frame, left out by Hinami et al., ICCV 2017.
AVENUE17_LEAVES_OUT = ("01", "02", "08", "09", "10")

_CLIP = r"\d+"
_SPLITS = (
    ("training_videos", "training/training_videos", "training/videos", "training/frames", "training"),
    ("testing_videos", "testing/testing_videos", "testing/videos", "testing/frames", "testing"),
)

EXPECTED_TREE = """\
  Avenue Dataset/                                  the official tree
    training_videos/01.avi ... 16.avi
    testing_videos/01.avi ... 21.avi
  ground_truth_demo/testing_label_mask/1_label.mat ... 21_label.mat
  or avenue/                                       the redistribution
    training/frames/01/0000.jpg ...
    testing/frames/01/0000.jpg ...
    avenue.mat"""


@registry.dataset(
    "avenue",
    config=with_defaults(
        DatasetConfig,
        "CUHK Avenue: one scene, 16 training and 21 test videos. Card: datasets/avenue.md",
        root="datasets/avenue",
    ),
)
@registry.dataset(
    "avenue17",
    config=with_defaults(
        DatasetConfig,
        "CUHK Avenue without clips 01, 02, 08, 09, 10 (static anomalies, after Hinami et al. 2017). "
        "Card: datasets/avenue.md",
        root="datasets/avenue",
    ),
)
def load(config: DatasetConfig) -> Dataset:
    """Avenue, or ``avenue17`` without five clips; labels from the masks at their native size, else ``avenue.mat``."""
    policy = policy_of(config)
    root = required_root(config.root, config.name, EXPECTED_TREE)
    base = find_folder(root, _is_base)
    if base is None:
        raise not_recognised(root, config.name, EXPECTED_TREE, _is_base)
    folders = label_roots(config)
    masks = _masks(folders, policy)
    train, test = (list(video_entries(f, _CLIP)) if (f := find_split(base, s, _CLIP)) else [] for s in _SPLITS)
    if config.name == "avenue17":
        test = [path for path in test if number_id(path.stem) not in AVENUE17_LEAVES_OUT]
    videos, source = _with_labels(test, masks, folders, policy)
    files = any(path.is_file() for path in [*train, *test])
    return Dataset(
        name=config.name,
        train=tuple(Video(number_id(path.stem), open_source(path, policy)) for path in train),
        test=tuple(videos),
        label_source=source,
        tree="official (video files)" if files else "redistribution (frames)",
        expected=OFFICIAL[config.name],
        warnings=("neither testing_label_mask nor avenue.mat found: scores only",) if source == "none" else (),
    )


def reference_labels(config: DatasetConfig) -> dict[str, np.ndarray]:
    """Labels from the masks of every clip, of those too whose video is not there."""
    masks = _masks(label_roots(config), policy_of(config))
    return {clip: any_of(mask) for clip, mask in sorted(masks.items())}


def clip_ids(config: DatasetConfig) -> dict[str, list[str]]:
    """Return the official clips of each split."""
    test = [f"{n:02d}" for n in range(1, 22)]
    if config.name == "avenue17":
        test = [clip for clip in test if clip not in AVENUE17_LEAVES_OUT]
    return {"train": [f"{n:02d}" for n in range(1, 17)], "test": test}


def _is_base(folder: Path) -> bool:
    """Return True where the clips are; the ground truth's demo has a ``testing_videos`` folder too, which is none."""
    if (folder / "testing_label_mask").is_dir():
        return False
    return any(find_split(folder, names, _CLIP) for names in _SPLITS)


def _masks(folders: list[Path], policy: Policy) -> dict[str, MaskSource]:
    """Clip to its masks: ``1_label.mat``, or a folder ``1_label`` of images converted from it."""
    for root in folders:
        base = find_folder(root, lambda f: f.name == "testing_label_mask") or find_folder(
            root, lambda f: any(f.glob("*_label.mat"))
        )
        if base is None:
            continue
        known = KnownLabels("avenue")
        found: dict[str, MaskSource] = {}
        for path in sorted(base.iterdir()):
            clip = re.fullmatch(r"0*(\d+)_label(\.mat)?", path.name)
            if clip and path.is_file():
                found[number_id(clip[1])] = MatMasks(path, "volLabel", known.of(path))
            elif clip:
                found.setdefault(number_id(clip[1]), ImageMasks(path, policy))
        if found:
            return found
    return {}


def _with_labels(
    test: list[Path], masks: dict[str, MaskSource], folders: list[Path], policy: Policy
) -> tuple[list[Video], str]:
    """Return the test videos and where their labels came from: the masks, ``avenue.mat`` for clips without."""
    lacking = any(number_id(path.stem) not in masks for path in test)
    mat = next((f / "avenue.mat" for r in folders if (f := find_folder(r, _has_mat))), None) if lacking else None
    listed = read_mat(mat) if mat else {}
    videos, sources = [], set()
    for path in test:
        clip, source = number_id(path.stem), open_source(path, policy)
        mask = masks.get(clip)
        labels = any_of(mask) if mask is not None else pick(listed, clip, source.n_frames, str(mat))
        if labels is not None:
            sources.add("volLabel masks" if mask is not None else "avenue.mat")
        videos.append(Video(clip, source, labels=labels, masks=mask))
    return videos, " and ".join(sorted(sources)) or "none"


def _has_mat(folder: Path) -> bool:
    return (folder / "avenue.mat").is_file()
