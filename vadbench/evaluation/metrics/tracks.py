"""Ground truth of regions and tracks: from the two public file formats, or derived from masks.

Boxes of files are kept as they are written: x2 and y2 are the last pixels, which is what ``inclusive_pixels=True`` of
:func:`vadbench.evaluation.rbdc_tbdc` means. :func:`to_edges` turns them into exclusive edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from vadbench.errors import DataError
from vadbench.evaluation.metrics.components import RegionLabels
from vadbench.evaluation.metrics.maps import FrameArrays, as_mask

COLUMNS = ["video", "frame", "track", "x1", "y1", "x2", "y2"]


def read_tracks(path: str | Path, video: str | None = None) -> pd.DataFrame:
    """One track file, or a folder of them, as a table with :data:`COLUMNS` (frames from 0, inclusive corners).

    Two formats, told apart by the comma:

    - ``track,frame,x_min,y_min,x_max,y_max`` with integers and frames from 0 (the AED authors' ShanghaiTech, Subway);
    - ``<frame file name> <track> <cx> <cy> <w> <h>`` with blanks, floats and frames from 1 in the file name
      (Ramachandra and Jones: Ped1, Ped2, Avenue, Street Scene). The box is (cx − w/2, cy − h/2) with w·h pixels.

    ``video``: the id of a single file; by default its stem without ``_gt``. In a folder every
    .txt is read but readme and licence.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(f for f in path.glob("*.txt") if not f.stem.lower().startswith(("readme", "licen")))
        if not files:
            raise DataError(f"No track files (*.txt) in {path}.")
        return pd.concat([read_tracks(file) for file in files], ignore_index=True)
    if not path.is_file():
        raise DataError(f"No track file {path}.")
    name = video if video is not None else path.stem.removesuffix("_gt")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    rows = [_row(line, path, number) for number, line in enumerate(lines, 1) if line]
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    table.insert(0, "video", name)
    return table.astype({"frame": np.int64, "track": np.int64, **dict.fromkeys(COLUMNS[3:], np.float64)})


def tracks_from_masks(masks_by_video: Mapping[str, FrameArrays]) -> pd.DataFrame:
    """Derive tracks: every 26-connected region of space and time is one track, with one box a frame around all of it.

    Free of parameters and deterministic, but not a person's annotation: two people who cross become one track, an
    occlusion splits one. Such a TBDC does not stand beside one from annotated tracks. Columns as :func:`read_tracks`.
    """
    tables = [pd.DataFrame(columns=COLUMNS)]
    for video, masks in masks_by_video.items():
        labels = RegionLabels("3d")
        boxes: list[tuple[int, int, int, int, int, int]] = []
        for t in range(len(masks)):
            numbers, (rows, columns) = labels.add(as_mask(masks[t], video, t))
            if not numbers.any():
                continue
            before = int(numbers[numbers > 0].min()) - 1
            for i, (y, x) in enumerate(ndimage.find_objects(np.where(numbers > 0, numbers - before, 0)), 1):
                left, top = x.start + columns.start, y.start + rows.start
                right, bottom = x.stop + columns.start, y.stop + rows.start
                boxes.append((t, before + i, left, top, right - 1, bottom - 1))
        table = pd.DataFrame(boxes, columns=COLUMNS[1:])
        table["track"] = labels.roots()[table["track"].to_numpy(dtype=np.int64)]
        table["track"] = pd.factorize(table["track"])[0]
        merged = table.groupby(["frame", "track"], as_index=False).agg(
            {"x1": "min", "y1": "min", "x2": "max", "y2": "max"}
        )
        merged.insert(0, "video", video)
        tables.append(merged)
    kept = [table for table in tables[1:] if len(table)] or tables[:1]
    table = pd.concat(kept, ignore_index=True)
    return table.astype({"frame": np.int64, "track": np.int64, **dict.fromkeys(COLUMNS[3:], np.float64)})


def to_edges(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same boxes with x2, y2 as exclusive edges (one more), for ``inclusive_pixels=False``."""
    return table.assign(x2=table["x2"] + 1, y2=table["y2"] + 1)


def _row(line: str, path: Path, number: int) -> tuple[int, int, float, float, float, float]:
    """frame, track and box of one line; DataError naming file and line."""
    try:
        if "," in line:
            track, frame, x1, y1, x2, y2 = (float(part) for part in line.split(","))
            return int(frame), int(track), x1, y1, x2, y2
        name, track_text, *box = line.split()
        cx, cy, w, h = (float(part) for part in box)
        digits = "".join(c if c.isdigit() else " " for c in Path(name).stem).split()
        x1, y1 = cx - w / 2, cy - h / 2
        return int(digits[-1]) - 1, int(float(track_text)), x1, y1, x1 + w - 1, y1 + h - 1
    except (ValueError, IndexError):
        raise DataError(
            f"{path}, line {number}: {line!r} is neither 'track,frame,x_min,y_min,x_max,y_max' nor "
            "'<frame file name> <track> <cx> <cy> <w> <h>'."
        ) from None
