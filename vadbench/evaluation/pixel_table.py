"""The exact rank table of all pixels of a data set, in two passes over its frames and bounded memory.

The first pass keeps the scores of anomalous pixels, the second sorts the normal ones block after block and counts where
the kept scores fall. Counts are integers and add up, so blocks of any size and in any order give the same bits.

Shape legend: H W pixels, P anomalous pixels, U distinct scores among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.components import Components, RegionLabels
from vadbench.evaluation.maps import FrameArrays, MapFrame, map_frames
from vadbench.evaluation.ranks import RankTable, count_negatives

BLOCK_PIXELS = 20_000_000


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
    block_pixels: how many normal pixels are sorted at once; the result does not depend on it.

    Memory: 4 or 8 bytes a pixel of a block, and about 30 bytes an anomalous pixel.
    """
    if components not in (None, "2d", "3d"):
        raise ConfigError(f"components={components!r} is unknown. {nearest(str(components), ['2d', '3d'])}")
    score, area, regions, n_negative = _anomalous_pixels(maps_by_video, masks_by_video, components)
    order = np.lexsort((area, score)) if components else np.argsort(score)
    score = score[order]
    starts = np.flatnonzero(np.append(True, score[1:] != score[:-1])) if score.size else np.zeros(0, dtype=np.int64)
    weight = None
    if components and regions:
        # Sorted by area inside a tie, so that the sum does not depend on the order of frames either.
        weight = np.add.reduceat(1.0 / area[order], starts)[::-1] / regions
    positives = np.diff(np.append(starts, score.size))
    block = max(min(int(block_pixels), n_negative), 1)
    above, equal = _count(maps_by_video, masks_by_video, score[starts], block)
    return RankTable(score[starts][::-1], positives[::-1], above[::-1], equal[::-1], score.size, n_negative, weight)


def _anomalous_pixels(
    maps_by_video: Mapping[str, FrameArrays], masks_by_video: Mapping[str, FrameArrays], components: Components | None
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Scores ``(P,)``, areas of their regions ``(P,)`` (empty without components), number of regions, normal pixels."""
    scores, areas, regions, normal = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], 0, 0
    for _, frames in map_frames(maps_by_video, masks_by_video):
        labels = RegionLabels(components or "2d")
        numbers = [np.zeros(0, np.int64)]
        for frame in frames:
            anomalous = int(np.count_nonzero(frame.mask))
            normal += frame.mask.size - anomalous
            if anomalous:
                scores.append(frame.scores()[frame.mask])
            if components:
                numbered, window = labels.add(frame.mask)
                numbers.append(numbered[frame.mask[window]])
        if components:
            final = labels.roots()[np.concatenate(numbers)]
            sizes = np.bincount(final, minlength=1)
            areas.append(sizes[final])
            regions += int(np.count_nonzero(sizes[1:]))
    return np.concatenate(scores), np.concatenate(areas), regions, normal


def _count(
    maps_by_video: Mapping[str, FrameArrays],
    masks_by_video: Mapping[str, FrameArrays],
    score: np.ndarray,
    block_pixels: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal pixels above and at each ascending distinct ``score (U,)``, over the whole set."""
    above, equal = np.zeros(score.size, np.int64), np.zeros(score.size, np.int64)
    frames = (frame for _, video in map_frames(maps_by_video, masks_by_video) for frame in video)
    for block in _blocks(frames, block_pixels):
        block.sort()
        if score.dtype != block.dtype:
            score = score.astype(np.result_type(score, block))
        more_above, more_equal = count_negatives(block.astype(score.dtype, copy=False), score)
        above += more_above
        equal += more_equal
    return above, equal


def _blocks(frames: Iterator[MapFrame], block_pixels: int) -> Iterator[np.ndarray]:
    """The normal pixels in pieces of at most ``block_pixels``; each piece is overwritten after it was used."""
    buffer, filled = np.empty(0, np.float32), 0
    for frame in frames:
        scores = frame.scores()
        normal = scores[~frame.mask] if frame.mask.any() else scores.ravel()
        if normal.dtype != buffer.dtype or not buffer.size:
            if filled:
                yield buffer[:filled]
            buffer, filled = np.empty(block_pixels, normal.dtype), 0
        while normal.size:
            taken = min(normal.size, block_pixels - filled)
            buffer[filled : filled + taken] = normal[:taken]
            normal, filled = normal[taken:], filled + taken
            if filled == block_pixels:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]
