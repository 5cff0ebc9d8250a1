"""The exact rank table of all pixels of a dataset, in two passes over its frames and bounded memory.

The first pass keeps the scores of anomalous pixels, the second counts all pixels against the kept scores; what the
anomalous ones count for themselves is then taken off. Counts are integers and add up, so blocks of any size and in any
order give the same bits.

Shape legend: V videos, H W pixels, P anomalous pixels, U distinct scores among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.intervals.pixel_bins import VideoBins
from vadbench.evaluation.metrics.components import Components, RegionLabels
from vadbench.evaluation.metrics.maps import FrameArrays, MapFrame, map_frames, score_frame
from vadbench.evaluation.metrics.ranks import RankTable
from vadbench.evaluation.metrics.score_counter import CHUNK, ScoreCounter, ordered_bits

MAX_ANOMALOUS = 50_000_000
"""Anomalous pixels that an evaluation keeps for exact metrics: about 2.5 GB at the peak; beyond, a histogram."""


class TooManyPixels(Exception):
    """More anomalous pixels than the caller wants to keep in memory."""


def pixel_table(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    components: Components | None = None,
    block_pixels: int = CHUNK,
) -> RankTable:
    """Rank table of all pixels; with region weights 1/(R·|C|) if ``components`` says what the R regions C are.

    Parameters
    ----------
    maps_by_video, masks_by_video: video id to ``(T, H, W)`` arrays, or to anything with ``len()`` and ``[t]``; frames
        are asked for in order, those with an anomaly twice.
    components: ``"2d"`` (8-connected, each frame apart), ``"3d"`` (26-connected through time) or None.
    block_pixels: how many pixels are counted at once; the result does not depend on it.

    Memory: about 50 bytes a pixel of a block, the same an anomalous pixel at its peak, and at most 19 MB.
    """
    kept = _collect(maps_by_video, masks_by_video, components)
    return _build(maps_by_video, kept, block_pixels, None)


def pixel_table_by_video(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    components: Components | None = None,
    block_pixels: int = CHUNK,
    n_edges: int = 512,
    max_anomalous: int = MAX_ANOMALOUS,
    look_on: Callable[[MapFrame], None] = lambda frame: None,
) -> tuple[RankTable, VideoBins]:
    """Return the same, and a histogram of each video between quantiles of the anomalous scores, for resampling videos.

    ``look_on`` sees every frame once, in order. TooManyPixels as soon as there are more than ``max_anomalous``
    anomalous pixels.
    """
    kept = _collect(maps_by_video, masks_by_video, components, max_anomalous, look_on)
    bins = VideoBins.between(kept.score, kept.area, kept.sizes, kept.regions, n_edges)
    return _build(maps_by_video, kept, block_pixels, bins), bins


@dataclass
class _Kept:
    """Of the anomalous pixels, video after video: ``score (P,)`` and ``area (P,)`` of their regions (None without);
    ``sizes (V,)`` how many are in each video, ``regions (V,)`` how many regions; ``shapes`` of every frame's mask."""

    score: np.ndarray
    area: np.ndarray | None
    sizes: np.ndarray
    regions: np.ndarray
    shapes: dict[str, list[tuple[int, ...]]]


def _collect(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    components: Components | None,
    max_anomalous: int | None = None,
    look_on: Callable[[MapFrame], None] = lambda frame: None,
) -> _Kept:
    """Make the first pass. Maps of frames without an anomaly are not read here."""
    if components not in (None, "2d", "3d"):
        raise ConfigError(f"components={components!r} is unknown. {nearest(str(components), ['2d', '3d'])}")
    scores, areas = [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
    shapes: dict[str, list[tuple[int, ...]]] = {video: [] for video in maps_by_video}
    sizes: list[int] = []
    regions: list[int] = []
    for video, frames in map_frames(maps_by_video, masks_by_video):
        labels, numbers, anomalous = RegionLabels(components or "2d"), [np.zeros(0, np.int32)], 0
        for frame in frames:
            look_on(frame)
            shapes[video].append(frame.mask.shape)
            count = int(np.count_nonzero(frame.mask))
            anomalous += count
            if count:
                scores.append(frame.scores()[frame.mask])
            if components:
                numbered, window = labels.add(frame.mask)
                numbers.append(numbered[frame.mask[window]].astype(np.int32))
            if max_anomalous is not None and sum(sizes) + anomalous > max_anomalous:
                raise TooManyPixels
        sizes.append(anomalous)
        if components:
            final = labels.roots()[np.concatenate(numbers)]
            pixels = np.bincount(final, minlength=1)
            areas.append(pixels[final].astype(np.int32 if anomalous < 1 << 31 else np.int64))
            regions.append(int(np.count_nonzero(pixels[1:])))
    area = np.concatenate(areas) if components else None
    return _Kept(np.concatenate(scores), area, np.array(sizes, np.int64), np.array(regions, np.int64), shapes)


def _build(
    maps_by_video: Mapping[str, FrameArrays], kept: _Kept, block_pixels: int, bins: VideoBins | None
) -> RankTable:
    """Return the table, after the second pass. Takes the scores out of ``kept`` to save memory."""
    score, positives, weight = _distinct(kept)
    n_positive = int(kept.sizes.sum())
    counter = ScoreCounter(score, block_pixels)
    for number, (video, maps) in enumerate(maps_by_video.items()):
        for frame, shape in enumerate(kept.shapes[video]):
            counter.add(score_frame(maps, video, frame, shape).ravel())
        if bins is not None:
            bins.add(number, counter.below(bins.edges), counter.total)
    above, equal = counter.above_and_equal()
    # So far every pixel was counted.
    above += np.cumsum(positives)
    above -= n_positive
    equal -= positives
    n_negative = counter.total - n_positive
    return RankTable(score[::-1], positives[::-1], above[::-1], equal[::-1], n_positive, n_negative, weight)


def _distinct(kept: _Kept) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Ascending distinct scores ``(U,)``, how many pixels have each, and their summed weights, from high to low."""
    score, area = _sorted(kept.score, kept.area)
    kept.score, kept.area = score[:0], None
    starts = np.flatnonzero(np.append(True, score[1:] != score[:-1])) if score.size else np.zeros(0, dtype=np.int64)
    weight = None
    if area is not None and kept.regions.sum():
        weight = np.add.reduceat(1.0 / area, starts)[::-1] / kept.regions.sum()
    return score[starts], np.diff(np.append(starts, score.size)), weight


def _sorted(score: np.ndarray, area: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Both by score, and by area inside a tie, so that a sum of weights does not depend on the order of frames."""
    if area is None:
        return np.sort(score), None
    if score.dtype == np.float32 and area.dtype == np.int32:  # one sort of pairs costs a fifth of a sort of places
        pairs = ordered_bits(score).astype(np.uint64)
        pairs <<= np.uint64(32)
        pairs |= area.view(np.uint32)
        pairs.sort()
        return np.sort(score), pairs.astype(np.uint32)
    order = np.lexsort((area, score))
    return score[order], area[order]
