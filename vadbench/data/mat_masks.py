"""Mask stacks in MATLAB files, read as a stream in bounded memory; nothing in the file is executed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vadbench.data.source import sha256
from vadbench.errors import DataError, nearest

_BLOCK = 1 << 18
_MATRIX, _COMPRESSED = 14, 15
_CELL, _FIRST_NUMERIC = 1, 6
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


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
        return sha256([self.path.read_bytes()])

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
    try:
        with path.open("rb") as file:
            _check_version(file.read(128), path)
            for stream in _elements(file):
                name, kind, dims = _head(stream)
                seen.append(name)
                if (variable is None or name == variable) and (kind == _CELL or len(dims) == 3):
                    yield from _cells(stream, dims) if kind == _CELL else _slices(stream, dims)
                    return
    except (zlib.error, struct.error, EOFError) as error:
        raise DataError(f"{path}: the .mat file is damaged or cut short: {error}.") from None
    wanted = variable or "any stack of masks"
    raise DataError(f"{path}: {wanted!r} is not in it. {nearest(wanted, seen)}")


def _check_version(header: bytes, path: Path) -> None:
    if header[:20].startswith(b"MATLAB 7.3") or header[1:4] == b"HDF":
        raise DataError(
            f"{path}: MATLAB 7.3 files (HDF5) are not read. Save it again in MATLAB with save(..., '-v7'), "
            "or convert it to .npy with h5py."
        )
    if len(header) < 128 or header[126:128] != b"IM":
        raise DataError(f"{path}: not a little-endian MATLAB 5 to 7 file.")


class _Stream:
    """Bytes of one element, inflated as they are asked for."""

    def __init__(self, file: BinaryIO, count: int, compressed: bool) -> None:
        self._file, self._left = file, count
        self._inflate = zlib.decompressobj() if compressed else None
        self._ready = bytearray()

    def read(self, count: int) -> bytes:
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


def _elements(file: BinaryIO) -> Iterator[_Stream]:
    """A stream for each matrix at the top of the file, placed after its tag."""
    while tag := file.read(8):
        kind, count = struct.unpack("<II", tag)
        stream = _Stream(file, count, kind == _COMPRESSED)
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


def _head(stream: Any) -> tuple[str, int, tuple[int, ...]]:
    """Name, class and dimensions of a matrix."""
    flags = _sub(stream)[1]
    dims = _sub(stream)[1]
    name = _sub(stream)[1].decode("ascii", "replace")
    return name, flags[0], tuple(np.frombuffer(dims, "<i4").tolist())


def _cells(stream: _Stream, dims: tuple[int, ...]) -> Iterator[np.ndarray]:
    for _ in range(int(np.prod(dims))):
        kind, count, _data = _tag(stream)
        if kind != _MATRIX:
            raise EOFError(f"a cell holds element type {kind}, not a matrix")
        cell = io.BytesIO(stream.read(count))
        _, shape_kind, shape = _head(cell)
        if shape_kind < _FIRST_NUMERIC or len(shape) != 2:
            raise EOFError(f"a cell holds class {shape_kind} of shape {shape}, not a numeric matrix")
        kind, data = _sub(cell)
        yield _matrix(data, kind, (shape[0], shape[1]))


def _slices(stream: _Stream, dims: tuple[int, ...]) -> Iterator[np.ndarray]:
    kind, _, _ = _tag(stream)
    size = np.dtype(_TYPES[kind]).itemsize * dims[0] * dims[1]
    for _ in range(dims[2]):
        yield _matrix(stream.read(size), kind, (dims[0], dims[1]))


def _matrix(data: bytes, kind: int, shape: tuple[int, int]) -> np.ndarray:
    """MATLAB stores columns first."""
    return np.frombuffer(data, "<" + _TYPES[kind]).reshape(shape[1], shape[0]).T != 0
