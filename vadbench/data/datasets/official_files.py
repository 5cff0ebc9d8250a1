"""The official files of a dataset by size and SHA-256, so that a copy can be certified as an original one."""

from __future__ import annotations

import functools
import lzma
from collections import Counter
from importlib import resources
from pathlib import Path

from vadbench.files import digest_of


@functools.cache
def official_files(table: str) -> dict[str, tuple[int, str]]:
    """Path below the dataset's folder to (bytes, sha256), from ``<table>.tsv.xz`` beside this module."""
    packed = resources.files("vadbench.data.datasets").joinpath(f"{table}.tsv.xz").read_bytes()
    rows = (line.split("\t") for line in lzma.decompress(packed).decode().splitlines()[1:])
    return {path: (int(size), digest) for path, size, digest in rows}


def clip_lengths(table: str, split: str) -> dict[str, int]:
    """Frames of each clip of a split (``"Test"``), by the official list."""
    counted = Counter(path.split("/")[1] for path in official_files(table) if path.startswith(f"{split}/"))
    return {clip[-2:]: counted[clip] for clip in sorted(counted)}


def certify(base: Path, table: str) -> tuple[int, list[str], list[str]]:
    """Return how many files below ``base`` are the official bytes; which differ; which are absent. Reads every file."""
    same, differ, absent = 0, [], []
    for path, (size, digest) in official_files(table).items():
        file = base / path
        if not file.is_file():
            absent.append(path)
        elif file.stat().st_size == size and digest_of(file) == digest:
            same += 1
        else:
            differ.append(path)
    return same, differ, absent
