"""Official frame labels: by a label file's SHA-256, so that a start need not inflate it, and by dataset and clip."""

from __future__ import annotations

import functools
import lzma
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from vadbench.data.labels.published import from_ranges
from vadbench.files import digest_of


class KnownLabels:
    """The table ``<name>_labels.tsv.xz`` beside this module: sha256, number of frames, anomalous ranges from 1.

    A file that is not in it, changed by a single byte, is read for itself.
    """

    def __init__(self, name: str) -> None:
        self._table = _table(name)

    def of(self, path: Path) -> np.ndarray | None:
        """``bool (T,)`` of an official file, or None for any other."""
        return self._table.get(digest_of(path))


@functools.cache
def _table(name: str) -> dict[str, np.ndarray]:
    return {digest: _labels(ranges, int(frames), name) for digest, frames, ranges in _rows(f"{name}_labels")}


def _rows(table: str) -> list[list[str]]:
    packed = resources.files("vadbench.data.datasets").joinpath(f"{table}.tsv.xz").read_bytes()
    return [line.split("\t") for line in lzma.decompress(packed).decode().splitlines()[1:]]


def _labels(ranges: str, frames: int, where: str) -> np.ndarray:
    pairs = [part.split("-") for part in ranges.split(",") if part]
    return from_ranges([(int(first), int(last)) for first, last in pairs], frames, where)


def official_labels(dataset: str) -> dict[str, np.ndarray]:
    """Clip to ``bool (T,)``, the official frame labels of a dataset by name; empty where none are known.

    The table ``official_labels.tsv.xz`` beside this module: dataset, clip, number of frames, anomalous ranges from 1.
    """
    return _official().get({"avenue17": "avenue"}.get(dataset, dataset), {})


def edited(dataset: str, labels: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Clip to the number of frames whose label is not the official one; clips of other lengths are left out."""
    official = official_labels(dataset)
    pairs = {clip: (given, official[clip]) for clip, given in labels.items() if clip in official}
    found = {clip: int((given != own).sum()) for clip, (given, own) in pairs.items() if len(given) == len(own)}
    return {clip: count for clip, count in found.items() if count}


@functools.cache
def _official() -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for dataset, clip, frames, ranges in _rows("official_labels"):
        found.setdefault(dataset, {})[clip] = _labels(ranges, int(frames), clip)
    return found
