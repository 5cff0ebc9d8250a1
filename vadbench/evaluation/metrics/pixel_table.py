"""The exact rank table of all pixels of a dataset, in two passes over its frames and bounded memory.

The first pass keeps the scores of anomalous pixels, the second sorts all pixels block after block and counts where the
kept scores fall; what the anomalous ones count for themselves is then taken off. Counts are integers and add up, so
blocks of any size and in any order give the same bits.

Shape legend: V videos, H W pixels, P anomalous pixels, U distinct scores among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.intervals.pixel_bins import VideoBins
from vadbench.evaluation.metrics.components import Components, RegionLabels
from vadbench.evaluation.metrics.maps import FrameArrays, MapFrame, map_frames, score_frame
from vadbench.evaluation.metrics.ranks import RankTable, count_negatives

BLOCK_PIXELS = 20_000_000
_SLICE = 1 << 20
MAX_ANOMALOUS = 50_000_000
"""Anomalous pixels that an evaluation keeps for exact metrics: about 2.5 GB at the peak; beyond, a histogram."""


class TooManyPixels(Exception):
    """More anomalous pixels than the caller wants to keep in memory."""


def pixel_table(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    components: Components | None = None,
    block_pixels: int = BLOCK_PIXELS,
) -> RankTable:
    """Rank table of all pixels; with region weights 1/(R·|C|) if ``components`` says what the R regions C are.

    Parameters
    ----------
    maps_by_video, masks_by_video: video id to ``(T, H, W)`` arrays, or to anything with ``len()`` and ``[t]``; frames
        are asked for in order, those with an anomaly twice.
    components: ``"2d"`` (8-connected, each frame apart), ``"3d"`` (26-connected through time) or None.
    block_pixels: how many pixels are sorted at once; the result does not depend on it.

    Memory: 4 or 8 bytes a pixel of a block, and about 50 bytes an anomalous pixel at its peak.
    """
    kept = _collect(maps_by_video, masks_by_video, components)
    return _build(maps_by_video, kept, block_pixels, None)


def pixel_table_by_video(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    components: Components | None = None,
    block_pixels: int = BLOCK_PIXELS,
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
    score, starts, weight = _distinct(kept)
    n_positive = int(kept.sizes.sum())
    positives = np.diff(np.append(starts, n_positive))
    del starts
    counter = _Counter(score)
    n_pixels = sum(math.prod(shape) for shapes in kept.shapes.values() for shape in shapes)
    block_pixels = max(min(int(block_pixels), n_pixels), 1)
    for video, block in _blocks(maps_by_video, kept.shapes, block_pixels, by_video=bins is not None):
        block.sort()
        counter.add(block)
        if bins is not None:
            bins.add(video, block)
    above, equal = counter.finish()
    # So far every pixel was counted.
    above -= n_positive - np.cumsum(positives)
    equal -= positives
    negative = n_pixels - n_positive
    return RankTable(counter.score[::-1], positives[::-1], above[::-1], equal[::-1], n_positive, negative, weight)


def _distinct(kept: _Kept) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Ascending distinct scores ``(U,)``, where each starts among the sorted ones, and summed weights, descending."""
    # Sorted by area inside a tie, so that the sum of weights does not depend on the order of frames either.
    order = np.argsort(kept.score) if kept.area is None else np.lexsort((kept.area, kept.score))
    score = kept.score[order]
    kept.score = score[:0]
    starts = np.flatnonzero(np.append(True, score[1:] != score[:-1])) if score.size else np.zeros(0, dtype=np.int64)
    weight = None
    if kept.area is not None and kept.regions.sum():
        weight = np.add.reduceat(1.0 / kept.area[order], starts)[::-1] / kept.regions.sum()
    kept.area = None
    return score[starts], starts, weight


class _Counter:
    """Pixels above and at each ascending distinct ``score (U,)``, block after sorted block."""

    def __init__(self, score: np.ndarray) -> None:
        self.score = score
        self._above, self._equal = np.zeros(score.size, np.int64), np.zeros(score.size, np.int64)
        self._below: np.ndarray | None = None

    def add(self, block: np.ndarray) -> None:
        """Count a sorted block; the fewer search among the more."""
        if self.score.dtype != block.dtype:
            self.score = self.score.astype(np.result_type(self.score, block))
            block = block.astype(self.score.dtype)
        if self.score.size <= block.size:
            for start in range(0, self.score.size, _SLICE):  # the temporaries of a slice are small
                part = slice(start, start + _SLICE)
                above, equal = count_negatives(block, self.score[part])
                self._above[part] += above
                self._equal[part] += equal
            return
        if self._below is None:
            self._below = np.zeros(self.score.size + 1, np.int64)
        place = np.searchsorted(self.score, block, side="left")
        np.add.at(self._below, place, 1)
        inside = place < self.score.size
        tied = place[inside][self.score[place[inside]] == block[inside]]
        np.add.at(self._equal, tied, 1)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """``above (U,)``, ``equal (U,)``."""
        if self._below is not None:
            # A pixel at place i lies above the scores before i.
            self._above += self._below.sum() - np.cumsum(self._below)[:-1]
        return self._above, self._equal


def _blocks(
    maps_by_video: Mapping[str, FrameArrays],
    shapes: Mapping[str, list[tuple[int, ...]]],
    block_pixels: int,
    by_video: bool,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number of the video, its scores) in pieces of at most ``block_pixels``; each is overwritten after its use.

    A piece holds pixels of one video only if ``by_video``.
    """
    buffer, filled, number = np.empty(0, np.float32), 0, 0
    for number, (video, maps) in enumerate(maps_by_video.items()):
        for frame, shape in enumerate(shapes[video]):
            scores = score_frame(maps, video, frame, shape).ravel()
            if scores.dtype != buffer.dtype or not buffer.size:
                if filled:
                    yield number, buffer[:filled]
                buffer, filled = np.empty(block_pixels, scores.dtype), 0
            while scores.size:
                taken = min(scores.size, block_pixels - filled)
                buffer[filled : filled + taken] = scores[:taken]
                scores, filled = scores[taken:], filled + taken
                if filled == block_pixels:
                    yield number, buffer
                    filled = 0
        if by_video and filled:
            yield number, buffer[:filled]
            filled = 0
    if filled:
        yield number, buffer[:filled]
