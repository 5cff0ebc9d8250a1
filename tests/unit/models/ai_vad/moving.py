"""A street of moving squares: videos small enough for random networks, and stages that count what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from vadbench.backbones.weights_file import WeightsFile
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Video
from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
from vadbench.models.ai_vad.regions.region_set import RegionSet
from vadbench.models.ai_vad.streams.attributes import FeatureExtractor
from vadbench.models.ai_vad.streams.flow import FlowExtractor
from vadbench.models.base import Features


def street(
    name: str = "01",
    n_frames: int = 8,
    speeds: Sequence[float] = (2.0, -3.0),
    size: tuple[int, int] = (64, 96),
    seed: int = 0,
) -> Video:
    """Textured squares of 14 pixels that move sideways at ``speeds`` pixels a frame on a textured ground."""
    rng = np.random.default_rng([seed, *name.encode()])
    ground = cv2.GaussianBlur(rng.integers(60, 120, (*size, 3), dtype=np.uint8), (0, 0), 1.5)
    frames = np.repeat(ground[None], n_frames, axis=0)
    for lane, speed in enumerate(speeds):
        body = rng.integers(130, 256, (14, 14, 3), dtype=np.uint8)
        top = 4 + lane * 20
        start = 6 if speed >= 0 else size[1] - 22
        for t in range(n_frames):
            left = round(start + speed * t)
            if 0 <= left <= size[1] - 14:
                frames[t, top : top + 14, left : left + 14] = body
    return Video(name, ArraySource(frames))


class CountingDetector:
    """A detector that finds nothing and counts the frames it saw, of all calls and of each."""

    def __init__(self) -> None:
        self.frames = 0
        self.calls: list[int] = []

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        self.frames += len(frames)
        self.calls.append(len(frames))
        return [RegionSet.empty() for _ in frames]

    def spec(self) -> dict[str, Any]:
        return {"detector": "counting"}

    def weights(self) -> list[dict[str, Any]]:
        return []

    def files(self) -> list[WeightsFile]:
        return []


class CountingFlow(FlowExtractor):
    """DIS flow that counts its pairs."""

    def __init__(self) -> None:
        super().__init__("dis", size=None)
        self.pairs = 0

    def __call__(self, first_frame: np.ndarray, last_frame: np.ndarray) -> torch.Tensor:
        self.pairs += len(first_frame)
        return super().__call__(first_frame, last_frame)


class CropStatistics:
    """Stands in for a network: a few numbers of the pixels in each box, and counts of the boxes and of the frames of
    each call."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self.width = width
        self.boxes = 0
        self.calls: list[int] = []

    def __call__(self, frames: np.ndarray, boxes: Sequence[np.ndarray]) -> Features:
        rows = []
        for frame, frame_boxes in zip(frames, boxes, strict=True):
            for x1, y1, x2, y2 in frame_boxes.astype(int):
                crop = frame[y1:y2, x1:x2].astype(np.float64) / 255
                rows.append([crop.mean(), *np.quantile(crop, np.linspace(0, 1, self.width - 1))])
        self.boxes += len(rows)
        self.calls.append(len(frames))
        return {self.name: np.array(rows, dtype=np.float32).reshape(-1, self.width)}

    def spec(self) -> dict[str, Any]:
        return {"statistics": self.name, "width": self.width}

    def weights(self) -> list[dict[str, Any]]:
        return [{"part": self.name, "name": "none", "digest": ""}]


class Stages:
    """All stages of the method, counted and without networks."""

    def __init__(self, **streams: bool) -> None:
        self.detector = CountingDetector()
        self.flow = CountingFlow()
        self.pose, self.deep = CropStatistics("pose", 34), CropStatistics("deep", 16)
        self.streams = {f"use_{name}_features": True for name in ("velocity", "pose", "deep")} | streams

    def parts(self, n_velocity_bins: int = 1) -> dict[str, Any]:
        """Arguments of AiVad."""
        features = FeatureExtractor(n_velocity_bins, **self.streams, pose=self.pose, deep=self.deep)  # type: ignore[arg-type]
        return {
            "region_extractor": RegionExtractor(detector=self.detector, min_bbox_area=20),
            "flow_extractor": self.flow,
            "feature_extractor": features,
        }

    def counts(self) -> tuple[int, int, int, int]:
        return self.detector.frames, self.flow.pairs, self.pose.boxes, self.deep.boxes
