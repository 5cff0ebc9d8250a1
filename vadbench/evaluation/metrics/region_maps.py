"""RBDC and TBDC of score maps: at every threshold the connected components of what scores at least that much.

Shape legend: T frames, H W pixels, K thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import ndimage

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.metrics.maps import FrameArrays, score_frame
from vadbench.evaluation.metrics.pixel_criterion import smallest_count
from vadbench.evaluation.metrics.regions import Endpoint, RegionCriteria, checked_boxes, criteria

Shape = Literal["component", "box"]
Spacing = Literal["linear", "quantile"]

_STRUCTURE = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), dtype=np.int8)}


def rbdc_tbdc_from_maps(
    maps_by_video: Mapping[str, FrameArrays],
    tracks: pd.DataFrame,
    iou: float = 0.1,
    track_fraction: float = 0.1,
    thresholds: int | Sequence[float] = 100,
    spacing: Spacing = "linear",
    shape: Shape = "component",
    connectivity: Literal[4, 8] = 8,
    endpoint: Endpoint = "flat",
    inclusive_pixels: bool = True,
) -> RegionCriteria:
    """RBDC and TBDC where the detections at threshold t are the components of ``map ≥ t``.

    As t falls components first multiply and then merge, so the FPR is not monotone: only the branch from high
    thresholds to the first crossing of FPR = 1 counts, and the sweep stops there. The curve depends on the thresholds.

    Parameters
    ----------
    maps_by_video: video id to finite ``(T, H, W)``, every test video. tracks: as :func:`rbdc_tbdc`, in map pixels.
    thresholds: how many, spread over the values of the maps above the smallest one as ``spacing`` says (``linear``
        from the largest value down, as published; ``quantile``: half of them quantiles of the frame maxima, where few
        components exist yet, the rest linear below), or the values themselves. A constant map detects nothing.
    shape: IoU of a component's own pixels with the box, or of its bounding ``box`` with the box.
    connectivity: 4 or 8. The other arguments as :func:`rbdc_tbdc`.
    """
    for name, value, allowed in (
        ("shape", shape, get_args(Shape)),
        ("spacing", spacing, get_args(Spacing)),
        ("connectivity", connectivity, (4, 8)),
        ("endpoint", endpoint, get_args(Endpoint)),
    ):
        if value not in allowed:
            raise ConfigError(f"{name}={value!r} is unknown. {nearest(str(value), [str(a) for a in allowed])}")
    lengths = {video: len(maps) for video, maps in maps_by_video.items()}
    truth = checked_boxes(tracks, "tracks", "track", lengths, inclusive_pixels)
    levels = _levels(maps_by_video, thresholds, spacing)
    sweep = _Sweep(levels, sum(lengths.values()), len(truth), iou, shape, _STRUCTURE[connectivity], inclusive_pixels)
    groups = dict(list(truth.assign(row=np.arange(len(truth))).groupby(["video", "frame"])))
    for video, maps in maps_by_video.items():
        for t in range(len(maps)):
            sweep.add(score_frame(maps, video, t), groups.get((str(video), t)))
    curve = sweep.curve(truth, track_fraction)
    n_tracks = int(truth[["video", "track"]].drop_duplicates().shape[0])
    return criteria(curve, endpoint, sweep.n_detections, len(truth), n_tracks, sum(lengths.values()))


def detections_from_maps(
    maps_by_video: Mapping[str, FrameArrays], threshold: float, connectivity: Literal[4, 8] = 8
) -> pd.DataFrame:
    """Return the components of ``map ≥ threshold`` as scored boxes, the other way from maps to regions: one fixed cut.

    Columns video, frame, x1, y1, x2, y2 (last pixels, for ``inclusive_pixels=True``), score (the component's maximum).
    The threshold must come from training scores.
    """
    rows: list[tuple[str, int, int, int, int, int, float]] = []
    for video, maps in maps_by_video.items():
        for t in range(len(maps)):
            values = score_frame(maps, video, t)
            numbers, count = ndimage.label(values >= threshold, structure=_STRUCTURE[connectivity])
            peaks = ndimage.maximum(values, numbers, np.arange(1, count + 1)) if count else []
            for (y, x), peak in zip(ndimage.find_objects(numbers), peaks, strict=True):
                rows.append((video, t, x.start, y.start, x.stop - 1, y.stop - 1, float(peak)))
    return pd.DataFrame(rows, columns=["video", "frame", "x1", "y1", "x2", "y2", "score"])


def _levels(
    maps_by_video: Mapping[str, FrameArrays], thresholds: int | Sequence[float], spacing: Spacing
) -> np.ndarray:
    """Thresholds ``(K,)`` from high to low."""
    if not isinstance(thresholds, int):
        return np.unique(np.asarray(thresholds, dtype=np.float64))[::-1]
    if thresholds < 2:
        raise ConfigError(f"thresholds={thresholds} must be at least 2, or a list of values.")
    peaks, low = [], np.inf
    for video, maps in maps_by_video.items():
        for t in range(len(maps)):
            values = score_frame(maps, video, t)
            peaks.append(float(values.max()))
            low = min(low, float(values.min()))
    if not peaks:
        return np.zeros(0)
    if spacing == "linear":
        levels = np.linspace(low, max(peaks), thresholds + 1)
    else:
        half = thresholds // 2
        upper = np.quantile(peaks, np.linspace(1, 0, half))
        levels = np.concatenate([upper, np.linspace(min(peaks), low, thresholds - half + 1)])
    # At the smallest value every frame is one region whatever the map shows, and a perfect map would end there.
    return np.unique(levels[levels > low])[::-1]


class _Sweep:
    """Counts at every threshold, frame after frame; thresholds past the first crossing of FPR = 1 are given up."""

    def __init__(
        self,
        levels: np.ndarray,
        n_frames: int,
        n_regions: int,
        iou: float,
        shape: Shape,
        structure: np.ndarray,
        inclusive_pixels: bool,
    ) -> None:
        self._levels, self._n_frames, self._iou, self._shape = levels, n_frames, iou, shape
        self._structure, self._inclusive = structure, inclusive_pixels
        self._false = np.zeros(levels.size, dtype=np.int64)
        self._found = np.zeros(levels.size, dtype=np.int64)
        self._hit = np.zeros((n_regions, levels.size), dtype=bool)
        self._needed = levels.size

    @property
    def n_detections(self) -> int:
        """Components at the lowest threshold that was needed."""
        return int(self._found[self._needed - 1]) if self._needed else 0

    def add(self, values: np.ndarray, regions: pd.DataFrame | None) -> None:
        """Label one frame at each needed threshold and match its components with its regions."""
        boxes = np.zeros((0, 4)) if regions is None else regions[["x1", "y1", "x2", "y2"]].to_numpy(dtype=np.float64)
        rows = np.zeros(0, dtype=np.int64) if regions is None else regions["row"].to_numpy()
        first = int(np.searchsorted(-self._levels, -float(values.max())))
        for k in range(first, self._needed):
            numbers, count = ndimage.label(values >= self._levels[k], structure=self._structure)
            overlap = self._overlaps(numbers, count, boxes) >= self._iou
            self._found[k] += count
            self._false[k] += count - int(np.count_nonzero(overlap.any(axis=1)))
            self._hit[rows, k] = overlap.any(axis=0)
        beyond = np.flatnonzero(self._false[: self._needed] >= self._n_frames)
        if beyond.size:
            # False positives only add up, so the first crossing can't lie below this threshold any more.
            self._needed = int(beyond[0]) + 1

    def _overlaps(self, numbers: np.ndarray, count: int, boxes: np.ndarray) -> np.ndarray:
        """IoU ``(count, regions)`` of the components with the boxes."""
        iou = np.zeros((count, len(boxes)))
        if not count or not len(boxes):
            return iou
        x1, y1, x2, y2 = boxes.T
        if self._inclusive:
            x2, y2 = x2 + 1, y2 + 1
        areas = (x2 - x1) * (y2 - y1)
        if self._shape == "box":
            objects = ndimage.find_objects(numbers)
            spans = np.array([[x.start, y.start, x.stop, y.stop] for y, x in objects], dtype=np.float64)
            width = np.minimum(spans[:, None, 2], x2) - np.maximum(spans[:, None, 0], x1)
            height = np.minimum(spans[:, None, 3], y2) - np.maximum(spans[:, None, 1], y1)
            common = np.maximum(width, 0) * np.maximum(height, 0)
            own = (spans[:, 2] - spans[:, 0]) * (spans[:, 3] - spans[:, 1])
            shares: np.ndarray = common / (own[:, None] + areas - common)
            return shares
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        for i in range(len(boxes)):
            # A pixel belongs to a box as far as it lies in it, so boxes with fractions are counted exactly.
            rows, columns = _cover(y1[i], y2[i], numbers.shape[0]), _cover(x1[i], x2[i], numbers.shape[1])
            part = numbers[rows[0], columns[0]]
            weight = np.outer(rows[1], columns[1])
            common = np.bincount(part.ravel(), weights=weight.ravel(), minlength=count + 1)[1:]
            iou[:, i] = common / (sizes + areas[i] - common)
        return iou

    def curve(self, truth: pd.DataFrame, track_fraction: float) -> pd.DataFrame:
        """Rates at every needed threshold, after a row where nothing is detected."""
        used = slice(0, self._needed)
        tracks = [
            np.count_nonzero(self._hit[rows][:, used], axis=0) >= smallest_count(track_fraction, len(rows))
            for rows in truth.groupby(["video", "track"]).indices.values()
        ]
        rates: dict[str, Any] = {
            "fpr": self._false[used] / max(self._n_frames, 1),
            "rbdr": self._hit[:, used].sum(axis=0) / max(len(self._hit), 1),
            "tbdr": np.sum(tracks, axis=0) / max(len(tracks), 1) if tracks else np.zeros(self._needed),
        }
        zero = {name: np.append(0.0, values) for name, values in rates.items()}
        return pd.DataFrame({"threshold": np.append(np.inf, self._levels[used]), **zero})


def _cover(start: float, stop: float, size: int) -> tuple[slice, np.ndarray]:
    """Return the pixels of an axis that the span [start, stop) touches, and what share of each lies in it."""
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(stop)), size)
    pixel = np.arange(first, max(first, last))
    share = np.minimum(pixel + 1, stop) - np.maximum(pixel, start)
    return slice(first, first + pixel.size), np.clip(share, 0, 1)
