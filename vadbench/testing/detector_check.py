"""Conformance of methods: a detector with its extractor, on made-up videos."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.config.compose import compose
from vadbench.config.schema import RunConfig
from vadbench.data.video import Dataset, Video
from vadbench.errors import ConfigError, DataError
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.experiment.record import fingerprint
from vadbench.models.base import Detector, Extractor, Features, VideoScores
from vadbench.models.registry import build
from vadbench.store.features import MemoryStore
from vadbench.testing import made_up
from vadbench.testing.require import (
    is_close,
    one_kernel,
    require,
    require_close,
    require_finite,
    require_same,
    run_checks,
    unchanged,
)
from vadbench.testing.variants import variants, with_random_weights


def check_detector(name: str, *overrides: str, fixed: Collection[str] = ()) -> list[str]:
    """Return what holds of a registered method. Networks get random weights: nothing is downloaded.

    Nonconformance where it does not: one finite score for each frame, the same to the bit for a seed, whatever the
    order of the videos, the batch size and the labels; maps of the size that they say; inputs left as they are; and
    features and memoized parts under specs that name every key on which they depend.

    Parameters
    ----------
    overrides: such as ``"model.bins=8"`` or ``"backbone=flow_grid"``, as on the command line.
    fixed: keys such as ``"model.bins"``, or groups, that are not varied.
    """
    words = [f"model={name}", "dataset=synthetic", "runtime.device=cpu", *overrides]
    config = with_random_weights(compose(words))
    groups = ("model", "density", *registry.get("model", name).facts.get("groups", ()))
    with one_kernel():
        return run_checks(f"model {name!r}", lambda: _checks(config, groups, fixed))


@dataclass
class _Outcome:
    """A fitted detector, and what it said of the test videos and of the training videos."""

    detector: Detector
    videos: dict[str, VideoScores]
    training: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Of all test videos by id, whatever the order in which they were scored."""
        return np.concatenate([self.videos[video].scores for video in sorted(self.videos)])


class _WatchedStore(MemoryStore):
    """A store that finds out who writes into the features that it hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[tuple[str, Features, Features]] = []

    def get(self, extractor: Extractor, video: Video, video_digest: str | None = None) -> dict[str, Features]:
        """See :meth:`MemoryStore.get`."""
        features = super().get(extractor, video, video_digest)
        self.handed += [(video.id, arrays, copy.deepcopy(arrays)) for arrays in features.values()]
        return features

    def require_unchanged(self) -> None:
        """Nonconformance if an array is not what it was when it was handed out."""
        for video, arrays, before in self.handed:
            for name, array in before.items():
                require_same(array, arrays[name], f"changes its inputs: the features {name!r} of video {video!r}")


def _run(config: RunConfig, data: Dataset, store: MemoryStore | None = None) -> _Outcome:
    detector = build(config)
    scored = score_dataset(detector, data, store)
    return _Outcome(detector, {scores.video: scores for scores in scored.scores}, scored.training_scores)


def _checks(config: RunConfig, groups: Collection[str], fixed: Collection[str]) -> Iterable[str]:
    data = made_up.dataset(_n_frames(config))
    store = _WatchedStore()
    frames = {f"the frames of video {v.id!r}": _pixels(v) for v in (*data.train, *data.test)}
    with unchanged(frames):
        first = _run(config, data, store)
    for video in data.test:
        require_finite(first.videos[video.id].scores, (video.n_frames,), f"the scores of video {video.id!r}")
    require_finite(first.training, (sum(v.n_frames for v in data.train),), "the scores of the training videos")
    yield "one finite score for each frame"
    store.require_unchanged()
    yield "changes none of its inputs"
    again = _run(config, data)
    fault = "is not deterministic: two runs with one seed give different"
    require_same(first.scores, again.scores, f"{fault} scores")
    for video in data.test:
        _check_maps(video, first.videos[video.id], again.videos[video.id], fault)
    yield "the same scores and maps to the bit for a seed"
    yield "maps and regions that fit their video" if first.videos[data.test[0].id].maps is not None else "no maps"
    for which, turned in (
        ("training", replace(data, train=data.train[::-1])),
        ("test", replace(data, test=data.test[::-1])),
    ):
        require_close(first.scores, _run(config, turned).scores, f"depends on the order of the {which} videos")
    yield "scores that do not depend on the order of the videos"
    larger = replace(config, runtime=replace(config.runtime, batch_size=(config.runtime.batch_size or 1) + 2))
    require_close(first.scores, _run(larger, data).scores, "depends on the batch size (runtime.batch_size)")
    yield "scores that do not depend on the batch size"
    _check_labels(config, data, first)
    yield "no look at labels, masks or tracks"
    _check_keys(config, data, first, variants(config, groups, fixed))
    yield "no key that changes scores and not the spec"
    if hasattr(first.detector, "frames_ahead"):
        _check_frames_ahead(data.test[-1], first)
        yield "no score that depends on more later frames than frames_ahead"
    if hasattr(first.detector, "state"):
        _check_state(config, data, first)
        yield "a fit that is saved and loaded scores the same to the bit"


def _n_frames(config: RunConfig) -> int:
    """Enough for three clips of the backbone."""
    if config.backbone is None:
        return 12
    span: int = (config.backbone.clip_length - 1) * config.backbone.frame_step + 1
    stride: int = config.backbone.clip_stride
    return max(12, span + 2 * stride)


def _pixels(video: Video) -> np.ndarray:
    assert isinstance(video.source, made_up.WritableFrames)
    return video.source.array


def _check_maps(video: Video, scores: VideoScores, again: VideoScores, not_deterministic: str) -> None:
    if scores.maps is not None and again.maps is not None:
        maps, whose = scores.maps, f"the maps of video {video.id!r}"
        require(len(maps) == video.n_frames, f"{whose} are {len(maps)} for {video.n_frames} frames")
        shape = np.shape(maps[0])
        require(len(shape) == 2, f"{whose} have the shape {shape} and not (h, w)")
        for frame in range(video.n_frames):
            require_finite(maps[frame], shape, f"{whose} at frame {frame}")
            require_same(maps[frame], again.maps[frame], f"{not_deterministic} maps")
        for size in (video.size, (video.size[0] + 7, video.size[1] - 5)):
            require_finite(maps.at_size(video.n_frames - 1, size), size, f"{whose} at the size {size}")
    if scores.regions is not None:
        whose = f"the regions of video {video.id!r}"
        missing = [name for name in ("frame", "x1", "y1", "x2", "y2", "score") if name not in scores.regions]
        require(not missing, f"{whose} lack the columns {', '.join(missing)}")
        require(scores.regions["frame"].between(0, video.n_frames - 1).all(), f"{whose} are in frames that it lacks")


def _check_labels(config: RunConfig, data: Dataset, first: _Outcome) -> None:
    """Require the same scores with other labels, and without any."""
    unlabelled = tuple(replace(video, labels=None, masks=None) for video in data.test)
    inverted = tuple(replace(v, labels=~v.labels, masks=None) for v in data.test if v.labels is not None)
    train = tuple(replace(v, labels=np.arange(v.n_frames) % 3 == 0) for v in data.train)
    for what, changed in (
        ("test labels", replace(data, test=unlabelled)),
        ("test labels", replace(data, test=inverted)),
        ("training labels", replace(data, train=train)),
    ):
        try:
            scores = _run(config, changed).scores
        except Exception as error:
            require(False, f"reads {what}: without them it raises {type(error).__name__}: {error}")
        require_same(first.scores, scores, f"reads {what}: with other ones the scores are others")


def _check_keys(config: RunConfig, data: Dataset, first: _Outcome, others: Iterable[tuple[str, RunConfig]]) -> None:
    """Require that a key that changes the scores changes the specs of features and fits, and the key of the run."""
    store = MemoryStore()
    _run(config, data, store)
    for key, other in others:
        try:
            alone = _run(other, data)
        except (ConfigError, DataError):
            continue  # values that the key can't have beside the others
        fault = f"the key {key} changes the scores but not the spec that features are stored under (Extractor.outputs)"
        memoized = f"{fault[:-1]}) or that parts of a fit are memoized under (Detector.fit_spec)"
        require_close(alone.scores, _run(other, data, store).scores, memoized)
        if _key(other, alone.detector) == _key(config, first.detector):
            fault = f"the key {key} changes the scores but not the key of the run; give it another name"
            require(is_close(first.scores, alone.scores), fault)


def _key(config: RunConfig, detector: Detector) -> str:
    values: Mapping[str, Any] = asdict(config)
    return fingerprint(values, detector.extractor.outputs(), "", "")


def _check_frames_ahead(video: Video, first: _Outcome) -> None:
    """Require that the scores of frames more than ``frames_ahead`` before a change stay as they are."""
    frames, ahead = _pixels(video).copy(), first.detector.frames_ahead
    frames[-4:] = 255 - frames[-4:, ::-1]
    changed = replace(video, source=made_up.WritableFrames(frames, video.id))
    scores = first.detector.score(changed, MemoryStore().get(first.detector.extractor, changed)).scores
    kept = slice(max(0, video.n_frames - 4 - ahead))
    fault = f"says frames_ahead={ahead}, and scores depend on later frames"
    require_close(first.videos[video.id].scores[kept], scores[kept], fault)


def _check_state(config: RunConfig, data: Dataset, first: _Outcome) -> None:
    state, fresh, store = first.detector.state(), build(config), MemoryStore()
    fresh.extractor.prepare(data.train)
    fresh.load_state(type(state)(state.arrays, json.loads(json.dumps(state.values))))
    for video in data.test:
        scores = fresh.score(video, store.get(fresh.extractor, video)).scores
        fault = "a fit that is saved and loaded (state, load_state) gives other scores"
        require_same(first.videos[video.id].scores, scores, fault)
