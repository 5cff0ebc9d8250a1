"""Named arrays in one safetensors file: written in one pass with its digest, read memory-mapped.

The format (huggingface/safetensors, "Format"): 8 bytes little-endian length of the header, the header as JSON padded
with blanks to 8 bytes, then the arrays one after the other. No pickle, and any safetensors reader can open it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from vadbench.files import drop_pages

_CHUNK = 1 << 22

_CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {code: np.dtype(name) for name, code in _CODES.items()}


def lowered(arrays: Mapping[str, np.ndarray], dtype: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Floating arrays in at most ``dtype``'s precision, and the names of those that do not fit into it.

    An array whose finite values would overflow (float16 ends at 65504) is kept in float32 and named in the list.
    Integers and booleans pass as they are; nothing is ever widened.
    """
    targets, kept = precisions(arrays, dtype)
    return {name: np.asarray(array).astype(targets[name], copy=False) for name, array in arrays.items()}, kept


def precisions(arrays: Mapping[str, np.ndarray], dtype: str) -> tuple[dict[str, np.dtype], list[str]]:
    """Return in which type :func:`lowered` keeps each array, and the names of those that ``dtype`` can't hold."""
    target, kept = np.dtype(dtype), []
    types: dict[str, np.dtype] = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        types[name] = array.dtype
        if array.dtype.kind == "f" and array.dtype.itemsize > target.itemsize:
            fits = _largest(array) <= float(np.finfo(target).max)
            types[name] = target if fits else np.dtype(np.float32)
            if not fits:
                kept.append(name)
    return types, kept


def _largest(array: np.ndarray) -> float:
    """Largest finite magnitude."""
    blocks = (np.abs(block) for block in _blocks(array))
    return max((float(np.max(b, initial=0.0, where=np.isfinite(b))) for b in blocks), default=0.0)


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Flat blocks of a bounded size; pages of a memory-mapped array are dropped after each."""
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]
        drop_pages(array)


def write(
    file: IO[bytes], arrays: Mapping[str, np.ndarray], types: Mapping[str, np.dtype] | None = None
) -> tuple[str, int]:
    """Write ``arrays`` to ``file``, in ``types`` where these are given; returns (SHA-256 hex digest, bytes written)."""
    types = types or {name: array.dtype for name, array in arrays.items()}
    # Widest items first keeps every array aligned to its item size without padding between arrays.
    order = sorted(arrays, key=lambda name: (-types[name].itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        code, size = _CODES.get(types[name].name), arrays[name].size * types[name].itemsize
        if code is None:
            raise TypeError(f"array {name!r} has dtype {types[name]}, which can't be stored; use one of {list(_CODES)}")
        header[name] = {"dtype": code, "shape": list(arrays[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    sha, size = hashlib.sha256(), 0

    def put(block: bytes | memoryview) -> None:
        nonlocal size
        file.write(block)
        sha.update(block)
        size += len(block)

    put(len(text).to_bytes(8, "little") + text)
    for name in order:
        for block in _blocks(arrays[name]):
            put(memoryview(block.astype(types[name].newbyteorder("<"), copy=False).view(np.uint8).data))
    return sha.hexdigest(), size


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, read-only and memory-mapped; ValueError if it is not a whole safetensors file."""
    try:
        return _read(path)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} has a header that says no arrays ({type(error).__name__}: {error})") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ValueError(f"{path} has {size} bytes, which is too short")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(data[:8], "little")
    if start > size:
        raise ValueError(f"{path} ends inside its header")
    header = json.loads(data[8:start])
    out: dict[str, np.ndarray] = {}
    for name, item in header.items():
        if name == "__metadata__":
            continue
        dtype = _DTYPES[item["dtype"]]
        shape = tuple(item["shape"])
        begin, end = (start + offset for offset in item["data_offsets"])
        count = int(np.prod(shape, dtype=np.int64))
        if end > size or end - begin != count * dtype.itemsize:
            raise ValueError(f"{path} ends inside array {name!r}")
        flat = np.frombuffer(data, dtype, count, begin) if count else np.empty(0, dtype)
        out[name] = flat.reshape(shape)
    return out
