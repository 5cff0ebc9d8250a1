"""Pixel ground truth, a frame at a time: folders of images, .npy stacks, arrays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from vadbench.data.readers.digest_cache import remembered
from vadbench.data.readers.image import decode_pixels
from vadbench.data.readers.image_folder import ImageFolder
from vadbench.data.readers.source import Fault, Policy
from vadbench.data.video import MaskSource
from vadbench.errors import DataError
from vadbench.files import drop_pages, rows_of, sha256


class ImageMasks:
    """One mask image a frame, natural order; True where any channel is above 0."""

    def __init__(self, folder: str | Path, policy: Policy | None = None) -> None:
        self.folder = Path(folder)
        self._policy = policy or Policy()
        self._source = ImageFolder(self.folder, self._policy)
        self._files = self._source.files

    def __len__(self) -> int:
        return len(self._files)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every mask: by the header of the first, which is decoded where its header is not sound."""
        header = next(self._source.headers())
        if isinstance(header, Fault) or header[0] * header[1] > self._policy.max_pixels:
            height, width = self[0].shape
            return height, width
        return header

    def digest(self) -> str:
        """Hex SHA-256 of the files' bytes, in order."""
        return self._source.digest()

    def unsound(self) -> list[str]:
        """Masks that can't be read, as far as their headers show it."""
        return [f"mask {found.message}" for found in self._source.headers() if isinstance(found, Fault)]

    def __getitem__(self, frame: int) -> np.ndarray:
        path = self._files[frame]
        if path is None:
            raise DataError(f"{self.folder}: the mask of frame {frame} is missing from the numbering.")
        try:
            pixels = decode_pixels(path.read_bytes(), self._policy.max_pixels) != 0
        except DataError as error:
            raise DataError(f"{path}: mask of frame {frame}: {error}.") from None
        return pixels if pixels.ndim == 2 else np.asarray(pixels.any(axis=2))


class StackMasks:
    """A ``(T, H, W)`` array: a memory-mapped .npy file, or one in memory; True where it is not 0."""

    def __init__(self, stack: str | Path | np.ndarray, name: str = "masks") -> None:
        self._path = None if isinstance(stack, np.ndarray) else Path(stack)
        self._stack = stack if isinstance(stack, np.ndarray) else load_npy(stack)
        if self._stack.ndim == 4 and 1 in (self._stack.shape[1], self._stack.shape[3]):
            axis = 3 if self._stack.shape[3] == 1 else 1
            self._stack = self._stack.squeeze(axis)
        if self._stack.ndim != 3:
            where = name if isinstance(stack, np.ndarray) else stack
            raise DataError(f"{where}: masks must be (frames, height, width), not {self._stack.shape}.")

    def __len__(self) -> int:
        return int(self._stack.shape[0])

    def digest(self) -> str:
        """Hex SHA-256 of shape, type and values."""
        header = f"{self._stack.dtype} {self._stack.shape}".encode()
        blocks = chain([header], (np.ascontiguousarray(mask).tobytes() for mask in rows_of(self._stack)))
        return remembered([self._path], lambda: sha256(blocks)) if self._path else sha256(blocks)

    def __getitem__(self, frame: int) -> np.ndarray:
        mask: np.ndarray = np.asarray(self._stack[frame]) != 0
        drop_pages(self._stack)
        return mask


class FirstMasks:
    """Exactly ``count`` masks: those of another source, empty ones of ``size`` beyond its end."""

    def __init__(self, masks: MaskSource, count: int, size: tuple[int, int]) -> None:
        self._masks, self._count, self._size = masks, count, size

    def __len__(self) -> int:
        return self._count

    def digest(self) -> str:
        """Hex SHA-256 over the whole source's digest and the count."""
        return sha256([mask_digest(self._masks).encode(), str(self._count).encode()])

    def __getitem__(self, frame: int) -> np.ndarray:
        at = range(self._count)[frame]
        return self._masks[at] if at < len(self._masks) else np.zeros(self._size, bool)


def load_npy(path: str | Path) -> np.ndarray:
    """Return a .npy file, memory-mapped; a pickled one is refused, since reading it could run code."""
    path = Path(path)
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return rows
    except ValueError as error:
        if "pickle" not in str(error).lower() and "object" not in str(error).lower():
            raise DataError(f"{path}: not a sound .npy file: {error}.") from None
        raise DataError(
            f"{path}: it holds pickled Python objects, and reading those can run code. If you trust it, convert it "
            f"once: python -c \"import numpy as np; np.save('masks.npy', np.stack(np.load('{path.name}', "
            f'allow_pickle=True).tolist()))"'
        ) from None
    except Exception as error:  # NumPy evaluates the header's text, and damage there raises anything
        raise DataError(f"{path}: it can't be read as .npy: {error}.") from None


def mask_size(masks: MaskSource) -> tuple[int, int] | None:
    """(H, W) of the first mask; None where there is none."""
    if len(masks) == 0:
        return None
    known = getattr(masks, "size", None)
    return known if known is not None else (masks[0].shape[0], masks[0].shape[1])


def mask_digest(masks: MaskSource) -> str:
    """Hex SHA-256 of what the masks are read from, or of their bits where a source can't say."""
    digest = getattr(masks, "digest", None)
    return digest() if digest else sha256(np.packbits(mask).tobytes() for mask in iterate(masks))


def any_of(masks: MaskSource) -> np.ndarray:
    """``bool (T,)``: frames with any anomalous pixel, at the masks' own size."""
    per_frame = getattr(masks, "any", None)
    return per_frame() if per_frame else np.fromiter((mask.any() for mask in iterate(masks)), bool, len(masks))


def iterate(masks: MaskSource) -> Iterator[np.ndarray]:
    """Each mask in order."""
    return (masks[frame] for frame in range(len(masks)))
