"""Scores and labels of anybody's method from files: tables, npz, folders of npy, flat lists. Nothing is executed.

Shape legend: T frames of a video, N frames of all videos end to end.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vadbench.data.datasets.folder_layout import number_id, show_tree
from vadbench.data.datasets.known_labels import KnownLabels
from vadbench.data.labels.label_table import number, read_text
from vadbench.data.labels.published import Ranges, read_m, read_mat
from vadbench.data.readers.masks import load_npy
from vadbench.data.readers.mat_masks import MatMasks
from vadbench.errors import DataError, nearest
from vadbench.evaluation.score_files.score_tables import SUFFIXES, numbers, read_frame_table

Column = Literal["score", "label"]


@dataclass(frozen=True)
class Values:
    """One column of numbers as a file holds it: exactly one of the three is set.

    Attributes
    ----------
    by_video: video id to ``(T,)``, with ``frames`` (rising numbers from 0) and ``filled`` (scores that a policy filled
        in), both by video id, if the file says them.
    flat: ``(N,)``, all videos end to end, with the ``lengths`` of the clips if the file says them.
    ranges: the anomalous frames of each clip in order, from 1, both ends included (UCSD's .m and .mat lists).
    """

    source: str
    by_video: dict[str, np.ndarray] | None = None
    frames: dict[str, np.ndarray] | None = None
    filled: dict[str, np.ndarray] | None = None
    flat: np.ndarray | None = None
    lengths: list[int] | None = None
    ranges: list[Ranges] | None = None


def read_values(path: str | Path, column: Column, array: str | None = None) -> Values:
    """Scores or labels from ``path``.

    - .csv or .parquet with columns video, frame and ``column``: by video, in any row order;
    - .npz: one array a video; or a flat array ``scores`` (``labels``) with ``lengths``; or one flat array if it holds
      only one or ``array`` (or ``file.npz:array``) names it;
    - a folder of .npy: one array a video, called like the file; or the folder of a run, for its scores.parquet;
    - a folder of Avenue's masks, 1_label.mat, 2_label.mat, ... (labels only): any pixel, clips named 01, 02, ...;
    - .npy or .txt: a flat array, of shape (N,), (1, N) or (N, 1);
    - .m and .mat (labels only): UCSD's lists of ranges, or a vector for each clip.

    DataError for anything else, for pickles, for repeated or negative frames.
    """
    path = Path(path)
    if not path.exists() and array is None and ":" in path.name:
        path, array = path.with_name(path.name.rpartition(":")[0]), path.name.rpartition(":")[2]
    if not path.exists():
        raise DataError(f"{column}s: there is no {path}.")
    if (path / "scores.parquet").is_file():
        path = path / "scores.parquet"
    if path.is_dir():
        return _folder(path, column)
    kind = path.suffix.lower()
    if kind in SUFFIXES:
        return _table(path, column)
    if kind == ".npz":
        return _npz(path, column, array)
    if kind in (".npy", ".txt"):
        return Values(str(path), flat=_vector(load_npy(path) if kind == ".npy" else _read_text(path), str(path)))
    if kind in (".m", ".mat") and column == "label":
        found = read_m(path) if kind == ".m" else read_mat(path)
        if isinstance(found, dict):
            return Values(str(path), by_video={video: values.astype(np.float64) for video, values in found.items()})
        return Values(str(path), ranges=found)
    more = " A pickle can run code when it is read: save the arrays with numpy.savez." if kind.startswith(".p") else ""
    raise DataError(f"{path}: {column}s come as .csv, .parquet, .npz, .npy, .txt or a folder of .npy.{more}")


def has_labels(path: str | Path) -> bool:
    """Return True if a score table has a column of labels as well, as the table of a run has."""
    path = Path(path)
    if (path / "scores.parquet").is_file():
        path = path / "scores.parquet"
    return path.suffix.lower() in SUFFIXES and "label" in read_frame_table(path, rows=0).columns


def natural(name: str) -> tuple[Any, ...]:
    """Return a key that sorts clip 2 before clip 10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def _table(path: Path, column: Column) -> Values:
    table = read_frame_table(path)
    for name in ("video", "frame", column):
        if name not in table.columns:
            raise DataError(f"{path}: it has no column {name!r}. {nearest(name, table.columns)}")
    if table.empty:
        raise DataError(f"{path}: it has no rows below its header.")
    frame, values = numbers(table, "frame", path), numbers(table, column, path)
    if column == "label" and np.isnan(values).any():
        raise DataError(f"{path}: {int(np.isnan(values).sum())} labels are unknown (empty).")
    wrong = (frame % 1 != 0) | (frame < 0)
    if wrong.any():
        raise DataError(f"{path}: frames must be whole numbers from 0; there is {frame[wrong][0]}.")
    table = table.assign(video=table["video"].astype(str), frame=frame.astype(np.int64), **{column: values})
    twice = table.duplicated(["video", "frame"])
    if twice.any():
        row = table[twice].iloc[0]
        raise DataError(f"{path}: frame {row['frame']} of video {row['video']!r} is there twice.")
    table = table.sort_values(["video", "frame"])
    parts = {str(video): rows for video, rows in table.groupby("video", sort=False)}
    ordered = sorted(parts, key=natural)
    return Values(
        str(path),
        by_video={video: parts[video][column].to_numpy(dtype=np.float64) for video in ordered},
        frames={video: parts[video]["frame"].to_numpy(dtype=np.int64) for video in ordered},
        filled={video: parts[video]["filled"].to_numpy(dtype=bool) for video in ordered} if "filled" in table else None,
    )


def _npz(path: Path, column: Column, array: str | None) -> Values:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            if array is not None and array not in names:
                raise DataError(f"{path}: there is no array {array!r} in it. {nearest(array, names)}")
            arrays = {name: archive[name] for name in ([array] if array else names)}
    except (EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: it can't be read as .npz: {error}.") from None
    except ValueError as error:
        raise DataError(
            f"{path}: {error}. Pickled arrays can run code when they are read; save plain numbers with numpy.savez."
        ) from None
    if not arrays:
        raise DataError(f"{path}: it holds no arrays.")
    vectors = {name: _vector(values, f"{path}: {name}") for name, values in arrays.items()}
    named = [name for name in (column, f"{column}s") if name in vectors]
    if named and "lengths" in vectors:
        return Values(f"{path}:{named[0]}", flat=vectors[named[0]], lengths=[int(n) for n in vectors["lengths"]])
    if len(vectors) == 1:
        name, values = next(iter(vectors.items()))
        return Values(f"{path}:{name}", flat=values)
    return Values(str(path), by_video={name: vectors[name] for name in sorted(vectors, key=natural)})


def _read_text(path: Path) -> np.ndarray:
    """Return the numbers of a text file; what follows ``#`` is a comment."""
    values = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        cells = re.split(r"[\s,;]+", text.partition("#")[0].strip())
        values += [number(cell, f"{path}, line {line}", "a value") for cell in cells if cell]
    return np.array(values, dtype=np.float64)


def _folder(path: Path, column: Column) -> Values:
    files = sorted((f for f in path.glob("*.npy") if f.is_file()), key=lambda file: natural(file.stem))
    if files:
        return Values(str(path), by_video={file.stem: _vector(load_npy(file), str(file)) for file in files})
    masks = sorted(path.glob("*_label.mat"), key=lambda file: natural(file.stem)) if column == "label" else []
    if masks:
        known = KnownLabels("avenue")
        labels = {number_id(file.stem): MatMasks(file, "volLabel", known.of(file)).any() for file in masks}
        return Values(str(path), by_video={clip: values.astype(np.float64) for clip, values in labels.items()})
    forms = "one .npy a video" + (", or Avenue's masks (N_label.mat)" if column == "label" else "")
    raise DataError(f"{path}: no .npy files in it; {column}s in a folder are {forms}. It holds:\n{show_tree(path)}")


def _vector(values: np.ndarray, where: str) -> np.ndarray:
    """``float64 (N,)`` from numbers of shape (N,), (1, N) or (N, 1)."""
    if values.dtype.kind not in "fiub" or values.ndim > 2 or (values.ndim == 2 and 1 not in values.shape):
        raise DataError(f"{where}: one number a frame is wanted, not shape {values.shape} of type {values.dtype}.")
    if not values.size:
        raise DataError(f"{where}: it holds no numbers.")
    return np.array(values, dtype=np.float64).ravel()
