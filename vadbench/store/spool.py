"""Arrays that grow on disk piece by piece: features of a video of any length need the memory of one piece."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from vadbench.models.base import Features


@contextmanager
def spool(folder: Path) -> Iterator[Spool]:
    """Give a spool whose files are gone after the block, also after a kill: they never have a name in ``folder``."""
    with ExitStack() as files:
        yield Spool(folder, files)


class Spool:
    """Pieces of the outputs of an extractor, joined along their first axis."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self._folder = folder
        self._files = files
        self._arrays: dict[tuple[str, str], _Growing] = {}

    def add(self, piece: Mapping[str, Features]) -> None:
        """Append to every array of every output in ``piece``.

        Raises
        ------
        ValueError: an array differs from its earlier pieces in type or in the shape of a row.
        """
        for output, arrays in piece.items():
            for name, array in arrays.items():
                growing = self._arrays.get((output, name))
                if growing is None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    file = self._files.enter_context(_nameless(self._folder))
                    growing = self._arrays[output, name] = _Growing(file, array)
                growing.append(array)

    def arrays(self) -> dict[str, Features]:
        """Return the outputs so far, memory-mapped and read-only."""
        found: dict[str, Features] = {}
        for (output, name), growing in self._arrays.items():
            found.setdefault(output, {})[name] = growing.array()
        return found


@contextmanager
def _nameless(folder: Path) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


class _Growing:
    def __init__(self, file: IO[bytes], first: np.ndarray) -> None:
        self._file = file
        self._dtype, self._row = first.dtype, first.shape[1:]
        self._length = 0

    def append(self, array: np.ndarray) -> None:
        if (array.dtype, array.shape[1:]) != (self._dtype, self._row):
            raise ValueError(f"a piece of {array.dtype} {array.shape} does not go on {self._dtype} (N, {self._row})")
        self._file.write(np.ascontiguousarray(array).data)
        self._length += len(array)

    def array(self) -> np.ndarray:
        self._file.flush()
        shape = (self._length, *self._row)
        if not np.prod(shape, dtype=np.int64):
            return np.empty(shape, self._dtype)
        data = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(data, self._dtype).reshape(shape)
