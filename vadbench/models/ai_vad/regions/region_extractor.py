"""Where to look in a frame: boxes of detected objects and boxes of what moved outside them.

Shape legend: N frame pairs, M regions of a frame, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vadbench.data.opencv import opencv_version
from vadbench.errors import ConfigError, nearest
from vadbench.models.ai_vad.in_threads import in_threads
from vadbench.models.ai_vad.regions.coco import PERSON, WHOLE_FRAME
from vadbench.models.ai_vad.regions.detectors import Detector, TorchvisionDetector
from vadbench.models.ai_vad.regions.foreground import foreground_regions
from vadbench.models.ai_vad.regions.region_set import RegionSet, box_areas, join
from vadbench.models.ai_vad.tensors import is_tensor, region_dict, to_frames

# A noisy frame can hold thousands of blobs; their overlaps are computed in blocks of this many rows.
_BOXES_AT_ONCE = 512

EDGES = ("exclusive", "inclusive")
BLURS = ("opencv", "torchvision")
FALLBACKS = ("none", "whole_frame")

# These came later: the spec names them where they differ, so that regions stored before are still found.
_LATER = {"edges": "exclusive", "blur": "opencv"}


@dataclass(frozen=True)
class ForegroundRules:
    """How moving blobs become regions. The defaults are anomalib's; the official code differs in all but the first.

    Attributes
    ----------
    kernel_size: side of the Gaussian blur, odd.
    threshold: grey levels (of 255) that the blurred frames must differ by.
    min_area: box area in pixels that must be exceeded; None takes that of the detections.
    max_aspect: longer over shorter side that a box must stay below; None allows any (official code: 10).
    growth: pixels that a box is grown by on each side (official code: 2).
    unfiltered: True adds blobs after the class and overlap filters, which then see detections only (official code).
    per_channel: True compares each colour channel with the threshold (official code), False the grey level.
    edges: "exclusive" or "inclusive" (anomalib). blur: "opencv" or "torchvision" (anomalib). See
        :func:`vadbench.models.ai_vad.regions.foreground.foreground_regions`.
    """

    kernel_size: int = 3
    threshold: int = 18
    min_area: int | None = None
    max_aspect: float | None = None
    growth: int = 0
    unfiltered: bool = False
    per_channel: bool = False
    edges: str = "exclusive"
    blur: str = "opencv"

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ConfigError(f"foreground_kernel_size={self.kernel_size}: must be odd, and at least 1")
        if self.edges not in EDGES:
            raise ConfigError(f"Unknown foreground_edges {self.edges!r}. {nearest(self.edges, EDGES)}")
        if self.blur not in BLURS:
            raise ConfigError(f"Unknown foreground_blur {self.blur!r}. {nearest(self.blur, BLURS)}")

    def spec(self) -> dict[str, Any]:
        """Return the rules as a plain mapping."""
        return {name: value for name, value in self.__dict__.items() if name not in _LATER or value != _LATER[name]}


class RegionExtractor:
    """Regions of the last frame of each pair: detections there, and foreground that the pair shows outside them.

    Parameters
    ----------
    box_score_thresh: confidence from which a detection counts, if no detector is given.
    persons_only: keep regions of class person only; this drops foreground too, unless it is ``unfiltered``.
    min_bbox_area: box area in pixels that must be exceeded.
    max_bbox_overlap: a box is dropped if a larger one covers more than this share of it.
    enable_foreground_detections: whether to look for foreground.
    foreground_kernel_size, foreground_binary_threshold: those of ``foreground`` if given (its defaults are 3 and 18).
    detector: finds objects in a frame (:mod:`vadbench.models.ai_vad.regions.detectors`); None for Mask R-CNN as
        documented, ``NoDetector()`` for foreground only.
    foreground: how to look for foreground.
    inclusive_areas: areas and overlaps count both end pixels of a box (official code).
    fallback: what a frame gets where nothing is found: "none", or "whole_frame", one region with the frame as its box
        (official code).
    """

    def __init__(
        self,
        box_score_thresh: float = 0.8,
        persons_only: bool = False,
        min_bbox_area: int = 100,
        max_bbox_overlap: float = 0.65,
        enable_foreground_detections: bool = True,
        foreground_kernel_size: int | None = None,
        foreground_binary_threshold: int | None = None,
        *,
        detector: Detector | None = None,
        foreground: ForegroundRules | None = None,
        inclusive_areas: bool = False,
        fallback: str = "none",
    ) -> None:
        if fallback not in FALLBACKS:
            raise ConfigError(f"regions.fallback: unknown fallback {fallback!r}. {nearest(fallback, FALLBACKS)}")
        self.detector = TorchvisionDetector(score_thresh=box_score_thresh) if detector is None else detector
        self.persons_only = persons_only
        self.min_bbox_area = min_bbox_area
        self.max_bbox_overlap = max_bbox_overlap
        self.enable_foreground_detections = enable_foreground_detections
        given = {"kernel_size": foreground_kernel_size, "threshold": foreground_binary_threshold}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.foreground = replace(foreground or ForegroundRules(), **changes)
        self.inclusive_areas = inclusive_areas
        self.fallback = fallback

    def __call__(self, first_frame: Any, last_frame: Any, batch_size: int | None = None) -> list[Any]:
        """Regions of each of N pairs ``uint8 (N, H, W, 3)`` RGB, boxes in pixels of the last frame.

        ``batch_size``: frames that the detector sees at once; None: all. Of tensors ``(N, 3, H, W)`` what
        :func:`vadbench.models.ai_vad.tensors.region_dict` describes.
        """
        if is_tensor(last_frame):
            found = self(to_frames(first_frame), to_frames(last_frame), batch_size)
            return [region_dict(regions, last_frame) for regions in found]
        step = batch_size or max(1, len(last_frame))
        parts = [self.detector(last_frame[i : i + step]) for i in range(0, len(last_frame), step)]
        found = in_threads(self._pair, first_frame, last_frame, [regions for part in parts for regions in part])
        if self.fallback == "none":
            return found
        return [regions if len(regions) else whole_frame(last_frame.shape[1:3]) for regions in found]

    def spec(self) -> dict[str, Any]:
        """Everything that the regions depend on; no network is built."""

        spec: dict[str, Any] = {
            "regions": 1,
            "detector": self.detector.spec(),
            "persons_only": self.persons_only,
            "min_bbox_area": self.min_bbox_area,
            "max_bbox_overlap": self.max_bbox_overlap,
            "foreground": None,
        }
        if self.enable_foreground_detections:
            spec["foreground"] = {**self.foreground.spec(), "opencv": opencv_version()}
            if self.foreground.blur == "torchvision":
                import torchvision

                spec["foreground"]["torchvision"] = torchvision.__version__.split("+")[0]
        if self.inclusive_areas:
            spec["inclusive_areas"] = True
        return spec if self.fallback == "none" else {**spec, "fallback": self.fallback}

    def add_foreground(self, regions: RegionSet, first_frame: np.ndarray, last_frame: np.ndarray) -> RegionSet:
        """``regions`` and the moving blobs outside them, of one pair of frames ``uint8 (H, W, 3)``."""
        return join([regions, self._blobs(regions, first_frame, last_frame)])

    def post_process_bbox_detections(self, regions: RegionSet) -> RegionSet:
        """Those of the regions of one frame that pass the filters on class, area and overlap, in this order."""
        if self.persons_only:
            regions = subsample_regions(regions, regions.labels == PERSON)
        inclusive = self.inclusive_areas
        regions = subsample_regions(regions, box_areas(regions.boxes, inclusive) > self.min_bbox_area)
        return subsample_regions(regions, ~covered(regions.boxes, self.max_bbox_overlap, inclusive))

    def _pair(self, first: np.ndarray, last: np.ndarray, detected: RegionSet) -> RegionSet:
        if not self.enable_foreground_detections:
            return self.post_process_bbox_detections(detected)
        if self.foreground.unfiltered:
            return self.add_foreground(self.post_process_bbox_detections(detected), first, last)
        return self.post_process_bbox_detections(self.add_foreground(detected, first, last))

    def _blobs(self, regions: RegionSet, first: np.ndarray, last: np.ndarray) -> RegionSet:
        rules = self.foreground
        return foreground_regions(
            first,
            last,
            regions.boxes,
            rules.kernel_size,
            rules.threshold,
            self.min_bbox_area if rules.min_area is None else rules.min_area,
            rules.max_aspect,
            rules.growth,
            rules.per_channel,
            rules.edges,
            rules.blur,
            self.inclusive_areas,
        )


def subsample_regions(regions: RegionSet, keep: np.ndarray | Sequence[int]) -> RegionSet:
    """Return the regions chosen by a ``bool (M,)`` mask or by indices, in that order."""
    return regions.take(np.asarray(keep))


def whole_frame(size: tuple[int, ...]) -> RegionSet:
    """One region that is all of a frame of ``size`` (H, W), of a class of its own and with no confidence."""
    box = np.array([[0, 0, size[1], size[0]]], np.float32)
    return RegionSet(box, np.array([WHOLE_FRAME], np.int16), np.zeros(1, np.float32), (None,))


def covered(boxes: np.ndarray, share: float, inclusive: bool = False) -> np.ndarray:
    """``bool (M,)``: boxes ``(M, 4)`` of which a larger one covers more than ``share`` of their own area.

    Of boxes of the same size the one that comes first counts as the smaller. ``inclusive``: see :func:`box_areas`.
    """
    areas = box_areas(boxes, inclusive)
    order = np.argsort(areas, kind="stable")
    result = np.empty(len(boxes), dtype=bool)
    for start in range(0, len(boxes), _BOXES_AT_ONCE):
        mine = order[start : start + _BOXES_AT_ONCE]
        shared = intersections(boxes[mine], boxes[order], inclusive)
        too_much = np.triu(shared > share * areas[mine][:, None], k=start + 1)
        result[mine] = too_much.any(axis=1)
    return result


def intersections(a: np.ndarray, b: np.ndarray, inclusive: bool = False) -> np.ndarray:
    """Areas ``(M, K)`` that boxes ``a (M, 4)`` and ``b (K, 4)`` have in common."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0]) + inclusive
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1]) + inclusive
    areas: np.ndarray = np.clip(width, 0, None) * np.clip(height, 0, None)
    return areas
