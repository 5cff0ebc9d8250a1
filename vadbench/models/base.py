"""The contracts between features, detectors and everything that reads their scores.

Shape legend: T frames, H W pixels, h w feature grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vadbench import registry
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.density.state import State

if TYPE_CHECKING:
    import pandas as pd

Features = dict[str, np.ndarray]
"""What one extractor output holds for one video: named arrays (memory-mapped when they come from a store)."""


class Extractor(Protocol):
    """Turns a video into features; knows nothing of densities, labels or other videos."""

    def prepare(self, train: Sequence[Video]) -> None:
        """Be told, once and before anything else, which videos are the training videos. Cheap: a part that needs a pass
        over them (batch-norm statistics of random weights) makes it when it first extracts."""

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Output name to its spec: JSON-able, everything that the output depends on but the video itself.

        The spec is the cache key. It holds the weights' digest and numeric precision, never a device, a batch size or a
        setting of a density. Outputs are separate so that several layers, or regions and flow, are cached apart.
        """

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """Return the ``wanted`` outputs of one video, made in one pass over its frames, in frame order.

        ``have`` holds outputs that exist already, for those that build on others: of this extractor, and of its
        ``source``. That optional attribute is another extractor (or None) whose outputs a store makes first, and once
        for all that build on them; they are not part of :meth:`outputs`, whose specs must say what they depend on.

        An extractor may have ``pieces(video, wanted, have)``, an iterator of what :meth:`extract` returns: joined along
        the first axis of every array, the pieces are it to the bit. A store writes them as they come, so that a long
        video needs no more memory than a short one.

        One that learns from the training videos before it extracts has ``learn(remember)``; a store calls it first, and
        what it makes through ``remember(name, spec, make)`` is kept under all that ``spec`` says. ``work``, JSON-able,
        counts what went through its networks or filters, by name.

        It may have ``merged(others)``: one extractor whose outputs are those of this one and of ``others``,
        under the same specs, made in one pass; None where there is none.

        One whose network several engines can run has ``engine``, what ran it last, and ``takes(engine)``, whether
        features that an engine made may stand for its own: both are equal up to rounding and have one spec.
        """


def merged(extractor: Extractor, others: Sequence[Extractor]) -> Extractor | None:
    """Return ``extractor.merged(others)``, None where it has no such method."""
    merge = getattr(extractor, "merged", None)
    together: Extractor | None = merge(others) if merge is not None else None
    return together


def joined(pieces: Iterable[Mapping[str, Features]]) -> dict[str, Features]:
    """Return what an extractor's ``pieces`` are together, in memory."""
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    for piece in pieces:
        for output, arrays in piece.items():
            for name, array in arrays.items():
                parts.setdefault(output, {}).setdefault(name, []).append(array)
    return {output: {name: np.concatenate(found) for name, found in arrays.items()} for output, arrays in parts.items()}


def source_of(extractor: Extractor) -> Extractor | None:
    """Return the extractor whose outputs ``extractor`` builds on, None where there is none."""
    source: Extractor | None = getattr(extractor, "source", None)
    return source


def specs_of(extractor: Extractor) -> dict[str, dict[str, Any]]:
    """Return ``extractor.outputs()``, each with the digest of the plug-in that defines the extractor, if one does: two
    versions of a plug-in share no features."""
    digest = registry.plugin_digest(type(extractor))
    return {name: {**spec, "plugin": digest} if digest else spec for name, spec in extractor.outputs().items()}


def learn(extractor: Extractor, remember: Callable[..., Features]) -> None:
    """Let ``extractor`` learn what it needs of the training videos, see :meth:`Extractor.extract`."""
    if hasattr(extractor, "learn"):
        extractor.learn(remember)


def engine_of(extractor: Extractor) -> str | None:
    """Return what ran the network of ``extractor`` at its last extraction; None where there is only one way."""
    engine: str | None = getattr(extractor, "engine", None)
    return engine


def takes(extractor: Extractor, engine: str) -> bool:
    """Return whether features that ``engine`` made may stand for those of ``extractor``."""
    accepts = getattr(extractor, "takes", None)
    return accepts is None or bool(accepts(engine))


class ScoreMaps(Protocol):
    """Per-pixel scores of one video at the resolution at which they were computed."""

    def __len__(self) -> int:
        """Return the number of frames T."""

    def __getitem__(self, frame: int) -> np.ndarray:
        """``float32 (h, w)``: the map of one frame, as computed."""

    def at_size(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """``float32 (H, W)``: the map of one frame, upsampled bilinearly (pixel centres, no corner alignment)."""


@dataclass(frozen=True)
class VideoScores:
    """What a detector says about one video: raw, not normalised, not smoothed.

    Attributes
    ----------
    video: id.
    scores: ``float64 (T,)``, finite, higher is more anomalous.
    filled: ``bool (T,)``, True where the score was interpolated and not computed for that very frame.
    maps: per-pixel scores, or None.
    regions: columns frame, x1, y1, x2, y2, score (more allowed), or None.
    """

    video: str
    scores: np.ndarray
    filled: np.ndarray
    maps: ScoreMaps | None = None
    regions: pd.DataFrame | None = None


class Detector(Protocol):
    """A one-class method: fits on features of normal videos, scores features of any video.

    ``result_version``: optional, 1 where it is absent; raised when its scores change at the same configuration and
    features, so that runs that are there already keep their key and their numbers. ``result_note``: what changed then.

    It may have a ``uses_seed: bool``, which says whether another seed can change its scores: a table counts runs that
    differ in a seed that is not used once.
    """

    extractor: Extractor

    @property
    def frames_ahead(self) -> int:
        """How many later frames the score of a frame can depend on."""

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Learn from the training videos: video id to output name to features. Deterministic for a seed.

        ``remember(name, make)`` returns what ``make()`` returned at an earlier fit with the same features and the same
        :meth:`fit_spec`; a costly part goes through it where there is one. It may be kept for scoring, where its name
        must say what is scored.
        """

    def fit_spec(self) -> dict[str, Any]:
        """JSON-able: what the cached parts of a fit depend on beside the features of the training videos."""

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """Exactly one finite score for every frame of ``video``; only its id, size and frame count are read.

        ``remember`` is that of :meth:`fit`, for this video after that fit.
        """

    def summary(self) -> dict[str, Any]:
        """Return what the fit found that a record should hold (components kept, variance reached), JSON-able."""

    def state(self) -> State:
        """Return the fit, arrays and JSON-able values: what :meth:`load_state` needs to score to the bit the same."""

    def load_state(self, state: State) -> None:
        """Take over the fit of a detector with the same settings; it need not score training videos."""
