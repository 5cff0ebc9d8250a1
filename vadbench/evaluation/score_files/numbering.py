"""Label tables of intervals and tables that count frames from 1, brought to a label for each frame, from 0.

Shape legend: T frames of a clip.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from vadbench.data.labels.frame_labels import Intervals, spans
from vadbench.data.labels.label_table import Table, read_table
from vadbench.errors import DataError
from vadbench.evaluation.score_files.read import Values


def read_intervals(path: Path, one_based: bool) -> dict[str, Intervals] | None:
    """Return the intervals of each clip in a table video,start,end; None where ``path`` is no such table.

    ``one_based``: frames count from 1 and the end is included, instead of from 0 and without it.
    """
    if path.suffix.lower() != ".csv":
        return None
    table = read_table(path)
    if not table.has("video", "start", "end"):
        return None
    return {video: Intervals(path, spans(table, rows, one_based)) for video, rows in _by_video(table).items()}


def _by_video(table: Table) -> dict[str, list[tuple[int, str, str]]]:
    rows: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for line, [video, start, end] in table.cells("video", "start", "end"):
        rows[video].append((line, start, end))
    return rows


def labels_of_intervals(
    intervals: dict[str, Intervals], scores: Values, one_based: bool, offset: int, notes: list[str]
) -> tuple[Values, Values]:
    """Scores and labels by clip; clips that the table has no row of are left out, as in a dataset of one's own.

    A clip ends with its last score. ``offset``: how many first frames of every clip have no score. ``notes`` takes what
    was assumed.

    Raises
    ------
    DataError: scores that do not say which clip they are of.
    """
    source = next(str(found.path) for found in intervals.values())
    if scores.by_video is None:
        raise DataError(f"{source}: intervals name clips, but {scores.source} is one list. Give scores by clip.")
    if _start(scores) == 1:
        if one_based:
            scores = _from_0(scores, notes)
        else:
            said = f"no clip of {scores.source} has a score for frame 0"
            notes.append(f"{said}; where frames count from 1 say --intervals from_1_inclusive")
    given = scores.by_video or {}
    unlisted = [clip for clip in given if clip not in intervals]
    if unlisted:
        shown = ", ".join(unlisted[:5]) + (", ..." if len(unlisted) > 5 else "")
        instead = f"a row such as '{unlisted[0]},,' says that it is normal"
        notes.append(f"{source} has no row of {shown}: left out; {instead}")
    labels = {clip: np.zeros(0) for clip in intervals}
    for clip, found in intervals.items():
        if clip not in given:
            continue
        n_frames = given[clip].size + offset if scores.frames is None else int(scores.frames[clip][-1]) + 1
        values, complaint = found.fit(n_frames, clip)
        labels[clip] = values.astype(np.float64)
        if complaint:
            notes.append(f"{complaint} with a score; what is beyond them is left out")
    kept = {clip: s for clip, s in given.items() if clip in intervals}
    return replace(scores, by_video=kept), Values(source, by_video=labels)


def counted_from_0(scores: Values, labels: Values, offset: int, notes: list[str]) -> tuple[Values, Values]:
    """Both with frames from 0; tables that count from 1 are recognised where nothing else fits, and noted.

    That is so where both begin with 1, or where one begins with 1 and ends one frame behind the other.
    """
    first_label, first_score = _start(labels), _start(scores)
    if first_label == 1 and first_score != 0:
        return _from_0(scores, notes), _from_0(labels, notes)
    if first_label == 1 and _ends_behind(labels, scores, offset):
        return scores, _from_0(labels, notes)
    if first_score and first_label != 1 and _ends_behind(scores, labels, offset):
        return _from_0(scores, notes), labels
    return scores, labels


def _start(values: Values) -> int | None:
    """Return the lowest frame number, None in a file without numbers."""
    return None if values.frames is None else min(int(frames[0]) for frames in values.frames.values())


def _ends_behind(one: Values, other: Values, offset: int) -> bool:
    """Return whether some clip of ``one`` ends one frame after that of ``other``, and none more than one."""
    assert one.frames is not None
    behind = []
    for clip, frames in one.frames.items():
        if other.by_video is None:  # a flat list is cut by the numbers of scores
            last = frames.size + offset - 1
        elif clip not in other.by_video:
            continue
        else:
            last = int(other.frames[clip][-1]) if other.frames is not None else other.by_video[clip].size - 1
        behind.append(int(frames[-1]) - last)
    return max(behind, default=0) == 1


def _from_0(values: Values, notes: list[str]) -> Values:
    if values.frames is None:
        return values
    note = f"{values.source} counts frames from 1"
    if note not in notes:
        notes.append(note)
    return replace(values, frames={clip: frames - 1 for clip, frames in values.frames.items()})
