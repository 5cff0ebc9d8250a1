"""Finds the frame labels of your own videos in a file for all of them, or in a folder with a file for each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vadbench.data.datasets.folder_layout import is_stray
from vadbench.data.labels.frame_labels import FrameLabels, Intervals, Listed, by_frame, listed, spans
from vadbench.data.labels.label_names import Names, training_video
from vadbench.data.labels.label_table import Table, is_label, read_rows, read_table, read_text, unknown_columns
from vadbench.data.labels.published import read_npy
from vadbench.data.readers.image_folder import natural_key
from vadbench.errors import DataError

SUFFIXES = (".csv", ".npy", ".txt")

_Row = tuple[int, str, str]  # line, and the text of two cells
_OF_ALL = "video,start,end or video,frame,label"
_OF_ONE = "start,end or frame,label or label"


@dataclass(frozen=True)
class LabelFiles:
    """Labels by test video, the file or folder and its kind, and whether it lists intervals of all videos."""

    by_video: dict[str, FrameLabels]
    path: Path
    source: str
    intervals: bool = False


def read_labels(path: Path, names: Names, one_based: bool, only: str | None, left_out: list[str]) -> LabelFiles:
    """Return what ``path``, a file for all videos or a folder with a file for each, says of the test videos.

    Parameters
    ----------
    one_based: intervals count from 1 and include their end, instead of from 0 and without it.
    only: the id of the test video if there is but one; a file may then leave its name out.
    left_out: takes a line on what in a folder is no label file.
    """
    if path.is_dir():
        return _of_folder(path, names, one_based, left_out)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: labels are read from {', '.join(SUFFIXES)} files, or from a folder of them.")
    if path.suffix.lower() == ".csv" and "video" in _header(path):
        table = read_table(path)
        if table.has("start", "end"):
            kind = "intervals from 1, ends included" if one_based else "intervals from 0, half-open"
            return LabelFiles(_intervals(table, names, one_based), path, f"{path.name} ({kind})", intervals=True)
        if table.has("frame", "label"):
            return LabelFiles(_frames(table, names), path, f"{path.name} (a label for every frame)")
        raise unknown_columns(table, _OF_ALL)
    if only is None:
        shown = f" (columns {', '.join(_header(path))})" if path.suffix.lower() == ".csv" else ""
        raise DataError(
            f"{path}: it does not say which video it is about{shown}. Expected: {_OF_ALL}; or put a file for each "
            "video into a folder labels/."
        )
    return LabelFiles({only: read_one(path, one_based)}, path, path.name)


def read_one(path: Path, one_based: bool, names: Names | None = None) -> FrameLabels:
    """Return the labels of one video from a file of its own; ``names``: for a file that is named after its video."""
    if path.suffix.lower() == ".npy":
        return Listed(path, read_npy(path))
    if path.suffix.lower() == ".txt":
        return listed(path, _words(path))
    rows = read_rows(path)
    if rows and len(rows[0][1]) == 1 and is_label(rows[0][1][0].strip()) is not None:  # it has no header
        return listed(path, ((line, ",".join(row).strip()) for line, row in rows))
    table = read_table(path)
    if names is not None and table.has("video"):
        _check_names(table, names)
    if table.has("start", "end"):
        return Intervals(path, spans(table, ((n, *c) for n, c in _pairs(table, "start", "end")), one_based))
    if table.has("frame", "label"):
        return by_frame(table, ((n, *c) for n, c in _pairs(table, "frame", "label")))
    if table.has("label"):
        return listed(path, ((line, text) for line, [text] in table.cells("label")))
    raise unknown_columns(table, _OF_ONE)


def files_by_video(
    folder: Path, suffixes: tuple[str, ...], names: Names, left_out: list[str]
) -> Iterator[tuple[Path, str | None]]:
    """Each file with one of ``suffixes`` and the test video that it is named after (None: a training video)."""
    others = []
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if is_stray(path.name):
            continue
        if path.is_file() and path.suffix.lower() in suffixes:
            yield path, names.find(path.stem, str(path))
        else:
            others.append(path.name)
    if others:
        left_out.append(f"{folder}: left out: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}")


def _of_folder(folder: Path, names: Names, one_based: bool, left_out: list[str]) -> LabelFiles:
    found: dict[str, FrameLabels] = {}
    for path, video in files_by_video(folder, SUFFIXES, names, left_out):
        read = read_one(path, one_based, names)
        if video is None:
            _check_normal(read, path.stem)
        elif video in found:
            raise DataError(f"{found[video].path} and {path} are both labels of {video!r}. Remove one.")
        else:
            found[video] = read
    if not found:
        raise DataError(f"{folder}: no labels of a test video in it ({', '.join('*' + s for s in SUFFIXES)}).")
    suffixes = sorted({labels.path.suffix.lower() for labels in found.values()})
    return LabelFiles(found, folder, " and ".join(f"{folder.name}/*{suffix}" for suffix in suffixes))


def _check_names(table: Table, names: Names) -> None:
    """Refuse rows of another video than the one that the file is named after."""
    own = names.find(table.path.stem, str(table.path))
    for line, [name] in table.cells("video"):
        if names.find(name, table.at(line)) != own:
            raise DataError(f"{table.at(line)}: a row of {name!r} in the file of {table.path.stem!r}.")


def _header(path: Path) -> list[str]:
    rows = read_rows(path)
    return [cell.strip().lower() for cell in rows[0][1]] if rows else []


def _words(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each value of a text file; what follows ``#`` is a comment."""
    for line, text in enumerate(read_text(path).splitlines(), 1):
        yield from ((line, word) for word in re.split(r"[\s,;]+", text.partition("#")[0]) if word)


def _pairs(table: Table, first: str, second: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for line, [one, other] in table.cells(first, second):
        yield line, (one, other)


def _by_video(table: Table, names: Names, first: str, second: str) -> dict[tuple[str, str | None], list[_Row]]:
    """Return the rows (line, text, text) of each video, under the name that its first row gives and its id."""
    called: dict[str, str | None] = {}
    grouped: dict[str | None, tuple[str, list[_Row]]] = {}
    training: dict[str, list[_Row]] = defaultdict(list)
    for line, [name, one, other] in table.cells("video", first, second):
        if name not in called:
            called[name] = names.find(name, table.at(line))
        video = called[name]
        rows = training[name] if video is None else grouped.setdefault(video, (name, []))[1]
        rows.append((line, one, other))
    of_tests = {(name, video): rows for video, (name, rows) in grouped.items()}
    return {**of_tests, **{(name, None): rows for name, rows in training.items()}}


def _intervals(table: Table, names: Names, one_based: bool) -> dict[str, FrameLabels]:
    grouped = _by_video(table, names, "start", "end")
    return _of_tests({key: Intervals(table.path, spans(table, rows, one_based)) for key, rows in grouped.items()})


def _frames(table: Table, names: Names) -> dict[str, FrameLabels]:
    return _of_tests({key: by_frame(table, rows) for key, rows in _by_video(table, names, "frame", "label").items()})


def _of_tests(found: dict[tuple[str, str | None], FrameLabels]) -> dict[str, FrameLabels]:
    """Those of the test videos; those of training videos must mark nothing."""
    for (name, video), labels in found.items():
        if video is None:
            _check_normal(labels, name)
    return {video: labels for (_, video), labels in found.items() if video is not None}


def _check_normal(labels: FrameLabels, name: str) -> None:
    if labels.first_anomaly:
        raise training_video(labels.first_anomaly, name)
