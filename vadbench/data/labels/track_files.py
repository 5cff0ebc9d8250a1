"""Boxes and tracks of your own videos from csv tables: video, frame, track, x1, y1, x2, y2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vadbench.data.labels.label_files import files_by_video
from vadbench.data.labels.label_names import Names, training_video
from vadbench.data.labels.label_table import Table, number, read_table, unknown_columns, whole
from vadbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CORNERS = ("x1", "y1", "x2", "y2")

_EXPECTED = "video,frame,track,x1,y1,x2,y2"
_EXPECTED_OF_ONE = "frame,track,x1,y1,x2,y2"


@dataclass(frozen=True)
class Boxes:
    """The boxes of one video: a table with the columns of ``Video.tracks``, and the line of each row."""

    path: Path
    table: pd.DataFrame
    lines: np.ndarray

    def fit(self, n_frames: int, size: tuple[int, int], video: str) -> tuple[pd.DataFrame, str | None]:
        """Return the boxes inside the video, and what does not fit it, None if all does."""
        late = self.table["frame"].to_numpy() >= n_frames
        outside = late | (self.table["x1"] >= size[1]) | (self.table["y1"] >= size[0])
        outside |= (self.table["x2"] <= 0) | (self.table["y2"] <= 0)
        kept = self.table[~outside].reset_index(drop=True)
        if not outside.any():
            return kept, None
        at = int(np.asarray(outside).argmax())
        row = self.table.iloc[at]
        what = (
            f"frame {row['frame']}"
            if late[at]
            else f"a box at x1={row['x1']}, y1={row['y1']} to x2={row['x2']}, y2={row['y2']}"
        )
        have = f"{n_frames} frames" if late[at] else f"frames of {size[1]} x {size[0]}"
        return kept, f"{self.path}, line {self.lines[at]}: {what}, but {video} has {have}"


def read_tracks(path: Path, names: Names, left_out: list[str]) -> dict[str, Boxes]:
    """Boxes by test video, from one csv or from a folder with a csv for each video.

    A table without a column ``track`` holds boxes that belong to no track: each becomes a track of its own.
    """
    if not path.is_dir():
        return _of_table(read_table(path), names)
    found: dict[str, Boxes] = {}
    for file, video in files_by_video(path, (".csv",), names, left_out):
        table = read_table(file)
        if not table.has("frame", *CORNERS) or table.has("video"):
            raise unknown_columns(table, _EXPECTED_OF_ONE)
        if video is None:
            raise training_video(str(file), file.stem)
        if video in found:
            raise DataError(f"{found[video].path} and {file} are both tracks of {video!r}. Remove one.")
        found[video] = _boxes(table, list(range(len(table.rows))))
    return found


def no_boxes() -> pd.DataFrame:
    """Return the table of a video without any box."""
    import pandas as pd

    return pd.DataFrame({name: np.empty(0, np.int64) for name in ("frame", "track", *CORNERS)})


def _of_table(table: Table, names: Names) -> dict[str, Boxes]:
    if not table.has("video", "frame", *CORNERS):
        raise unknown_columns(table, _EXPECTED)
    called: dict[str, str] = {}
    places: dict[str, list[int]] = {}
    for place, (line, [name]) in enumerate(table.cells("video")):
        if name not in called:
            video = names.find(name, table.at(line))
            if video is None:
                raise training_video(table.at(line), name)
            called[name] = video
        places.setdefault(called[name], []).append(place)
    return {video: _boxes(table, rows) for video, rows in places.items()}


def _boxes(table: Table, places: list[int]) -> Boxes:
    """Return the boxes in some rows of a table, ordered by frame and track."""
    import pandas as pd

    lines = np.array([table.rows[place][0] for place in places], np.int64)
    texts = {
        name: [table.rows[place][1][column].strip() for place in places]
        for column, name in enumerate(table.columns)
        if name not in ("", "video")
    }
    columns: dict[str, object] = {"frame": _whole_column(table, lines, texts, "frame")}
    columns["track"] = _tracks(texts["track"]) if "track" in texts else np.arange(len(lines))
    columns |= {name: _corner(table, lines, texts, name) for name in CORNERS}
    columns |= {name: values for name, values in texts.items() if name not in columns}
    found = pd.DataFrame(columns)
    _check(table, found, lines)
    ordered = found.sort_values(["frame", "track"], kind="stable")
    return Boxes(table.path, ordered.reset_index(drop=True), lines[ordered.index.to_numpy()])


def _whole_column(table: Table, lines: np.ndarray, texts: dict[str, list[str]], name: str) -> np.ndarray:
    return np.array([whole(text, table.at(n), name) for n, text in zip(lines, texts[name], strict=True)], np.int64)


def _corner(table: Table, lines: np.ndarray, texts: dict[str, list[str]], name: str) -> np.ndarray:
    """One coordinate; whole numbers stay whole."""
    values = [number(text, table.at(n), name) for n, text in zip(lines, texts[name], strict=True)]
    whole_ones = all(text.lstrip("+-").isdigit() and len(text) < 16 for text in texts[name])
    return np.array(values, np.int64 if whole_ones else np.float64)


def _tracks(texts: list[str]) -> list[int] | list[str]:
    """Track names; numbers where all of them are."""
    numbers = all(text.isascii() and text.isdigit() and len(text) < 16 for text in texts)
    return [int(text) for text in texts] if numbers else texts


def _check(table: Table, found: pd.DataFrame, lines: np.ndarray) -> None:
    """Negative frames, empty boxes, and two boxes of one track in one frame are errors that name the line."""
    wrong = {
        "the frame is negative; frames count from 0": found["frame"] < 0,
        "the box is empty: x2 must be above x1 and y2 above y1": (found["x2"] <= found["x1"])
        | (found["y2"] <= found["y1"]),
        "the track has no name": found["track"].astype(str) == "",
    }
    for message, rows in wrong.items():
        if rows.any():
            raise DataError(f"{table.at(int(lines[int(np.asarray(rows).argmax())]))}: {message}.")
    again = found.duplicated(["frame", "track"])
    if again.any():
        row = found[again].iloc[0]
        same = lines[((found["frame"] == row["frame"]) & (found["track"] == row["track"])).to_numpy()]
        where, what = table.at(int(same[1])), f"track {row['track']} has a box in frame {row['frame']}"
        raise DataError(f"{where}: {what} in line {same[0]} already.")
