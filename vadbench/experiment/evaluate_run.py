"""A run's scores and ground truth as the arrays that the evaluation takes, maps and masks frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.data.video import Dataset, MaskSource, Video
from vadbench.errors import DataError
from vadbench.evaluation.own_objects import name_of, own_metrics
from vadbench.evaluation.protocols.protocol import Protocol, effective
from vadbench.experiment.fit_and_score import Scored
from vadbench.models.base import Detector, ScoreMaps, VideoScores
from vadbench.models.baselines import from_frames
from vadbench.store.features import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class UpsampledMaps:
    """Score maps at the resolution of the ground truth: a lazy ``float32 (T, H, W)``."""

    maps: ScoreMaps
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, frame: int) -> np.ndarray:
        return self.maps.at_size(frame, self.size)


def assess(
    detector: Detector,
    dataset: Dataset,
    scored: Scored,
    store: Store,
    protocol: Protocol | str,
    seed: int,
    **options: Any,
) -> Any:
    """Return the evaluation of all test videos whose labels are known; None where it is switched off or nothing is
    known.

    The detector's ``post_processor`` decides what happens to raw scores (True: ``protocol``; False: nothing; a function
    of your own from scores by video to scores by video, which replaces it), its ``evaluator`` what is computed (True:
    everything; False: nothing; a function of your own, called with scores and labels by video, that returns a mapping
    of metrics: name to a number, or to an entry with "value" as in run.json). The card is of the raw scores, whatever
    the post-processor. ``options`` go to :func:`vadbench.evaluation.compute.evaluate`.
    """
    known, labels = labelled(dataset.test, scored.scores)
    from vadbench.evaluation.compute import evaluate

    evaluator = getattr(detector, "evaluator", True)
    if evaluator is False or not known:
        return None
    post_processor = getattr(detector, "post_processor", True)
    primary = effective(protocol, post_processor)
    raw, known = known, processed(known, post_processor)
    if callable(evaluator):
        return own_metrics(evaluator(known, labels), evaluator, len(known), primary.name)
    maps, masks = with_masks(dataset.test, scored.scores)
    rivals = frame_baselines([video for video in dataset.test if video.id in known], store)
    card = options.pop("protocols", "all")
    found = evaluate(
        known,
        labels,
        primary=primary,
        protocols=() if callable(post_processor) else card,
        dataset=dataset.name,
        maps_by_video=maps or None,
        masks_by_video=masks or None,
        detections=_boxes(dataset.test, scored.scores, lambda video, result: result.regions),
        tracks=_boxes(dataset.test, scored.scores, lambda video, result: video.tracks),
        frame_baselines=rivals,
        training_scores=None if callable(post_processor) else scored.training_scores,
        filled_by_video={result.video: result.filled for result in scored.scores if result.video in known},
        seed=seed,
        **options,
    )
    if not callable(post_processor):
        return found
    # Neither the published protocols nor the baselines know of an object that stands in for the protocol.
    untouched = evaluate(
        raw, labels, protocols=card, dataset=dataset.name, frame_baselines=rivals, seed=seed, **options
    )
    return replace(found, card=untouched.card, baselines=untouched.baselines)


def frame_baselines(videos: Sequence[Video], store: Store) -> dict[str, dict[str, np.ndarray]]:
    """Scores by video of the baselines that look at frames, by the name of the baseline."""
    return {
        rival.name: {video.id: rival.score(video, store.get(rival.extractor, video)).scores for video in videos}
        for rival in from_frames()
    }


def assess_scenes(
    detector: Detector, dataset: Dataset, scored: Scored, protocol: Protocol | str, seed: int
) -> dict[str, dict[str, Any]]:
    """Frame metrics of the test videos of each scene by itself; empty where the dataset has no scenes or one."""
    from vadbench.evaluation.compute import evaluate

    scenes = sorted({video.scene for video in dataset.test if video.scene is not None})
    if len(scenes) < 2 or getattr(detector, "evaluator", True) is not True:
        return {}
    post_processor = getattr(detector, "post_processor", True)
    primary = effective(protocol, post_processor)
    known, labels = labelled(dataset.test, scored.scores)
    known = processed(known, post_processor)
    found = {}
    for scene in scenes:
        chosen = [video.id for video in dataset.test if video.scene == scene and video.id in labels]
        if chosen:
            scores, truth = {v: known[v] for v in chosen}, {v: labels[v] for v in chosen}
            result = evaluate(scores, truth, primary=primary, protocols=(), dataset=dataset.name, seed=seed)
            found[scene] = {name: entry for name, entry in result.metrics.items() if name.startswith("frame_")}
    return found


def processed(scores: Mapping[str, np.ndarray], post_processor: Any) -> dict[str, np.ndarray]:
    """Scores by video as a post-processor of the user's own returns them, or as they are; ``scores`` stay.

    DataError if it returns other videos or other numbers of frames.
    """
    if not callable(post_processor):
        return dict(scores)
    made = post_processor({video: values.copy() for video, values in scores.items()})
    who = f"post_processor {name_of(post_processor)}"
    if not isinstance(made, Mapping) or set(made) != set(scores):
        raise DataError(f"{who}: it must return scores for the videos that it was given, a mapping by video id")
    for video, values in scores.items():
        if np.shape(made[video]) != values.shape:
            raise DataError(f"{who}: video {video!r} has {len(values)} frames, it returned {np.shape(made[video])}")
    return {video: np.asarray(made[video], dtype=np.float64) for video in scores}


def labelled(
    videos: Sequence[Video], scores: Sequence[VideoScores]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores and labels by video id, of the videos whose labels are known."""
    pairs = [(video, result) for video, result in zip(videos, scores, strict=True) if video.labels is not None]
    return (
        {video.id: result.scores for video, result in pairs},
        {video.id: video.labels for video, _ in pairs if video.labels is not None},
    )


def with_masks(
    videos: Sequence[Video], scores: Sequence[VideoScores]
) -> tuple[dict[str, UpsampledMaps], dict[str, MaskSource]]:
    """Return maps and masks by video id, of the videos that have both; maps are brought to the size of the masks."""
    maps: dict[str, UpsampledMaps] = {}
    masks: dict[str, MaskSource] = {}
    for video, result in zip(videos, scores, strict=True):
        if video.masks is not None and result.maps is not None:
            height, width = video.masks[0].shape
            maps[video.id] = UpsampledMaps(result.maps, (height, width))
            masks[video.id] = video.masks
    return maps, masks


def _boxes(
    videos: Sequence[Video],
    scores: Sequence[VideoScores],
    table: Callable[[Video, VideoScores], pd.DataFrame | None],
) -> pd.DataFrame | None:
    """One table of boxes over all videos whose labels are known; None unless every such video has one."""
    import pandas as pd

    pairs = zip(videos, scores, strict=True)
    tables = [(video.id, table(video, result)) for video, result in pairs if video.labels is not None]
    found = [boxes.assign(video=video) for video, boxes in tables if boxes is not None]
    return pd.concat(found, ignore_index=True) if found and len(found) == len(tables) else None
