"""Mask stacks in MATLAB files, read as a stream in bounded memory; nothing in the file is executed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vadbench.data.readers.mat_file import CELL, cells, elements, head, opened, slices
from vadbench.errors import DataError, nearest
from vadbench.files import digest_of


class MatMasks:
    """A ``(T, H, W)`` mask stack of a .mat file (version 5 to 7): a cell of T matrices, or an H x W x T array.

    The file is inflated once, as a stream, when the first mask or :meth:`any` is asked for; each mask is kept as
    deflated bits (Avenue: about 160 bytes a frame), so any frame is at hand while memory stays small. Where ``known``
    gives ``bool (T,)``, which frames have a mask pixel, only a mask inflates it.
    """

    def __init__(self, path: str | Path, variable: str | None = None, known: np.ndarray | None = None) -> None:
        self.path = Path(path)
        self._variable = variable
        self._packed: list[bytes] | None = None
        self._any = known
        self._size = (0, 0)

    def __len__(self) -> int:
        return len(self.any())

    def __getitem__(self, frame: int) -> np.ndarray:
        bits = np.frombuffer(zlib.decompress(self._read()[frame]), np.uint8)
        height, width = self._size
        return np.unpackbits(bits, count=height * width).reshape(width, height).T.astype(bool, order="C")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first mask; only that one is read."""
        if self._size == (0, 0):
            first = next(read_stack(self.path, self._variable), np.zeros((0, 0), bool))
            self._size = (first.shape[0], first.shape[1])
        return self._size

    def digest(self) -> str:
        """Hex SHA-256 of the file."""
        return digest_of(self.path)

    def any(self) -> np.ndarray:
        """``bool (T,)``: frames with any mask pixel."""
        if self._any is None:
            self._read()
        assert self._any is not None
        return self._any

    def _read(self) -> list[bytes]:
        if self._packed is None:
            packed: list[bytes] = []
            anomalous: list[bool] = []
            empty = b""
            for number, mask in enumerate(read_stack(self.path, self._variable)):
                if number == 0:
                    self._size = (mask.shape[0], mask.shape[1])
                elif mask.shape != self._size:
                    raise DataError(f"{self.path}: mask {number} is {mask.shape}, the first one {self._size}.")
                anomalous.append(bool(mask.any()))
                if anomalous[-1] or not empty:
                    bits = zlib.compress(np.packbits(mask.T).tobytes(), 1)
                    empty = empty if anomalous[-1] else bits
                packed.append(bits if anomalous[-1] else empty)
            self._packed, self._any = packed, np.array(anomalous, bool)
        return self._packed


def read_stack(path: Path, variable: str | None = None) -> Iterator[np.ndarray]:
    """Each mask ``bool (H, W)`` of a stack in a .mat file, in order, one in memory at a time.

    ``variable``: its name; None takes the first that is a stack.
    """
    seen: list[str] = []
    with opened(path) as file:
        for stream in elements(file):
            name, kind, dims = head(stream)
            seen.append(name)
            if (variable is None or name == variable) and (kind == CELL or len(dims) == 3):
                for matrix in cells(stream, dims) if kind == CELL else slices(stream, dims):
                    yield matrix != 0
                return
    wanted = variable or "any stack of masks"
    raise DataError(f"{path}: {wanted!r} is not in it. {nearest(wanted, seen)}")
