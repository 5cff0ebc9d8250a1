"""Fit a detector on the training videos and score every test video: the part of a run that costs time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from tqdm import tqdm

from vadbench.data.readers.masks import load_npy
from vadbench.data.video import Dataset, Video
from vadbench.density.base import Remember
from vadbench.errors import VadbenchError, one_of
from vadbench.experiment.allocator import keep_freed_memory, release_freed_memory
from vadbench.files import bounded
from vadbench.models.base import Detector, Extractor, Features, VideoScores
from vadbench.models.clips.to_frames import ClipMaps
from vadbench.store.features import EAGER, MemoryStore, Store, keys_of
from vadbench.store.key import digest
from vadbench.store.one_pass import get_all

Keep = Callable[[VideoScores], VideoScores]


@dataclass
class Scored:
    """What came out.

    Attributes
    ----------
    scores: of every test video, in the dataset's order.
    training_scores: ``float64 (N,)``, raw scores of all frames of the training videos, for thresholds that never saw a
        test video.
    timings: seconds by phase. summary: what the fit found.
    engines: what ran the network, to the number of videos whose features it made; empty where only one way is known.
    """

    scores: list[VideoScores]
    training_scores: np.ndarray
    timings: dict[str, float]
    summary: dict[str, Any]
    engines: dict[str, int] = field(default_factory=dict)


def score_dataset(
    detector: Detector,
    dataset: Dataset,
    store: Store | None = None,
    keep: Keep = lambda scores: scores,
    progress: str = "off",
    watching: Sequence[Extractor] = (),
    plugins: Mapping[str, str] | None = None,
) -> Scored:
    """Extract what the store lacks, fit, score; usable without any configuration.

    Parameters
    ----------
    store: where features are kept; None keeps them in memory.
    watching: extractors whose features of labelled test videos will be wanted too; those that can take their frames
        from the pass that ``detector`` makes.
    keep: may move what a video's scores hold out of memory before the next video is scored.
    progress: "auto" shows bars on a terminal, "on" always, "off" never.
    plugins: digests of the plug-ins that fit, by part: what another version of them cached is not used.
    """
    if store is None:
        store = MemoryStore()
    timings: dict[str, float] = {}
    keep_freed_memory()
    detector.extractor.prepare(dataset.train)
    with timed(timings, "extract_train"):
        train = {v.id: store.get(detector.extractor, v) for v in _bar(dataset.train, "training videos", progress)}
    # Before the fit, so that what the fit found and what the network holds while it runs are never in memory together.
    with timed(timings, "extract_test"):
        test = {}
        for video in _bar(dataset.test, "test videos", progress):
            others = watching if video.labels is not None else ()
            test[video.id] = get_all(store, detector.extractor, others, video)
    release_freed_memory()
    with timed(timings, "fit"):
        keys = [_made(store, detector.extractor, v) for v in dataset.train]
        outside = {"plugins": dict(plugins)} if plugins else {}
        spec = {"fit": detector.fit_spec(), "dtype": store.dtype, "features": keys, **outside}
        detector.fit(train, partial(_remembered, store, spec))

    def remember(video: Video) -> Remember:
        keys = _made(store, detector.extractor, video)
        return partial(_remembered, store, {"fit": spec["fit"], "fitted": digest(spec), "video": keys})

    with timed(timings, "score"):
        # A method that would recognise a training video says how it scores one that it has never seen.
        own = getattr(detector, "score_training", detector.score)
        training = [own(video, train.pop(video.id), remember(video)).scores for video in dataset.train]
        scores = []
        for video in _bar(dataset.test, "scores", progress):
            result = detector.score(video, test.pop(video.id), remember(video))
            _check(video, result)
            scores.append(keep(result))
    engines = _engines(store, detector.extractor, dataset)
    return Scored(scores, np.concatenate([*training, np.empty(0)]), timings, detector.summary(), engines)


def _made(store: Store, extractor: Extractor, video: Video) -> dict[str, str]:
    """Output to what identifies its arrays to the bit: its key, and what ran the network where that is not eager."""
    keys = keys_of(extractor, video, store.dtype)
    engines = {name: store.engine(key) for name, key in keys.items()}
    return {name: key if engines[name] == EAGER else f"{key} {engines[name]}" for name, key in keys.items()}


def _engines(store: Store, extractor: Extractor, dataset: Dataset) -> dict[str, int]:
    """Count videos by what ran the network; empty where the extractor knows only one way."""
    if not hasattr(extractor, "engine"):
        return {}
    videos = (*dataset.train, *dataset.test)
    made = [{store.engine(key) for key in keys_of(extractor, video, store.dtype).values()} for video in videos]
    return dict(Counter(engine for engines in made for engine in sorted(engines)))


def _remembered(store: Store, spec: dict[str, Any], name: str, make: Callable[[], Features]) -> Features:
    return store.derived(name, spec, make)


def maps_on_disk(folder: Path) -> Keep:
    """Return a ``keep`` that moves clip maps into files in ``folder``: memory does not grow with the number of
    videos."""

    def keep(scores: VideoScores) -> VideoScores:
        if not isinstance(scores.maps, ClipMaps):
            return scores
        folder.mkdir(parents=True, exist_ok=True)
        path = _map_file(folder, scores.video)
        np.save(path, scores.maps.values, allow_pickle=False)
        return replace(scores, maps=replace(scores.maps, values=np.load(path, mmap_mode="r", allow_pickle=False)))

    return keep


def kept_clip_maps(folder: Path, video: str) -> np.ndarray | None:
    """Return the clip maps ``float32 (N, h, w)`` that :func:`maps_on_disk` put into ``folder``, memory-mapped; None
    if it has none of ``video``."""
    path = _map_file(folder, video)
    return load_npy(path) if path.is_file() else None


def _map_file(folder: Path, video: str) -> Path:
    return folder / f"{bounded(quote(video, safe=' '))}.npy"


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - started


def _bar(videos: tuple[Video, ...], what: str, progress: str) -> Iterator[Video]:
    bars = {"auto": None, "on": False, "off": True}
    disable = bars[one_of("progress", progress, bars)]
    return iter(tqdm(videos, desc=what, unit="video", disable=disable))


def _check(video: Video, result: VideoScores) -> None:
    """Check what the detector returns: one that breaks its contract is found out before its numbers are."""
    if result.scores.shape != (video.n_frames,) or result.filled.shape != (video.n_frames,):
        raise VadbenchError(
            f"the detector gave {result.scores.shape} scores for the {video.n_frames} frames of video {video.id!r}"
        )
    if not np.isfinite(result.scores).all():
        frame = int(np.flatnonzero(~np.isfinite(result.scores))[0])
        raise VadbenchError(f"the score of video {video.id!r}, frame {frame}, is not finite")
