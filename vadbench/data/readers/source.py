"""What every frame source shares: the policy for damaged frames, the bounds on size, the counters, the digest."""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vadbench.config.schema import DatasetConfig
from vadbench.data.readers.digest_cache import remembered
from vadbench.data.readers.fault_lines import STANDS_IN, fault_lines
from vadbench.errors import DataError, one_of
from vadbench.files import rows_of, sha256

log = logging.getLogger(__name__)

_KEPT_BYTES = 31 << 20  # just under the 32 MiB above which glibc no longer adapts


@dataclass(frozen=True)
class Policy:
    """What to do about a damaged frame, and how large a picture or a video may be.

    Attributes
    ----------
    on_fault: ``"error"`` raises a DataError naming file and frame; ``"skip"`` repeats the good frame before it (at the
        start of a video the first good one) and records it, so that frame numbers stay what they are.
    max_pixels: bound on the pixels of one frame; a larger one is refused before it is decoded.
    max_video_frames: bound on the frames of one video, by its header or by its packets.
    """

    on_fault: Literal["error", "skip"] = "error"
    max_pixels: int = 2**26
    max_video_frames: int = 500_000

    def __post_init__(self) -> None:
        one_of("on_fault", self.on_fault, ("error", "skip"))


def policy_of(config: DatasetConfig) -> Policy:
    """Return what the readers are told about faults and bounds."""
    return Policy(config.on_fault, config.max_pixels, config.max_video_frames)


class TooLarge(DataError):
    """A picture or video above the bound; raised whatever the policy, since reading on would not be bounded."""


@dataclass(frozen=True)
class Fault:
    """A frame that can't be read: its number from 0 and what is wrong, with the file's name."""

    frame: int
    message: str


@dataclass(frozen=True)
class Encoding:
    """How pictures were compressed: the codec or image format, whether it loses nothing, and bits for each pixel.

    ``bits_per_pixel`` is a rough mean over the video; None for lossless ones, or where it takes reading the file.
    """

    name: str
    lossless: bool
    bits_per_pixel: float | None


class Source(ABC):
    """Base of the frame sources. Subclasses yield pictures or faults in order; this class applies the policy.

    Attributes
    ----------
    decoded: number of frames decoded so far, over all passes; tests read it.
    faults: frame number to message, filled while frames are read under the policy ``skip``.
    notes: what was found when the source was opened and a record should say (stray files left out).
    damage: what is wrong with the file as a whole, under the policy ``skip`` (it is cut short).
    result_version: raised when other pixels come of the same bytes and library; part of the keys of features and runs.
    """

    result_version: int = 1

    def __init__(self, name: str, policy: Policy) -> None:
        self.name = name
        self.policy = policy
        self.decoded = 0
        self.faults: dict[int, str] = {}
        self._unsaid: dict[int, str] = {}
        self.notes: list[str] = []
        self.damage: list[str] = []
        self._digest: str | None = None

    @property
    @abstractmethod
    def n_frames(self) -> int:
        """Number of frames T that :meth:`frames` yields."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame in pixels."""

    @property
    @abstractmethod
    def decoder(self) -> str:
        """Name and version of what turns the bytes into pixels."""

    def _versioned(self, library: str) -> str:
        """Return the name and version of a library, and from 2 on the result version of what is done with it."""
        return library if self.result_version == 1 else f"{library}/{self.result_version}"

    @property
    def encoding(self) -> Encoding | None:
        """How the frames were compressed, None if they were not or that is unknown. Nothing is decoded for it."""
        return None

    def lost_inside(self, promised: int | None) -> str | None:
        """Say why frames seem to be lost before or between others, so that numbers are not the original ones.

        ``promised``: number of frames of the original, as its labels or masks say it (at least); None where they don't.
        If it is :attr:`n_frames`, nothing is lost.
        """
        return None

    @abstractmethod
    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        """Return a picture ``uint8 (H, W, 3)`` RGB or a fault for each frame, in order."""

    @abstractmethod
    def _bytes(self) -> Iterator[bytes]:
        """Return the bytes that the frames are decoded from, in blocks that depend on nothing but those bytes."""

    def digest(self) -> str:
        """Hex SHA-256 of the bytes that the frames are decoded from (names excluded, order included)."""
        if self._digest is None:
            try:
                self._digest = remembered(self._paths(), lambda: sha256(self._bytes()))
            except OSError as error:
                raise DataError(f"{error.filename or self.name}: it can't be read: {error.strerror}.") from None
        return self._digest

    def _paths(self) -> list[Path]:
        """Return the files that :meth:`_bytes` reads; none where they are not plain files."""
        return []

    def frames(self) -> Iterator[np.ndarray]:
        """Each frame once, in order, ``uint8 (H, W, 3)`` RGB; DataError naming file and frame where one is damaged."""
        keep_freed_memory()
        previous: np.ndarray | None = None
        waiting, any_good = 0, False
        for picture in self._pictures():
            if isinstance(picture, Fault):
                self._note(picture)
                if previous is None:
                    waiting += 1
                else:
                    yield previous.copy()
                continue
            self._say()
            self.decoded += 1
            any_good = True
            if self.policy.on_fault == "skip":
                previous = picture.copy()  # a reader may change what it was given
            for _ in range(waiting):
                yield picture.copy()
            waiting = 0
            yield picture
            del picture  # not held while the next one is made
        self._say()
        if not any_good and not waiting:
            raise DataError(f"{self.name}: it holds no frames.")
        if waiting:
            raise DataError(
                f"{self.name}: none of its {waiting} frames can be read: {next(iter(self.faults.values()))}"
            )

    def recall(self, faults: Mapping[int, str]) -> None:
        """Take over what an earlier pass over the same bytes found, under the policy of today."""
        for frame in sorted(faults):
            self._note(Fault(frame, faults[frame]))
        self._say()

    def _note(self, fault: Fault) -> None:
        if self.policy.on_fault == "error":
            raise DataError(
                f"{fault.message}. Mend the file, or set dataset.on_fault=skip to repeat the good frame before it."
            )
        if fault.frame not in self.faults:
            self.faults[fault.frame] = self._unsaid[fault.frame] = fault.message

    def _say(self) -> None:
        """Warn of the faults since the last time."""
        for line in fault_lines(self._unsaid):
            log.warning("%s; %s", line, STANDS_IN)
        self._unsaid.clear()


class ArraySource(Source):
    """Frames held in memory (or memory-mapped): ``uint8 (T, H, W, 3)`` RGB or ``(T, H, W)`` grey."""

    def __init__(self, array: np.ndarray, name: str = "array", policy: Policy | None = None) -> None:
        super().__init__(name, policy or Policy())
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3):
            raise DataError(f"{name}: frames must be uint8 (T, H, W, 3) or (T, H, W), not {array.dtype} {array.shape}.")
        self._array = array

    @property
    def n_frames(self) -> int:
        return int(self._array.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        return int(self._array.shape[1]), int(self._array.shape[2])

    @property
    def decoder(self) -> str:
        return self._versioned("array-1")

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        for frame in rows_of(self._array):
            yield np.repeat(frame[:, :, None], 3, axis=2) if frame.ndim == 2 else np.array(frame)

    def _bytes(self) -> Iterator[bytes]:
        yield repr(self._array.shape).encode()
        for frame in rows_of(self._array):
            yield np.ascontiguousarray(frame).tobytes()


class FirstFrames(Source):
    """The first ``count`` frames of another source (``dataset.max_frames``)."""

    def __init__(self, source: Source, count: int) -> None:
        super().__init__(source.name, source.policy)
        self._source = source
        self._count = count
        self.result_version = source.result_version
        self.notes = source.notes
        self.damage = source.damage
        self.faults = source.faults

    @property
    def n_frames(self) -> int:
        return min(self._count, self._source.n_frames)

    @property
    def size(self) -> tuple[int, int]:
        return self._source.size

    @property
    def decoder(self) -> str:
        return self._source.decoder

    @property
    def encoding(self) -> Encoding | None:
        return self._source.encoding

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        pictures = self._source._pictures()
        for _, picture in zip(range(self.n_frames), pictures, strict=False):
            yield picture

    def _bytes(self) -> Iterator[bytes]:
        yield f"first {self.n_frames} of {self._source.digest()}".encode()


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep the memory of dropped frames for the next ones, once for the process.

    glibc gives memory at the top of its heap back to the system once it exceeds twice the largest block that was ever
    freed. With frames of nearly a megabyte that happens at every frame, and fetching the pages again cost a quarter of
    the time of decoding. Freeing one large block, never touched, raises that limit. Other libraries lose nothing.
    """
    np.empty(_KEPT_BYTES, np.uint8)
