"""UCSD Ped1 and Ped2 (Mahadevan et al., CVPR 2010): the official tree, and the redistribution with JPEG frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from vadbench.data.datasets.official_files import certify, clip_lengths
from vadbench.data.labels.published import Ranges, pick, read_m, read_mat
from vadbench.data.readers.image_folder import list_images
from vadbench.data.readers.masks import ImageMasks, any_of
from vadbench.data.readers.source import Policy, policy_of
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError

OFFICIAL = {
    "ucsd_ped1": {
        "train_videos": 34,
        "test_videos": 36,
        "train_frames": 6800,
        "test_frames": 7200,
        "anomalous_frames": 4045,
        "mask_videos": 10,
    },
    "ucsd_ped2": {
        "train_videos": 16,
        "test_videos": 12,
        "train_frames": 2550,
        "test_frames": 2010,
        "anomalous_frames": 1648,
        "mask_videos": 12,
    },
}

TIFF_TABLE = "ucsd_ped2_tif"

# Name of the tree, where its two splits are, and what the clips in them are called.
_TREES = (
    ("official", (("Train",), ("Test",)), r"(Train|Test)\d+"),
    ("redistribution", (("training/frames", "training"), ("testing/frames", "testing")), r"(Train|Test)?\d+"),
)


@registry.dataset(
    "ucsd_ped1",
    config=with_defaults(
        DatasetConfig, "UCSD ped1: one scene, grey frames. Card: datasets/ucsd.md", root="datasets/ucsd"
    ),
)
@registry.dataset(
    "ucsd_ped2",
    config=with_defaults(
        DatasetConfig, "UCSD ped2: one scene, grey frames. Card: datasets/ucsd.md", root="datasets/ucsd"
    ),
)
def load(config: DatasetConfig) -> Dataset:
    """UCSD Ped1 or Ped2, by ``config.name``; labels from the ``.m`` list, the ``.mat``, or else the masks."""
    number = config.name[-1]
    policy = policy_of(config)
    root = required_root(config.root, config.name, expected_tree(config.name))
    folders = label_roots(config)
    train, test, tree = _splits(root, number, config.name)
    labels, label_source = _labels(folders, number)
    masks = _mask_folders(folders, number)
    said: tuple[str, ...] = ()
    if labels is None:
        label_source = "Test*_gt masks" if masks else "none"
        instead = ": labels come from the masks (any pixel)" if masks else ", and no masks: scores only"
        said = (f"neither UCSDped{number}.m nor ped{number}.mat found{instead}",)
    videos = []
    for path in test:
        video, source = number_id(path.stem), open_source(path, policy)
        mask = ImageMasks(masks[video], policy) if video in masks else None
        if labels is not None:
            known = pick(labels, video, source.n_frames, label_source)
        else:
            known = any_of(mask) if mask is not None and not _is_damaged(mask, policy) else None
        videos.append(Video(video, source, labels=known, masks=mask))
    return Dataset(
        name=config.name,
        train=tuple(Video(number_id(path.stem), open_source(path, policy)) for path in train),
        test=tuple(videos),
        label_source=label_source,
        tree=tree,
        expected=OFFICIAL[config.name],
        warnings=said,
        remarks=said if masks else (),
    )


def _is_damaged(mask: ImageMasks, policy: Policy) -> bool:
    """Return True for masks that will be left out, with a record."""
    return policy.on_fault == "skip" and bool(mask.unsound())


def reference_labels(config: DatasetConfig) -> dict[str, np.ndarray]:
    """Return the official labels of every test clip, of those too whose frames are not there; empty without the
    ``.m``."""
    number = config.name[-1]
    labels, source = _labels(label_roots(config), number)
    if labels is None or not source.endswith(".m"):
        return {}
    lengths = clip_lengths(TIFF_TABLE, "Test") if number == "2" else {f"{i:02d}": 200 for i in range(1, 37)}
    known = {clip: pick(labels, clip, frames, source) for clip, frames in lengths.items()}
    return {clip: values for clip, values in known.items() if values is not None}


def clip_ids(config: DatasetConfig) -> dict[str, list[str]]:
    """Return the official clips of each split."""
    official = OFFICIAL[config.name]
    return {split: [f"{n:02d}" for n in range(1, official[f"{split}_videos"] + 1)] for split in ("train", "test")}


def certified(config: DatasetConfig) -> str | None:
    """One line on how many TIFFs are the official bytes; None where there are none or no list to compare with."""
    found = _base(Path(config.root or "").expanduser(), config.name[-1])
    if found is None or config.name != "ucsd_ped2" or not found[1].startswith("official"):
        return None
    same, differ, absent = certify(found[0], TIFF_TABLE)
    total = same + len(differ) + len(absent)
    line = f"{same:,} of {total:,} official TIFFs are byte for byte the published ones"
    if differ:
        line += f"; {len(differ):,} differ ({', '.join(differ[:3])})"
    return line + (f"; {len(absent):,} are absent ({', '.join(absent[:3])})" if absent else "")


def expected_tree(name: str) -> str:
    """Both trees, for messages."""
    n = name[-1]
    return (
        f"  UCSD_Anomaly_Dataset.v1p2/UCSDped{n}/            the official tree\n"
        "    Train/Train001/001.tif ...\n"
        f"    Test/UCSDped{n}.m, Test001/001.tif ..., Test001_gt/001.bmp ...\n"
        f"  or ped{n}/                                        the redistribution\n"
        "    training/frames/01/000.jpg ...\n"
        "    testing/frames/01/000.jpg ...\n"
        f"    ped{n}.mat"
    )


def _splits(root: Path, number: str, name: str) -> tuple[list[Path], list[Path], str]:
    """Return the clips' folders of the first tree that holds frames, and which tree it is."""
    found = _base(root, number)
    other = _other(number)
    if found is None and _base(root, other):
        raise DataError(f"dataset.root={root}: this is UCSD Ped{other}. Use dataset=ucsd_ped{other}.")
    if found is None:
        raise not_recognised(root, name, expected_tree(name), _is_base)
    base, tree, splits, clips = found
    if find_folder(base, lambda f: any(f.glob(f"*ped{other}.m*")), depth=1):
        raise DataError(f"dataset.root={root}: this is UCSD Ped{other}. Use dataset=ucsd_ped{other}.")
    folders = [find_split(base, names, clips) for names in splits]
    train, test = (list(video_entries(folder, clips)) if folder else [] for folder in folders)
    kind = next((_first_suffix(path) for path in [*train, *test]), "")
    return train, test, f"{tree} ({kind})"


def _base(root: Path, number: str) -> tuple[Path, str, tuple[tuple[str, ...], ...], str] | None:
    """Return the folder that holds the splits, with its entry of the table of trees. The official tree goes first."""
    for tree, splits, clips in _TREES:
        base = _find(root, number, partial(_holds, splits, clips))
        if base is not None:
            return base, tree, splits, clips
    return None


def _holds(splits: tuple[tuple[str, ...], ...], clips: str, folder: Path) -> bool:
    return any(find_split(folder, names, clips) for names in splits)


def _is_base(folder: Path) -> bool:
    """Return True where the clips of either set are."""
    return any(_holds(splits, clips, folder) for _, splits, clips in _TREES)


def _find(root: Path, number: str, accept: Callable[[Path], bool]) -> Path | None:
    """Return the nearest folder that ``accept`` takes, leaving out those that are of the other set by their name."""
    return find_folder(root, accept, enter=lambda folder: _may_be(folder, number))


def _may_be(folder: Path, number: str) -> bool:
    """Return False for a folder whose name speaks of the other set only."""
    name = folder.name.lower()
    return f"ped{number}" in name or f"ped{_other(number)}" not in name


def _other(number: str) -> str:
    return "2" if number == "1" else "1"


def _first_suffix(folder: Path) -> str:
    return list_images(folder)[0][0].suffix.lower() if folder.is_dir() else folder.suffix.lower()


def _labels(folders: list[Path], number: str) -> tuple[Sequence[Ranges] | Mapping[str, np.ndarray] | None, str]:
    """Return the label list and the file that it came from: the official ``.m`` before the redistributed ``.mat``."""
    for names in ((f"UCSDped{number}.m", f"Test/UCSDped{number}.m"), (f"ped{number}.mat",)):
        for folder in folders:
            for path in _files(folder, *names):
                return read_m(path) if path.suffix == ".m" else read_mat(path), path.name
    return None, "none"


def _files(root: Path, *names: str) -> list[Path]:
    """Return the nearest file of each of ``names`` at or below ``root``."""
    for name in names:
        folder = find_folder(root, lambda f: (f / name).is_file())  # noqa: B023
        if folder:
            return [folder / name]
    return []


def _mask_folders(folders: list[Path], number: str) -> dict[str, Path]:
    """Clip to its folder of masks, ``Test001_gt``."""
    for root in folders:
        base = _find(root, number, lambda f: any(f.glob("Test*_gt")))
        if base:
            return {number_id(p.name): p for p in sorted(base.glob("Test*_gt")) if p.is_dir()}
    return {}
