"""All that is known of your own test videos: labels, masks and tracks found by where they lie, fitted to each video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vadbench.data.datasets.folder_layout import is_stray, show_tree
from vadbench.data.labels import label_files
from vadbench.data.labels.frame_labels import Listed
from vadbench.data.labels.label_files import LabelFiles, read_labels
from vadbench.data.labels.label_names import Names, training_video
from vadbench.data.labels.reconcile import lost_inside
from vadbench.data.labels.track_files import Boxes, no_boxes, read_tracks
from vadbench.data.readers.image_folder import holds_images, list_images, natural_key
from vadbench.data.readers.masks import ImageMasks, StackMasks, any_of, mask_size
from vadbench.data.readers.mat_masks import MatMasks
from vadbench.data.readers.source import Policy, TooLarge, policy_of
from vadbench.data.video import MaskSource, Video
from vadbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from vadbench.data.datasets.folder import FolderConfig

_READ = ("labels", *(f"labels{suffix}" for suffix in label_files.SUFFIXES))


@dataclass
class Annotations:
    """What was found for the test videos.

    Attributes
    ----------
    unlisted: whether a video that a table of intervals, or of boxes where the labels come from those, does not name is
        unknown or normal.
    labels, masks, tracks: by video id; None where there are none of the kind at all.
    masks: path and source. tracks_source: name of the file or folder of tracks.
    warnings: what a reader should know.
    """

    unlisted: Literal["unknown", "normal"]
    labels: LabelFiles | None = None
    masks: dict[str, tuple[Path, MaskSource]] = field(default_factory=dict)
    tracks: dict[str, Boxes] | None = None
    tracks_source: str = ""
    warnings: list[str] = field(default_factory=list)


def find_annotations(
    base: Path, labels: Path | None, names: Names, only: str | None, config: FolderConfig
) -> Annotations:
    """Everything in ``base``: ``labels.csv`` (npy, txt) or ``labels/``, ``masks/``, ``tracks.csv`` or ``tracks/``.

    ``labels``: where the frame labels are instead. ``only``: the id of the test video if there is but one.
    """
    found = Annotations(config.unlisted)
    one_based = config.intervals == "from_1_inclusive"
    labels = labels or _one_of([base / name for name in _READ])
    if labels is not None:
        found.labels = read_labels(labels, names, one_based, only, found.warnings)
    if config.labels is None:
        found.warnings += _unread(base, config)
    if (base / "masks").is_dir():
        found.masks = _masks(base / "masks", names, policy_of(config), found.warnings)
    tracks = _one_of([base / "tracks", base / "tracks.csv"])
    if tracks is not None:
        found.tracks, found.tracks_source = read_tracks(tracks, names, found.warnings), tracks.name
    return found


def _unread(base: Path, config: FolderConfig) -> list[str]:
    """Files that are called like labels, beside the labels or beside the videos, and are of no form that is read."""
    folders = dict.fromkeys([base, Path(config.root or base).expanduser()])
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    return [
        f"{path}: it is not read. Frame labels are read from {', '.join(_READ[1:])} or a folder labels/ in {base}"
        for path in paths
        if path.stem.casefold() in ("label", "labels") and not (path.parent == base and path.name in _READ)
    ]


def _one_of(paths: list[Path]) -> Path | None:
    """Return the one of ``paths`` that exists; two are an error."""
    there = [path for path in paths if path.exists()]
    if len(there) > 1:
        raise DataError(f"{there[0]} and {there[1]} are both there, and only one is read. Remove one.")
    return there[0] if there else None


def _masks(folder: Path, names: Names, policy: Policy, warnings: list[str]) -> dict[str, tuple[Path, MaskSource]]:
    """Masks by test video: a folder of images, a .npy or a .mat stack, each named after its video."""
    read: dict[str, Callable[[Path], MaskSource]] = {".npy": StackMasks, ".mat": MatMasks}
    found: dict[str, tuple[Path, MaskSource]] = {}
    others, lossy = [], []
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if is_stray(path.name):
            continue
        if not path.is_dir() and path.suffix.lower() not in read:
            others.append(path.name)
            continue
        name = path.name if path.is_dir() else path.stem
        video = names.find(name, str(path))
        if video is None:
            raise training_video(str(path), name)
        if video in found:
            raise DataError(f"{found[video][0]} and {path} are both masks of {video!r}. Remove one.")
        if path.is_dir() and not holds_images(path):
            raise DataError(f"{path}: no mask images in it. It holds:\n{show_tree(path)}")
        if path.is_dir() and list_images(path, (".jpg", ".jpeg"))[0]:
            lossy.append(path.name)
        found[video] = (path, ImageMasks(path, policy) if path.is_dir() else read[path.suffix.lower()](path))
    if others:
        warnings.append(f"{folder}: left out: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}")
    if lossy:
        warnings.append(f"{folder}: JPEG masks ({', '.join(lossy)}) mark what their compression blurs too; use PNG")
    return found


def remarks(found: Annotations, videos: Sequence[Video]) -> list[str]:
    """Say that nothing is known, or which of the annotated ``videos`` a table of all anomalies has no row of."""
    if found.labels is None and not found.masks and found.tracks is None:
        return ["no labels, masks or tracks: scores only, no metrics"]
    if found.labels is not None and found.labels.intervals:
        table, named, row = found.labels.path.name, {*found.labels.by_video, *found.masks}, "a row '{},,' or "
    elif found.labels is None and found.tracks is not None:
        table, named, row = found.tracks_source, {*found.tracks, *found.masks}, ""
    else:
        return []
    left = [video.id for video in videos if video.id not in named]
    unknown = [video.id for video in videos if video.labels is None]
    if left and found.unlisted == "normal":
        return [f"{table} has no row of {_some(left)}: all frames there count as normal (dataset.unlisted=normal)"]
    if unknown:
        row = row.format(unknown[0])
        return [f"{table} has no row of {_some(unknown)}. If all is normal there, say so: {row}dataset.unlisted=normal"]
    return []


def annotate(video: Video, found: Annotations, policy: Policy) -> tuple[Video, str]:
    """``video`` with its labels, masks and tracks, and where the labels came from (``"none"``).

    Labels come from label files, else from masks (any pixel), else from boxes (any). What does not fit the video is a
    DataError that names both; under the policy ``skip`` it is cut to fit and added to ``found.warnings``.
    """
    name = getattr(video.source, "name", video.id)
    masks = found.masks.get(video.id)
    if found.labels is None and masks is None and found.tracks is None:
        return video, "none"
    try:
        n_frames, size = video.n_frames, video.size
    except TooLarge:
        raise
    except DataError:
        if policy.on_fault == "error":
            raise
        return video, "none"  # it will be left out, with a record
    lost = lost_inside(video, _lengths(video.id, n_frames, found)) if policy.on_fault == "skip" else None
    if lost is not None:
        found.warnings.append(lost)
        return video, "none"
    if masks is not None:
        _check_masks(*masks, n_frames, size, name, policy)
    tracks = _tracks(video.id, found, n_frames, size, name, policy)
    labels, source = _labels(video.id, found, n_frames, name, policy)
    if labels is None and masks is not None:
        labels, source = any_of(masks[1]), "masks"
        _check_named(video.id, masks[0], labels, found, policy)
    elif labels is None and tracks is not None and (video.id in (found.tracks or ()) or found.unlisted == "normal"):
        labels, source = np.isin(np.arange(n_frames), tracks["frame"]), found.tracks_source
    return Video(video.id, video.source, labels, None if masks is None else masks[1], tracks), source


def _lengths(video: str, n_frames: int, found: Annotations) -> list[int]:
    """Return the numbers of frames that the labels and masks of a video count; intervals say one where they end
    beyond it."""
    counted = []
    labels = found.labels.by_video.get(video) if found.labels is not None else None
    if isinstance(labels, Listed):
        counted.append(len(labels.values))
    elif labels is not None and labels.spans and labels.spans[-1][2] > n_frames:
        counted.append(labels.spans[-1][2])
    return counted + ([len(found.masks[video][1])] if video in found.masks else [])


def _labels(video: str, found: Annotations, n_frames: int, name: str, policy: Policy) -> tuple[np.ndarray | None, str]:
    if found.labels is None:
        return None, "none"
    of_video = found.labels.by_video.get(video)
    if of_video is None:
        normal = found.labels.intervals and found.unlisted == "normal" and video not in found.masks
        return (np.zeros(n_frames, bool), found.labels.source) if normal else (None, "none")
    labels, complaint = of_video.fit(n_frames, name)
    _complain(complaint, "labels are matched from the first frame, frames beyond them are normal", policy, found)
    return labels, found.labels.source


def _check_named(video: str, path: Path, labels: np.ndarray, found: Annotations, policy: Policy) -> None:
    """Masks that mark something in a video contradict a table by which it is normal, since it is not in it."""
    if found.labels is not None and found.labels.intervals and found.unlisted == "normal" and labels.any():
        first = int(labels.argmax())
        complaint = (
            f"{path}: frame {first} of {video!r} is marked, but {found.labels.path} has no interval of that video"
        )
        _complain(complaint, "the masks count", policy, found)


def _tracks(
    video: str, found: Annotations, n_frames: int, size: tuple[int, int], name: str, policy: Policy
) -> pd.DataFrame | None:
    if found.tracks is None:
        return None
    if video not in found.tracks:
        return no_boxes()
    tracks, complaint = found.tracks[video].fit(n_frames, size, name)
    _complain(complaint, "such boxes are left out", policy, found)
    return tracks


def _check_masks(
    path: Path, masks: MaskSource, n_frames: int, size: tuple[int, int], name: str, policy: Policy
) -> None:
    """Name both files where masks do not fit; under ``skip`` that is left to what is done for all datasets alike."""
    found = mask_size(masks)
    if policy.on_fault == "error" and len(masks) != n_frames:
        raise DataError(f"{path}: {len(masks)} masks for the {n_frames} frames of {name}. {_SKIP}")
    if policy.on_fault == "error" and found != size:
        shown = f"{found[1]} x {found[0]}" if found else "empty"
        raise DataError(f"{path}: the masks are {shown}, the frames of {name} {size[1]} x {size[0]}. {_SKIP}")


_SKIP = "Mend it, or set dataset.on_fault=skip to go on with that recorded."


def _complain(complaint: str | None, instead: str, policy: Policy, found: Annotations) -> None:
    if complaint is None:
        return
    if policy.on_fault == "error":
        raise DataError(f"{complaint}. {_SKIP}")
    found.warnings.append(f"{complaint}; {instead}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
