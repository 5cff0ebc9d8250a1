"""Named arrays in one safetensors file: written in one pass with its digest, read memory-mapped.

The format (huggingface/safetensors, "Format"): 8 bytes little-endian length of the header, the header as JSON padded
with blanks to 8 bytes, then the arrays one after the other. No pickle, and any safetensors reader can open it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_CHUNK = 1 << 24

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
    target, kept = np.dtype(dtype), []
    out: dict[str, np.ndarray] = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        if array.dtype.kind == "f" and array.dtype.itemsize > target.itemsize:
            largest = float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))
            fits = largest <= float(np.finfo(target).max)
            if not fits:
                kept.append(name)
            array = array.astype(target if fits else np.float32)
        out[name] = array
    return out, kept


def write(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> tuple[str, int]:
    """Write ``arrays`` to ``file``; returns (SHA-256 hex digest, bytes written)."""
    # Widest items first keeps every array aligned to its item size without padding between arrays.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        array = arrays[name]
        code = _CODES.get(array.dtype.name)
        if code is None:
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which can't be stored; use one of {list(_CODES)}")
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
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
        array = arrays[name]
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.size:
            flat = memoryview(little.reshape(-1).view(np.uint8).data)
            for start in range(0, len(flat), _CHUNK):
                put(flat[start : start + _CHUNK])
    return sha.hexdigest(), size


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, read-only and memory-mapped; ValueError if it is not a whole safetensors file."""
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
