"""Features of several extractors from one pass of decoding: those that only need to see each frame watch it go by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from vadbench.data.video import FrameSource, Video
from vadbench.models.base import Extractor, Features, source_of
from vadbench.store.features import Store


class Watcher(Protocol):
    """Sees every frame of a video once, in order; what ``extractor.watcher()`` returns."""

    def see(self, frame: np.ndarray) -> None:
        """Take in the next frame, ``uint8 (H, W, 3)``."""

    def features(self) -> dict[str, Features]:
        """Return what ``extractor.extract`` would return for the frames that were seen."""


def get_all(store: Store, extractor: Extractor, others: Sequence[Extractor], video: Video) -> dict[str, Features]:
    """Return ``store.get(extractor, video)``, and see to it that the features of ``others`` are there too.

    Those of ``others`` that have a ``watcher()`` take their frames from the pass that ``extractor`` makes.
    """
    source = source_of(extractor)
    made = [each.outputs() for each in (extractor, source) if each is not None]
    missing = [
        other
        for other in others
        if hasattr(other, "watcher") and other.outputs() not in made and not all(store.has(other, video).values())
    ]
    watchers = [other.watcher() for other in missing]
    watched = Watched(video.source, watchers)
    found = store.get(extractor, replace(video, source=watched))
    if watched.complete:
        for other, watcher in zip(missing, watchers, strict=True):
            store.put(other, video, watcher.features())
    for other in others:
        store.get(other, video)
    return found


class Watched:
    """A frame source whose first pass is shown to watchers; everything else is that of the source.

    Attributes
    ----------
    complete: whether the watchers have seen every frame.
    """

    def __init__(self, source: FrameSource, watchers: Sequence[Watcher]) -> None:
        self._source = source
        self._watchers = watchers
        self._begun = False
        self.complete = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames of the source."""
        if self._begun or not self._watchers:
            yield from self._source.frames()
            return
        self._begun = True
        for frame in self._source.frames():
            for watcher in self._watchers:
                watcher.see(frame)
            yield frame
        self.complete = True
