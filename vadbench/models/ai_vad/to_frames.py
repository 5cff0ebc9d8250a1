"""From the scores of regions to scores and maps of frames.

Shape legend: T frames, R regions of a video, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vadbench.errors import ConfigError
from vadbench.models.ai_vad.regions.region_set import unpack_boxes, unpack_mask, window
from vadbench.models.base import Features

REDUCTIONS = ("sum_of_max", "max_of_sum")

# Calibration maps the least anomalous training region to 0; this is what an empty frame and an empty pixel get.
MINIMUM = 0.0


def reduce_frames(
    frame: np.ndarray,
    scores: Mapping[str, np.ndarray],
    in_sum: Sequence[str],
    n_frames: int,
    how: str,
    missing: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Scores of frames from calibrated scores of their regions: ``float64 (T,)``.

    Parameters
    ----------
    frame: ``int (R,)``, the frame of each region.
    scores: stream to ``(R,)``, NaN where a region has no such feature.
    in_sum: streams that count.
    how: "sum_of_max": each stream takes its own most anomalous region (paper, official code, anomalib); "max_of_sum":
        the region whose sum over streams is largest.
    missing: stream to the score of a frame with no region that has the feature; the calibrated minimum, 0, if it is not
        named. A region without a feature beside others that have it counts as the minimum.
    """
    if how not in REDUCTIONS:
        raise ConfigError(f"Unknown frame reduction {how!r}. Available: {', '.join(REDUCTIONS)}.")
    if how == "max_of_sum":
        total = _largest(frame, np.sum([np.nan_to_num(scores[s], nan=MINIMUM) for s in in_sum], axis=0), n_frames)
    else:
        total = np.sum([_largest(frame, scores[stream], n_frames) for stream in in_sum], axis=0)
    for stream, score in (missing or {}).items():
        if stream in in_sum:
            # What is not there has added the minimum so far, which is 0.
            there = np.bincount(frame[~np.isnan(scores[stream])], minlength=n_frames) > 0
            total = np.where(there, total, total + score)
    return total


def _largest(frame: np.ndarray, scores: np.ndarray, n_frames: int) -> np.ndarray:
    there = ~np.isnan(scores)
    best = np.full(n_frames, -np.inf)
    np.maximum.at(best, frame[there], scores[there])
    return np.where(np.isfinite(best), best, MINIMUM)


class RegionMaps:
    """Anomaly maps at the size of the frame, drawn when asked for: the largest score of the regions over each pixel.

    Parameters
    ----------
    regions: packed regions of a video. scores: ``float64 (R,)`` of each. size: (H, W) of the frame.
    source: ``int (T,)``: the frame whose regions each frame shows (another one only where a score was interpolated).
    with_masks: True colours the mask of a region, False all of its box.

    Pixels outside all regions have the calibrated minimum, 0, and no region is below it.
    """

    def __init__(
        self, regions: Features, scores: np.ndarray, size: tuple[int, int], source: np.ndarray, with_masks: bool = True
    ) -> None:
        self.regions = regions
        self.scores = scores
        self.size = size
        self.source = source
        self.with_masks = with_masks
        self._boxes = unpack_boxes(regions)
        self._starts = np.searchsorted(regions["frame"], np.arange(len(source) + 1))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, frame: int) -> np.ndarray:
        """``float32 (H, W)``."""
        if not -len(self) <= frame < len(self):
            raise IndexError(frame)
        plane = np.full(self.size, MINIMUM, dtype=np.float32)
        at = int(self.source[frame])
        for region in range(self._starts[at], self._starts[at + 1]):
            part = plane[window(self._boxes[region])]
            mask = unpack_mask(self.regions, region) if self.with_masks else None
            np.maximum(part, np.float32(self.scores[region]), out=part, where=True if mask is None else mask)
        return plane

    def at_size(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """``float32 (H, W)`` at another size, bilinear; the map itself at its own."""
        plane = self[frame]
        if size == self.size:
            return plane
        import cv2

        return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)
