"""Frames from a folder of images: natural order, stray files left out, gaps in the numbering noticed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from vadbench.data.opencv import opencv_version
from vadbench.data.readers.image import SUFFIXES, decode, header_size
from vadbench.data.readers.source import Encoding, Fault, Policy, Source, TooLarge
from vadbench.errors import DataError

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key under which ``2.jpg`` comes before ``10.jpg``."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(p), p) if p.isdigit() else (0, 0, p.casefold()) for p in parts if p)


def list_images(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[list[Path], list[str]]:
    """Return the images of ``folder`` in natural order, and the names of everything else in it."""
    images, stray = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_image(entry, suffixes):
                images.append(folder / entry.name)
            else:
                stray.append(entry.name)
    return sorted(images, key=lambda p: natural_key(p.name)), sorted(stray)


def holds_images(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return True if at least one image is in ``folder``."""
    with os.scandir(folder) as entries:
        return any(_is_image(entry, suffixes) for entry in entries)


def _is_image(entry: os.DirEntry[str], suffixes: tuple[str, ...]) -> bool:
    return entry.name.lower().endswith(suffixes) and not entry.name.startswith(".") and entry.is_file()


class ImageFolder(Source):
    """One image file a frame, in natural order of their names.

    Where the names are numbered without steps but for a few holes, each hole is a frame that can't be read, so that a
    deleted file does not shift those after it.
    """

    def __init__(self, folder: str | Path, policy: Policy | None = None) -> None:
        self.folder = Path(folder)
        super().__init__(str(self.folder), policy or Policy())
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder of frames.")
        images, stray = list_images(self.folder)
        if stray:
            shown = ", ".join(stray[:3]) + (", ..." if len(stray) > 3 else "")
            self.notes.append(f"{self.folder.name}: {len(stray)} stray entries left out ({shown})")
        self.files = _with_holes(images)
        if len(self.files) > self.policy.max_video_frames:
            raise TooLarge(
                f"{self.folder}: {len(self.files):,} frames are above the bound of {self.policy.max_video_frames:,}; "
                f"if that is meant, set dataset.max_video_frames={len(self.files)}"
            )
        self._size: tuple[int, int] | None = None

    @property
    def n_frames(self) -> int:
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) by the first sound header; every other frame must have the same."""
        if self._size is None:
            self._size = next((size for size in self.headers() if not isinstance(size, Fault)), None)
        if self._size is None:
            raise DataError(f"{self.folder}: no frame in it can be read.")
        return self._size

    @property
    def encoding(self) -> Encoding | None:
        """By the first file."""
        first = next((path for path in self.files if path is not None), None)
        if first is None:
            return None
        kind = _FORMATS.get(first.suffix.lower(), first.suffix.lower())
        if kind != "JPEG":
            return Encoding(kind, True, None)
        height, width = self.size
        return Encoding(kind, False, 8 * first.stat().st_size / (height * width))

    @property
    def decoder(self) -> str:
        return self._versioned(f"opencv-{opencv_version()}")

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        if not self.files:
            return
        size = self.size
        for number in range(len(self.files)):
            try:
                picture = decode(self._read(number), self.policy.max_pixels)
            except TooLarge as error:
                raise TooLarge(f"{self._where(number)}: {error}.") from None
            except DataError as error:
                yield Fault(number, f"{self._where(number)}: {error}")
                continue
            if picture.shape[:2] != size:
                found = f"{picture.shape[1]} x {picture.shape[0]}"
                yield Fault(number, f"{self._where(number)}: its size is {found}, not {size[1]} x {size[0]}")
                continue
            yield picture

    def headers(self) -> Iterator[tuple[int, int] | Fault]:
        """(H, W) of every frame as its header says, or what is wrong with it; nothing is decoded."""
        for number in range(len(self.files)):
            yield self._header(number)

    def _header(self, number: int) -> tuple[int, int] | Fault:
        try:
            return header_size(self._read(number))
        except DataError as error:
            return Fault(number, f"{self._where(number)}: {error}")

    def _bytes(self) -> Iterator[bytes]:
        for path in self.files:
            data = b"" if path is None else path.read_bytes()
            yield len(data).to_bytes(8, "little")
            yield data

    def _paths(self) -> list[Path]:
        return [path for path in self.files if path is not None]

    def _read(self, number: int) -> bytes:
        path = self.files[number]
        if path is None:
            raise DataError("missing from the numbering")
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"it can't be read: {error.strerror}") from None

    def _where(self, number: int) -> str:
        path = self.files[number]
        if path is not None:
            return f"{path}: frame {number}"
        before = next((p.name for p in reversed(self.files[:number]) if p), "the start")
        return f"{self.folder}: frame {number} (after {before})"


def _with_holes(images: list[Path]) -> list[Path | None]:
    """``images`` with None for each missing number; two files with one number are refused."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", path.stem) for path in images]
    if len(images) < 2 or len({(m[1], m[3]) if m else None for m in parts}) > 1 or parts[0] is None:
        return list(images)
    numbers = [int(m[2]) for m in parts if m]
    steps = [b - a for a, b in pairwise(numbers)]
    if 0 in steps:
        twice = steps.index(0)
        raise DataError(
            f"{images[twice].parent}: {images[twice].name} and {images[twice + 1].name} are the same frame. Remove one."
        )
    if set(steps) == {1} or steps.count(1) < 0.9 * len(steps) or sum(steps) > 2 * len(steps):
        return list(images)
    filled: list[Path | None] = [images[0]]
    for path, step in zip(images[1:], steps, strict=True):
        filled += [None] * (step - 1) + [path]
    return filled
