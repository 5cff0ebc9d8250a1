"""MATLAB 5 to 7 files, read as a stream in bounded memory by a reader of our own: nothing in them is executed.

(SciPy's reader ends the process with a segmentation fault on some damaged files.)
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vadbench.errors import DataError

Value = np.ndarray | list[np.ndarray]
"""A numeric array, or the numeric matrices of a cell in MATLAB's order."""

_BLOCK = 1 << 18
_LARGEST = 1 << 29  # bytes of one matrix or frame; a damaged or hostile size is refused before it is read
_MATRIX, _COMPRESSED = 14, 15
CELL = 1
_FIRST_NUMERIC, _LAST_NUMERIC = 6, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


def read_variables(path: Path) -> dict[str, Value]:
    """Name to value of every numeric array and every cell of numeric matrices; other classes are left out."""
    found: dict[str, Value] = {}
    with opened(path) as file:
        for stream in elements(file):
            name, kind, dims = head(stream)
            if kind == CELL:
                found[name] = list(cells(stream, dims))
            elif _FIRST_NUMERIC <= kind <= _LAST_NUMERIC:
                found[name] = _array(*_sub(stream), dims)
    return found


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Return the file, placed after its header; whatever is wrong with it comes out as a DataError that names it."""
    try:
        with path.open("rb") as file:
            _check_version(file.read(128), path)
            yield file
    except (zlib.error, struct.error, EOFError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{path}: the .mat file is damaged or cut short: {error}.") from None


def _check_version(header: bytes, path: Path) -> None:
    if header[:20].startswith(b"MATLAB 7.3") or header[1:4] == b"HDF":
        raise DataError(
            f"{path}: MATLAB 7.3 files (HDF5) are not read. Save it again in MATLAB with save(..., '-v7'), "
            "or convert it to .npy with h5py."
        )
    if len(header) < 128 or header[126:128] != b"IM":
        raise DataError(f"{path}: not a little-endian MATLAB 5 to 7 file.")


class Stream:
    """Bytes of one element, inflated as they are asked for."""

    def __init__(self, file: BinaryIO, count: int, compressed: bool) -> None:
        self._file, self._left = file, count
        self._inflate = zlib.decompressobj() if compressed else None
        self._ready = bytearray()

    def read(self, count: int) -> bytes:
        if not 0 <= count <= _LARGEST:
            raise EOFError(f"a part of {count:,} bytes is above the bound of {_LARGEST:,}")
        while len(self._ready) < count:
            more = self._more()
            if not more:
                raise EOFError("it ends before its data do")
            self._ready += more
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def _more(self) -> bytes:
        if self._inflate is None:
            return self._raw()
        while not self._inflate.eof:
            fed = self._inflate.unconsumed_tail or self._raw()
            if not fed:
                break
            made = self._inflate.decompress(fed, _BLOCK)
            if made:
                return made
        return b""

    def _raw(self) -> bytes:
        block = self._file.read(min(_BLOCK, self._left))
        self._left -= len(block)
        return block

    def skip(self) -> None:
        """Leave the rest of the element unread."""
        self._file.seek(self._left, 1)


def elements(file: BinaryIO) -> Iterator[Stream]:
    """Yield a stream for each matrix at the top of the file, placed after its tag."""
    while tag := file.read(8):
        kind, count = struct.unpack("<II", tag)
        stream = Stream(file, count, kind == _COMPRESSED)
        if kind == _COMPRESSED:
            kind, _ = struct.unpack("<II", stream.read(8))
        if kind == _MATRIX:
            yield stream
        stream.skip()


def _tag(stream: Any) -> tuple[int, int, bytes | None]:
    """Type and byte count of the next sub-element; its data too where they are packed into the tag."""
    first, second = struct.unpack("<II", raw := stream.read(8))
    if first >> 16:
        return first & 0xFFFF, first >> 16, raw[4 : 4 + (first >> 16)]
    return first, second, None


def _sub(stream: Any) -> tuple[int, bytes]:
    kind, count, data = _tag(stream)
    if data is None:
        data = stream.read(count)
        stream.read(-count % 8)
    return kind, data


def head(stream: Any) -> tuple[str, int, tuple[int, ...]]:
    """Name, class and dimensions of a matrix."""
    flags = _sub(stream)[1]
    dims = _sub(stream)[1]
    name = _sub(stream)[1].decode("ascii", "replace")
    if len(flags) < 1 or min(np.frombuffer(dims, "<i4"), default=-1) < 0:
        raise EOFError("an array's size is not to be read")
    return name, flags[0], tuple(np.frombuffer(dims, "<i4").tolist())


def cells(stream: Any, dims: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Each matrix ``(H, W)`` of a cell array, one in memory at a time."""
    for _ in range(math.prod(dims)):
        kind, count, _data = _tag(stream)
        if kind != _MATRIX:
            raise EOFError(f"a cell holds element type {kind}, not a matrix")
        if count == 0:
            yield np.zeros((0, 0))
            continue
        cell = io.BytesIO(stream.read(count))
        _, matrix_kind, shape = head(cell)
        if not _FIRST_NUMERIC <= matrix_kind <= _LAST_NUMERIC or len(shape) != 2:
            raise EOFError(f"a cell holds class {matrix_kind} of shape {shape}, not a numeric matrix")
        yield _array(*_sub(cell), shape)


def slices(stream: Any, dims: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Each ``(H, W)`` of an H x W x T array, one in memory at a time."""
    kind, _, _ = _tag(stream)
    size = np.dtype(_TYPES[kind]).itemsize * dims[0] * dims[1]
    for _ in range(dims[2]):
        yield _array(kind, stream.read(size), dims[:2])


def _array(kind: int, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """MATLAB stores columns first, and numbers in the smallest type that holds them."""
    return np.frombuffer(data, "<" + _TYPES[kind]).reshape(shape[::-1]).T
