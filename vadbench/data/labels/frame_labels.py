"""What a label file says of one video: one label a frame, or intervals; and whether that fits the video's frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vadbench.data.labels.label_table import Table, label, whole
from vadbench.errors import DataError


@dataclass(frozen=True)
class Intervals:
    """The anomalous stretches of one video as line, first frame and frame after the last, from 0."""

    path: Path
    spans: list[tuple[int, int, int]]

    def fit(self, n_frames: int, video: str) -> tuple[np.ndarray, str | None]:
        """``bool (T,)``, and what does not fit the video, None if all does."""
        labels = np.zeros(n_frames, bool)
        complaint = None
        for line, start, end in self.spans:
            labels[min(start, n_frames) : min(end, n_frames)] = True
            if end > n_frames and complaint is None:
                marked = f"frames {start} to {end - 1} (from 0) are marked"
                complaint = f"{self.path}, line {line}: {marked}, but {video} has {n_frames} frames"
        return labels, complaint

    @property
    def first_anomaly(self) -> str | None:
        """Where the file marks the first frame, None if it marks none."""
        return f"{self.path}, line {self.spans[0][0]}" if self.spans else None


@dataclass(frozen=True)
class Listed:
    """One label a frame of one video, with the line of each where the file has lines."""

    path: Path
    values: np.ndarray
    lines: list[int] | None = None

    def fit(self, n_frames: int, video: str) -> tuple[np.ndarray, str | None]:
        """``bool (T,)``, and what does not fit the video, None if all does."""
        found = len(self.values)
        labels = np.zeros(n_frames, bool)
        labels[: min(found, n_frames)] = self.values[:n_frames]
        if found == n_frames:
            return labels, None
        return labels, f"{self._at(min(found - 1, n_frames))}: {found} labels for the {n_frames} frames of {video}"

    @property
    def first_anomaly(self) -> str | None:
        """Where the file marks the first frame, None if it marks none."""
        return self._at(int(self.values.argmax())) if self.values.any() else None

    def _at(self, frame: int) -> str:
        return f"{self.path}, line {self.lines[frame]}" if self.lines else str(self.path)


FrameLabels = Intervals | Listed


def listed(path: Path, cells: Iterable[tuple[int, str]]) -> Listed:
    """Labels in frame order, from pairs of line and text."""
    pairs = [(line, label(text, f"{path}, line {line}")) for line, text in cells]
    return Listed(path, np.array([value for _, value in pairs], bool), [line for line, _ in pairs])


def by_frame(table: Table, rows: Iterable[tuple[int, str, str]]) -> Listed:
    """Labels from triples of line, frame number and label in any order; every frame from 0 exactly once."""
    seen: dict[int, tuple[int, str]] = {}
    for line, frame_text, text in rows:
        frame = whole(frame_text, table.at(line), "frame")
        if frame < 0:
            raise DataError(f"{table.at(line)}: frame {frame} is negative; frames count from 0.")
        if frame in seen:
            raise DataError(f"{table.at(line)}: frame {frame} has a label in line {seen[frame][0]} already.")
        seen[frame] = (line, text)
    order = sorted(seen)
    gap = next((place for place, frame in enumerate(order) if place != frame), None)
    if gap is not None:
        raise DataError(
            f"{table.at(seen[order[gap]][0])}: frame {order[gap]} is there, but frame {gap} has no label. Label every "
            "frame from 0 on, or give intervals (start,end)."
        )
    return listed(table.path, (seen[frame] for frame in order))


def spans(table: Table, rows: Iterable[tuple[int, str, str]], one_based: bool) -> list[tuple[int, int, int]]:
    """Line, start, end (from 0, half-open) in order of time, from triples of line and texts.

    Two blank cells say that nothing is anomalous. ``one_based``: the texts count from 1 and the end is included.
    """
    found, blank = [], None
    for line, start_text, end_text in rows:
        if not start_text and not end_text:
            blank = line
            continue
        at = table.at(line)
        start, end = whole(start_text, at, "start"), whole(end_text, at, "end")
        if start < one_based:
            raise DataError(f"{at}: start {start} is before the first frame, which is frame {int(one_based)}.")
        if end < start + (not one_based):
            hint = "" if one_based or end < start else "; for intervals that include their end see dataset.intervals"
            raise DataError(f"{at}: the interval from {start} to {end} is empty{hint}.")
        found.append((line, start - one_based, end))
    found.sort(key=lambda span: span[1:])
    for (first, _, end), (second, start, _) in pairwise(found):
        if start < end:
            raise DataError(f"{table.at(max(first, second))}: it overlaps the interval in line {min(first, second)}.")
    if blank is not None and found:
        raise DataError(f"{table.at(blank)}: no interval here, but one in line {found[0][0]}. Remove one of them.")
    return found
