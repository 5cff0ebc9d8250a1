"""Converted networks on disk: one file each in the user's cache folder, which may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from pathlib import Path

from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.imports import installed_version
from vadbench.files import cache_folder

log = logging.getLogger(__name__)

_FORMAT = 1
_DIGEST = 32  # bytes of SHA-256, before the rest
_LENGTH = 8  # bytes of the length of the first part


def place(eager: Eager, shapes: list[list[int]], mark: str) -> Path:
    """Return the file of a network converted for inputs of one shape.

    Its name covers every value of the weights, statistics of batch norm included, the layers, the shape and the
    versions of what makes and converts the network.
    """
    packages = ("torch", "torchvision", "pytorchvideo", "open_clip_torch")
    versions = {name: installed_version(name) for name in packages}
    text = hashlib.sha256(json.dumps([_FORMAT, mark, versions, eager.identity(), shapes]).encode())
    text.update(repr(eager.module).encode())
    for name, tensor in eager.module.state_dict().items():
        text.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        text.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return cache_folder() / "vadbench" / "networks" / f"{text.hexdigest()[:32]}.openvino"


def read(path: Path) -> tuple[bytes, bytes] | None:
    """Return structure and weights; None where there is no such file or it is damaged (which is logged)."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[_DIGEST:]
    if len(body) < _LENGTH or hashlib.sha256(body).digest() != content[:_DIGEST]:
        log.warning("The converted network %s is damaged; it is converted again.", path)
        return None
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    return bytes(body[_LENGTH:end]), bytes(body[end:])


def write(path: Path, structure: bytes, weights: bytes) -> None:
    """Write a file under a temporary name, then give it its name; where that fails, the next process converts again."""
    body = len(structure).to_bytes(_LENGTH, "little") + structure + weights
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(hashlib.sha256(body).digest())
            file.write(body)
        temporary.replace(path)
    except OSError as error:
        log.warning("The converted network can't be kept (%s); the next process converts it again.", error)
        if temporary is not None:
            temporary.unlink(missing_ok=True)
