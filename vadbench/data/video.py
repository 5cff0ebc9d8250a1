"""A video as the rest of vadbench sees it: frames in order, labels, masks and tracks, all lazy.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from vadbench.config.schema import DatasetConfig


class FrameSource(Protocol):
    """Where the frames of one video come from (a folder of images, a video file, an array)."""

    @property
    def n_frames(self) -> int:
        """Number of frames T that :meth:`frames` yields."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame in pixels."""

    @property
    def decoder(self) -> str:
        """Name and version of what turns the bytes into pixels, such as ``"pyav-18.1.0"``; part of the cache key."""

    def digest(self) -> str:
        """Hex digest of the bytes that the frames are decoded from (names excluded, order included)."""

    def frames(self) -> Iterator[np.ndarray]:
        """Yield each frame once, in order, as ``uint8 (H, W, 3)`` RGB. Two passes are bit-equal. Bounded memory."""


class MaskSource(Protocol):
    """Pixel ground truth of one video, read a frame at a time."""

    def __len__(self) -> int:
        """Return the number of frames T."""

    def __getitem__(self, frame: int) -> np.ndarray:
        """``bool (H, W)``: True where the frame is anomalous."""


@dataclass
class Decoded:
    """How many frames of a video were handed out, over all passes."""

    frames: int = 0


@dataclass(frozen=True)
class Video:
    """One video with what is known about it.

    Attributes
    ----------
    id: its name in the dataset, unique within a split (``"01"``, ``"Test001"`` is written ``"01"`` too).
    source: the frames.
    labels: ``(T,) bool``, True for an anomalous frame; None where nothing is known (training videos are normal by
        definition and carry None).
    masks: pixel ground truth, or None.
    tracks: columns frame (from 0), track, x1, y1, x2, y2 (pixels, inclusive corners x1, y1 and exclusive x2, y2), and
        any further columns such as kind; or None.
    scene: camera, where a dataset has several.
    decoded: counts the frames that were read; shared with changed copies.
    """

    id: str
    source: FrameSource
    labels: np.ndarray | None = None
    masks: MaskSource | None = None
    tracks: pd.DataFrame | None = None
    scene: str | None = None
    decoded: Decoded = field(default_factory=Decoded, compare=False, repr=False)

    @property
    def n_frames(self) -> int:
        """Number of frames T."""
        return self.source.n_frames

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame in pixels."""
        return self.source.size

    def frames(self) -> Iterator[np.ndarray]:
        """Each frame once, in order, ``uint8 (H, W, 3)`` RGB."""
        for frame in self.source.frames():
            self.decoded.frames += 1
            yield frame


@dataclass(frozen=True)
class Dataset:
    """The videos of one dataset, and what is known exactly about what was loaded.

    Attributes
    ----------
    name: such as ``"ucsd_ped2"``.
    train, test: the videos, sorted by id.
    label_source: where the frame labels came from (``"UCSDped2.m"``, ``"volLabel masks"``), for the record.
    tree: which folder layout was recognised.
    expected: official counts, such as ``{"train_videos": 16, "test_videos": 12, "train_frames": 2550, ...}``; empty
        where there is no official split.
    comparable: False as soon as anything but the full official split is loaded.
    warnings: what a reader of the numbers should know (a skipped frame, a missing mask).
    remarks: those of the warnings that are no fault of the data (videos of one's own that have no labels).
    loaded_from: the configuration that it was loaded from, as it was loaded; None for one made in Python, and for a
        changed copy (``dataclasses.replace``), which is no longer what the configuration says.
    """

    name: str
    train: tuple[Video, ...]
    test: tuple[Video, ...]
    label_source: str = "none"
    tree: str = ""
    expected: dict[str, int] = field(default_factory=dict)
    comparable: bool = False
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    loaded_from: DatasetConfig | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def partial(self) -> bool:
        """True if videos of the official split are missing."""
        return any(
            len(videos) < self.expected.get(f"{split}_videos", 0)
            for split, videos in (("train", self.train), ("test", self.test))
        )
