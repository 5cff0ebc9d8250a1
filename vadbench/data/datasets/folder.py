"""Your own videos: a folder with train/ and test/, video files and folders of images, and whatever labels there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, setting
from vadbench.config.schema import DatasetConfig
from vadbench.data.datasets.folder_layout import find_folder, is_stray, meant_above, open_source, show_tree
from vadbench.data.labels.annotations import annotate, find_annotations, remarks
from vadbench.data.labels.label_names import Names, plain
from vadbench.data.readers.image import SUFFIXES as IMAGES
from vadbench.data.readers.image_folder import holds_images, natural_key
from vadbench.data.readers.source import Policy, policy_of
from vadbench.data.readers.video_file import SUFFIXES as VIDEOS
from vadbench.data.registry import select
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError

_MORE_VIDEOS = (
    ".264", ".265", ".3g2", ".asf", ".divx", ".dv", ".f4v", ".gif", ".h264", ".h265", ".hevc", ".m1v", ".m2ts", ".m2v",
    ".mjpeg", ".mjpg", ".mpe", ".mpv", ".mts", ".mxf", ".nut", ".ogm", ".qt", ".rm", ".rmvb", ".vob", ".y4m",
)  # fmt: skip

EXPECTED_TREE = """\
  site/
    train/monday.mp4, train/tuesday/000.png ...     videos in which all is normal: files, or folders of images
    test/door.mp4, test/gate/000.png ...
    labels.csv                                      if there are labels: video,start,end or video,frame,label
    labels/door.csv, labels/gate.npy ...            or a file for each video
    masks/door/000.png ..., masks/gate.npy ...      if there are masks
    tracks.csv                                      if there are boxes: video,frame,track,x1,y1,x2,y2"""


@dataclass(config=STRICT, kw_only=True)
class FolderConfig(DatasetConfig):
    """Your own videos: train/ and test/ with video files or folders of images. Card: datasets/folder.md"""

    # Frame labels, if not found beside train and test: a file, or a folder with one for each video.
    labels: str | None = setting(default=None, in_key=False)
    # How start and end of an interval are meant; from_1_inclusive: counted from 1, end included.
    intervals: Literal["from_0_half_open", "from_1_inclusive"] = "from_0_half_open"
    # A test video that a table of intervals or boxes has no row of: not evaluated, or normal throughout. The run's
    # key has the digest of the labels.
    unlisted: Literal["unknown", "normal"] = setting(default="unknown", in_key=False, shown=True)


@registry.dataset("folder", config=FolderConfig)
def load(config: FolderConfig) -> Dataset:
    """Return the videos of ``root/train`` and ``root/test`` with the labels, masks and tracks beside them.

    A video's id is its file's name without suffix, or its folder's name.

    Raises
    ------
    DataError: no such folders, two videos of one name, labels that are malformed or don't fit; each names the files.
    """
    root, policy = _root(config), policy_of(config)
    warnings: list[str] = []
    train, test = _entries(root, "train", warnings), _entries(root, "test", warnings)
    base = _existing(config.masks_root, "masks_root") if config.masks_root else root
    only = next(iter(test)) if len(test) == 1 else None
    found = find_annotations(base, _labels_path(config, base), Names(train, test), only, config)
    videos, sources = [], set()
    for video in select([_video(name, path, policy) for name, path in test.items()], config.test_videos, "test_videos"):
        known, source = annotate(video, found, policy)
        videos.append(known)
        sources.add(source)
    said = tuple(remarks(found, videos))
    return Dataset(
        name=config.name,
        train=tuple(_video(name, path, policy) for name, path in train.items()),
        test=tuple(videos),
        label_source=" and ".join(sorted(sources - {"none"})) or (found.labels.source if found.labels else "none"),
        tree=f"train: {_kinds(train)}; test: {_kinds(test)}",
        warnings=(*warnings, *found.warnings, *said),
        remarks=said,
    )


def _video(name: str, path: Path, policy: Policy) -> Video:
    return Video(name, open_source(path, policy))


def _root(config: FolderConfig) -> Path:
    if config.root is None:
        raise DataError(f"dataset.root is not set. Set it to the folder that holds your videos:\n{EXPECTED_TREE}")
    return _existing(config.root, "root")


def _existing(given: str, key: str) -> Path:
    path = Path(given).expanduser()
    if path.is_dir():
        return path
    near = next((p for p in path.absolute().parents if p.is_dir()), Path())
    raise DataError(
        f"dataset.{key}={given}: no such folder. The nearest one that exists:\n{show_tree(near)}\n"
        f"Expected:\n{EXPECTED_TREE}"
    )


def _labels_path(config: FolderConfig, base: Path) -> Path | None:
    """``dataset.labels``, below the folder of the labels or as it is given."""
    if config.labels is None:
        return None
    given = Path(config.labels).expanduser()
    there = list(dict.fromkeys(path.resolve() for path in (base / given, given) if path.exists()))
    if len(there) > 1:
        raise DataError(f"dataset.labels={config.labels}: {there[0]} and {there[1]} are both there. Give a full path.")
    if not there:
        raise DataError(f"dataset.labels={config.labels}: neither in {base} nor here is there such a file or folder.")
    return there[0]


def _entries(root: Path, split: str, warnings: list[str]) -> dict[str, Path]:
    """Id to path of the videos of a split, in natural order; what is left out goes to ``warnings``."""
    folder = root / split
    if not folder.is_dir():
        raise DataError(
            f"dataset.root={root}: there is no folder {split}/ in it. {_meant(root)}It holds:\n{show_tree(root)}\n"
            f"Expected:\n{EXPECTED_TREE}"
        )
    found: dict[str, Path] = {}
    others = []
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if is_stray(path.name):
            continue
        if path.is_file() and path.suffix.lower() in IMAGES:
            raise DataError(
                f"{path}: an image beside the videos. Put the frames of each video into a folder of their own, such as "
                f"{folder / 'door'}/."
            )
        if not _is_video(path):
            others.append(path.name)
            continue
        name = plain(path.name if path.is_dir() else path.stem)
        if name in found:
            raise DataError(f"{found[name]} and {path} are both called {name!r}. Rename or remove one.")
        found[name] = path
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        warnings.append(f"{folder}: neither video files nor folders of images, left out: {shown}")
    if not found:
        raise DataError(
            f"{folder}: no video files and no folders of images in it. {_too_deep(folder)}"
            f"It holds:\n{show_tree(folder)}\nExpected:\n{EXPECTED_TREE}"
        )
    return found


def _meant(root: Path) -> str:
    """Say which folder was meant instead of ``root``, or how to name the folders in it; empty where nothing fits."""
    below = find_folder(root, _is_site)
    if below is not None:
        return f"Did you mean dataset.root={below}? "
    pairs = [("training", "testing"), ("Train", "Test"), ("Training", "Testing")]
    pair = next((pair for pair in pairs if all((root / name).is_dir() for name in pair)), None)
    if pair is not None:
        return f"Rename {root / pair[0]} to train and {root / pair[1]} to test. "
    return meant_above(root, _is_site)


def _is_site(folder: Path) -> bool:
    return (folder / "train").is_dir() and (folder / "test").is_dir()


_FRAMES = {"frames", "images", "image", "img", "imgs", "rgb", "jpg", "png"}


def _too_deep(split: Path) -> str:
    """Return what to move where if the videos are further down than directly in ``split``; empty where there are
    none."""
    found = find_folder(split, lambda folder: folder != split and any(map(_is_video, _entries_of(folder))), depth=2)
    if found is None:
        return ""
    inner = next(filter(_is_video, _entries_of(found)))
    if inner.is_dir() and inner.name.lower() in _FRAMES:
        return f"The images of a video lie directly in its folder: move those of {inner} to {found}, and so on. "
    return f"The videos lie directly in {split}: move what is in {found} there. "


def _entries_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not is_stray(path.name)]


def _is_video(path: Path) -> bool:
    return holds_images(path) if path.is_dir() else path.suffix.lower() in (*VIDEOS, *_MORE_VIDEOS)


def _kinds(videos: dict[str, Path]) -> str:
    kinds = Counter(path.is_dir() for path in videos.values())
    names = {False: ("video file", "video files"), True: ("folder of images", "folders of images")}
    return ", ".join(f"{count} {names[kind][count > 1]}" for kind, count in sorted(kinds.items()))
