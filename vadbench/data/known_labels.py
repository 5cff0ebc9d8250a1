"""Frame labels of official label files, known by the file's SHA-256, so that a start need not inflate them."""

from __future__ import annotations

import functools
import hashlib
import lzma
from importlib import resources
from pathlib import Path

import numpy as np

from vadbench.data.ground_truth import from_ranges


class KnownLabels:
    """The table ``<name>_labels.tsv.xz`` beside this module: sha256, number of frames, anomalous ranges from 1.

    A file that is not in it, changed by a single byte, is read for itself.
    """

    def __init__(self, name: str) -> None:
        self._table = _table(name)

    def of(self, path: Path) -> np.ndarray | None:
        """``bool (T,)`` of an official file, or None for any other."""
        return self._table.get(hashlib.sha256(path.read_bytes()).hexdigest())


@functools.cache
def _table(name: str) -> dict[str, np.ndarray]:
    packed = resources.files("vadbench.data").joinpath(f"{name}_labels.tsv.xz").read_bytes()
    table = {}
    for line in lzma.decompress(packed).decode().splitlines()[1:]:
        digest, frames, ranges = line.split("\t")
        pairs = [tuple(map(int, part.split("-"))) for part in ranges.split(",") if part]
        table[digest] = from_ranges([(first, last) for first, last in pairs], int(frames), name)
    return table


def as_table(labels: dict[str, np.ndarray]) -> bytes:
    """The packed table of file digest to ``bool (T,)``; how the tables in this folder were made."""
    lines = ["sha256\tframes\tanomalous"]
    for digest, values in labels.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(np.int8), [0]])))
        ranges = ",".join(f"{first + 1}-{last}" for first, last in zip(edges[::2], edges[1::2], strict=True))
        lines.append(f"{digest}\t{len(values)}\t{ranges}")
    return lzma.compress(("\n".join(lines) + "\n").encode(), preset=9)
