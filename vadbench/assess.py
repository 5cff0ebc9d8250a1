"""A run's scores and ground truth as the arrays that the evaluation takes, maps and masks frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadbench.data.video import Video
from vadbench.models.base import ScoreMaps, VideoScores


@dataclass(frozen=True)
class UpsampledMaps:
    """Score maps at the resolution of the ground truth: a lazy ``float32 (T, H, W)``."""

    maps: ScoreMaps
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, frame: int) -> np.ndarray:
        return self.maps.at_size(frame, self.size)


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
) -> tuple[dict[str, UpsampledMaps], dict[str, object]]:
    """Maps and masks by video id, of the videos that have both; maps are brought to the size of the masks."""
    maps: dict[str, UpsampledMaps] = {}
    masks: dict[str, object] = {}
    for video, result in zip(videos, scores, strict=True):
        if video.masks is not None and result.maps is not None:
            maps[video.id] = UpsampledMaps(result.maps, video.masks[0].shape[:2])  # type: ignore[arg-type]
            masks[video.id] = video.masks
    return maps, masks
