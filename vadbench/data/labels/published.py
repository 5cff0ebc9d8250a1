"""Frame labels from the files that datasets and papers ship: MATLAB lists, .mat ranges, .npy vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vadbench.data.readers.masks import load_npy
from vadbench.data.readers.mat_file import read_variables
from vadbench.errors import DataError

Ranges = list[tuple[int, int]]
"""Anomalous frames as first and last number, counted from 1, both included."""


def read_m(path: Path) -> list[Ranges]:
    """Return the ranges of each clip in a UCSD ``.m`` list, in clip order; a line may hold several."""
    text = path.read_text(encoding="utf-8", errors="replace")
    clips = [
        [(int(first), int(last)) for first, last in re.findall(r"(\d+)\s*:\s*(\d+)", line)]
        for line in re.findall(r"^[^%\n]*gt_frame\s*=\s*\[(.*?)\]", text, flags=re.MULTILINE)
    ]
    if not clips:
        raise DataError(f"{path}: no lines of the form 'TestVideoFile{{end+1}}.gt_frame = [61:180];' in it.")
    return clips


def read_mat(path: Path) -> list[Ranges] | dict[str, np.ndarray]:
    """Return a redistributed label .mat in either of its forms.

    Returns the ranges of each clip (a cell ``gt`` of 2 x n matrices: first and last frames from 1), or clip to
    ``bool (T,)`` (a vector of 0 and 1 under each clip's number).
    """
    values = read_variables(path)
    cell = values.get("gt")
    if isinstance(cell, list):
        return [_columns(path, clip, number) for number, clip in enumerate(cell, 1)]
    vectors = {
        name: value
        for name, value in values.items()
        if name.isdigit() and isinstance(value, np.ndarray) and value.ndim == 2 and 1 in value.shape
    }
    if not vectors:
        raise DataError(f"{path}: neither a cell 'gt' of ranges nor vectors named 01, 02, ... but {sorted(values)}.")
    return {f"{int(name):02d}": as_labels(value, f"{path}: {name}") for name, value in sorted(vectors.items())}


def _columns(path: Path, clip: np.ndarray, number: int) -> Ranges:
    """Return the columns of a 2 x n matrix as ranges; nothing for an empty one."""
    if clip.size == 0:
        return []
    if clip.ndim != 2 or clip.shape[0] != 2:
        raise DataError(f"{path}: clip {number} holds {clip.shape}, not a 2 x n matrix of first and last frames.")
    return [(int(first), int(last)) for first, last in clip.T]


def from_ranges(ranges: Ranges, n_frames: int, where: str) -> np.ndarray:
    """``bool (T,)`` from ranges; T is ``n_frames``, or more where a range reaches beyond, for the caller to notice."""
    labels = np.zeros(max([n_frames, *(last for _, last in ranges)]), bool)
    for first, last in ranges:
        if not 1 <= first <= last:
            raise DataError(f"{where}: {first} to {last} is not a range of frames counted from 1.")
        labels[first - 1 : last] = True
    return labels


def as_labels(values: np.ndarray, where: str) -> np.ndarray:
    """``bool (N,)`` from a vector of 0 and 1 of any number type, shaped (N,), (1, N) or (N, 1)."""
    flat = np.asarray(values)
    if flat.ndim > 2 or (flat.ndim == 2 and 1 not in flat.shape):
        raise DataError(f"{where}: labels must be a vector, not {flat.shape}.")
    flat = flat.ravel()
    if not np.isin(flat, (0, 1)).all():
        raise DataError(f"{where}: labels must be 0 or 1; it holds {np.unique(flat)[:5].tolist()}.")
    return flat.astype(bool)


def read_npy(path: Path) -> np.ndarray:
    """``bool (N,)`` from a label .npy."""
    return as_labels(load_npy(path), str(path))


def split(labels: np.ndarray, lengths: Mapping[str, int]) -> dict[str, np.ndarray] | None:
    """Labels of all clips end to end, cut into clips; None if their number is not the clips' total."""
    if len(labels) != sum(lengths.values()):
        return None
    cuts = np.cumsum(list(lengths.values()))[:-1]
    return dict(zip(lengths, np.split(labels, cuts), strict=True))


def disagreement(path: Path, official: Mapping[str, np.ndarray]) -> str:
    """One line: how a label file that is passed around differs from the official labels, in numbers.

    ``official``: clip to ``bool (T,)``, in clip order. The file may be a .npy vector of all frames end to end (as in
    MNAD's repository), or either form of .mat.
    """
    given, left_out = _clips(path, official)
    if given is None:
        return f"{path.name}: of other clips, its frames are not the {_total(official):,} of these {len(official)}"
    official = {clip: labels[left_out:] for clip, labels in official.items()}
    note = f" (the first {left_out} frames of every clip are left out)" if left_out else ""
    differ = {clip: int((given[clip] != labels).sum()) for clip, labels in official.items()}
    total = sum(differ.values())
    counts = f"{sum(int(g.sum()) for g in given.values()):,} anomalous against {_anomalous(official):,}"
    if total == 0:
        return f"{path.name}: equals the official labels, {counts}{note}"
    inverted = " (it looks inverted: 1 may mean normal)" if total > 0.5 * _total(official) else ""
    worst = ", ".join(f"{clip}: {n}" for clip, n in sorted(differ.items(), key=lambda kv: -kv[1])[:3] if n)
    share = f"{total:,} of {_total(official):,} frames differ ({total / _total(official):.1%})"
    return f"{path.name}: {share}, {counts}; most in {worst}{note}{inverted}"


def _clips(path: Path, official: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray] | None, int]:
    """Return the file's labels by clip, None if it is of other clips, and how many first frames of each clip it
    leaves out."""
    lengths = {clip: len(labels) for clip, labels in official.items()}
    if path.suffix == ".npy":
        labels = read_npy(path)
        left_out = max(0, _total(official) - len(labels)) // max(1, len(lengths))
        if min(lengths.values(), default=0) <= left_out:
            return None, 0
        return split(labels, {clip: n - left_out for clip, n in lengths.items()}), left_out
    found = read_mat(path)
    if isinstance(found, dict):
        return (found if {clip: len(labels) for clip, labels in found.items()} == lengths else None), 0
    if len(found) != len(lengths):
        return None, 0
    given = {
        clip: from_ranges(ranges, n, f"{path}: clip {clip}")
        for (clip, n), ranges in zip(lengths.items(), found, strict=True)
    }
    return (given if all(len(given[clip]) == n for clip, n in lengths.items()) else None), 0


def _total(official: Mapping[str, np.ndarray]) -> int:
    return sum(map(len, official.values()))


def _anomalous(official: Mapping[str, np.ndarray]) -> int:
    return sum(int(labels.sum()) for labels in official.values())


def pick(found: Sequence[Ranges] | Mapping[str, np.ndarray], clip: str, n_frames: int, where: str) -> np.ndarray | None:
    """Return the labels of one numbered clip (``"01"`` is the first), or None if the file has none for it."""
    if isinstance(found, Mapping):
        return found.get(clip)
    place = int(clip) - 1
    return from_ranges(found[place], n_frames, f"{where}: clip {clip}") if place < len(found) else None
