"""Scores and labels from two files brought together, clip by clip and frame by frame, with everything said.

Shape legend: T frames of a clip, N frames of all clips end to end, K frames that have a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from vadbench.data.labels.published import from_ranges
from vadbench.errors import DataError, nearest, one_of
from vadbench.evaluation.score_files.known_sets import same_lengths, same_total
from vadbench.evaluation.score_files.read import Values

Missing = Literal["drop", "fill"]


@dataclass
class Aligned:
    """Frames that have a score and a label.

    Attributes
    ----------
    scores, labels, frames, filled: clip to ``(K,)``: float64, 0 and 1, frame numbers, True where interpolated.
    n_labelled: frames that have a label, in clips with or without scores. absent: clips without scores.
    dataset: recognised by the lengths of the clips, or None. clips_known: False if all frames had to be one clip.
    notes: what was assumed, for the reader.
    """

    scores: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    filled: dict[str, np.ndarray]
    n_labelled: int
    absent: list[str]
    dataset: str | None = None
    clips_known: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class _Clips:
    """The clips as the labels have them: lengths in order, and the frame number of each clip's first label."""

    lengths: dict[str, int]
    start: int = 0
    known: bool = True


def align(
    scores: Values, labels: Values, lengths: Sequence[int] | None = None, offset: int = 0, missing: Missing = "drop"
) -> Aligned:
    """Match scores with labels.

    Parameters
    ----------
    lengths: of the clips of flat lists, in order, of the labels or of the scores; needed where neither file nor a known
        test set tells them.
    offset: how many first frames of every clip have a label and no score. missing: ``drop`` such frames, or ``fill``
        them with the score of the nearest frame that has one.

    DataError if frames don't add up, with what would make them.
    """
    one_of("missing", missing, get_args(Missing))
    notes: list[str] = []
    clips = _clips(scores, labels, lengths, offset, notes)
    truth = _labels(labels, clips)
    first = {clip: (frames[0] if frames.size else 0) for clip, (frames, _) in truth.items()}
    given = _scores(scores, clips, {clip: int(n) for clip, n in first.items()}, offset, notes)
    found = Aligned({}, {}, {}, {}, sum(y.size for _, y in truth.values()), [], clips_known=clips.known, notes=notes)
    lacking = 0
    for clip, (frames, y) in truth.items():
        if clip not in given:
            found.absent.append(clip)
            continue
        _join(found, clip, frames, y, *given[clip], missing)
        lacking += y.size - given[clip][0].size
        if scores.filled is not None:
            found.filled[clip] |= np.isin(found.frames[clip], given[clip][0][scores.filled[clip]])
    if lacking:
        how = "dropped" if missing == "drop" else "filled with the nearest score"
        notes.append(f"{lacking} labelled frames of the scored clips have no score: {how}")
    if fit := same_lengths(list(clips.lengths.values())):
        found.dataset = fit[0].dataset
    return found


def _join(
    found: Aligned, clip: str, frames: np.ndarray, y: np.ndarray, scored: np.ndarray, s: np.ndarray, missing: Missing
) -> None:
    """One clip's labels with its scores; frames in both rise."""
    beyond = np.setdiff1d(scored, frames)
    if beyond.size:
        raise DataError(f"Clip {clip!r} has a score for frame {beyond[0]}, but no label ({beyond.size} such frames).")
    has = np.isin(frames, scored)
    if missing == "fill" and scored.size:
        place = np.searchsorted(scored, frames)
        left, right = np.maximum(place - 1, 0), np.minimum(place, scored.size - 1)
        pick = np.where(np.abs(scored[right] - frames) <= np.abs(frames - scored[left]), right, left)
        found.scores[clip], found.labels[clip], found.frames[clip], found.filled[clip] = s[pick], y, frames, ~has
    else:
        found.scores[clip], found.labels[clip], found.frames[clip] = s, y[has], frames[has]
        found.filled[clip] = np.zeros(int(has.sum()), dtype=bool)


def _labels(labels: Values, clips: _Clips) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Clip to frame numbers ``(T,)`` and labels ``(T,)``."""
    if labels.by_video is not None:
        frames = labels.frames or {clip: clips.start + np.arange(y.size) for clip, y in labels.by_video.items()}
        return {clip: (frames[clip], y) for clip, y in labels.by_video.items()}
    cuts = np.cumsum(list(clips.lengths.values()))[:-1]
    if labels.flat is not None:
        pieces = np.split(labels.flat, cuts)
    else:
        assert labels.ranges is not None
        pieces = []
        for (clip, n), ranges in zip(clips.lengths.items(), labels.ranges, strict=True):
            pieces.append(from_ranges(ranges, n, f"{labels.source}: clip {clip}").astype(np.float64))
            if pieces[-1].size != n:
                raise DataError(f"{labels.source}: clip {clip} is anomalous up to frame {pieces[-1].size}, of {n}.")
    return {clip: (clips.start + np.arange(y.size), y) for clip, y in zip(clips.lengths, pieces, strict=True)}


def _scores(
    scores: Values, clips: _Clips, first: dict[str, int], offset: int, notes: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Clip to frame numbers ``(K,)`` and scores ``(K,)``."""
    by_clip = scores.by_video if scores.by_video is not None else _cut(scores, clips, offset)
    unknown = [clip for clip in by_clip if clip not in clips.lengths]
    if unknown:
        raise DataError(
            f"{scores.source}: clip {unknown[0]!r} has scores, but no labels ({len(unknown)} such clips). "
            + nearest(unknown[0], clips.lengths)
        )
    if scores.frames is not None:
        return {clip: (scores.frames[clip], s) for clip, s in by_clip.items()}
    found, late = {}, 0
    for clip, s in by_clip.items():
        n = clips.lengths[clip]
        if s.size not in (n, n - offset):
            hint = f" If the clip lacks its first frames: --offset {n - s.size}." if s.size < n else ""
            raise DataError(f"{scores.source}: clip {clip!r} has {s.size} scores, but {n} labels.{hint}")
        shift = offset if s.size != n else 0
        late += shift > 0
        found[clip] = (first[clip] + shift + np.arange(s.size), s)
    if late:
        notes.append(f"{late} of {len(found)} clips lack their first {offset} frames")
    elif offset and not clips.start:
        notes.append(f"--offset {offset} is not needed: there is a score for every label")
    return found


def _cut(scores: Values, clips: _Clips, offset: int) -> dict[str, np.ndarray]:
    """Return a flat list of scores by clip, whether it lacks the first frames or not."""
    assert scores.flat is not None
    for lack in sorted({0, offset}):
        lengths = [n - lack for n in clips.lengths.values()]
        if sum(lengths) == scores.flat.size and min(lengths) >= 0:
            return dict(zip(clips.lengths, np.split(scores.flat, np.cumsum(lengths)[:-1]), strict=True))
    total, n = sum(clips.lengths.values()), len(clips.lengths)
    short = total - scores.flat.size
    hint = (
        f" That is {short // n} for each of {n} clips: --offset {short // n}." if short > 0 and short % n == 0 else ""
    )
    raise DataError(
        f"{scores.source}: {scores.flat.size} scores for {total} labels in {n} clips, {abs(short)} "
        f"{'fewer' if short > 0 else 'more'}.{hint}"
    )


def _clips(scores: Values, labels: Values, lengths: Sequence[int] | None, offset: int, notes: list[str]) -> _Clips:
    """Return which clips there are, from the file that says it, from ``lengths``, or from a known test set."""
    if labels.by_video is not None:
        return _Clips({clip: y.size for clip, y in labels.by_video.items()})
    total = labels.flat.size if labels.flat is not None else None
    lengths = lengths or labels.lengths or scores.lengths
    if lengths is not None:
        return _from_lengths(list(lengths), total, offset, scores, notes)
    if scores.by_video is not None:
        own = {clip: s.size for clip, s in scores.by_video.items()}
        for lack in sorted({0, offset}):
            if total is None or sum(own.values()) + lack * len(own) == total:
                lack = offset if total is None else lack
                return _Clips({clip: n + lack for clip, n in own.items()})
        lists = len(set(own.values())) == 1 and total is not None and 0.9 * total <= next(iter(own.values())) <= total
        hint = f" If these are several lists of one method, choose one: --array {next(iter(own))}." if lists else ""
        raise DataError(f"{labels.source}: {total} labels, but {sum(own.values())} scores in {len(own)} clips.{hint}")
    assert scores.flat is not None
    fit = same_total(total if total is not None else scores.flat.size + offset * len(labels.ranges or []))
    if fit is not None and (labels.ranges is None or len(labels.ranges) == len(fit[0].lengths)):
        known, lack = fit
        short = f", each without its first {lack} frames" if lack else ""
        notes.append(f"cut into the {len(known.clips)} clips of {known.dataset} by the number of frames{short}")
        return _Clips(dict(zip(known.clips, (n - lack for n in known.lengths), strict=True)), lack)
    if total == scores.flat.size:
        notes.append(
            "clip lengths unknown (--lengths): all frames count as one clip, without an interval or macro AUROC"
        )
        return _Clips({"all": total}, known=False)
    raise DataError(
        f"{labels.source}: {total if total is not None else len(labels.ranges or [])} "
        f"{'labels' if total is not None else 'clips'} for {scores.flat.size} scores. "
        "Give the clip lengths (--lengths) and how many first frames each clip lacks (--offset)."
    )


def _from_lengths(lengths: list[int], total: int | None, offset: int, scores: Values, notes: list[str]) -> _Clips:
    """Clips from lengths that the user gave, which may be those of the labels or those of the scores."""
    n = len(lengths)
    names = list(scores.by_video) if scores.by_video is not None and len(scores.by_video) == n else None
    fit = same_lengths(lengths)
    names = names or (list(fit[0].clips) if fit else [f"{clip:02d}" for clip in range(1, n + 1)])
    if total is None:
        scored = scores.flat.size if scores.flat is not None else sum(lengths)
        total = scored + (offset * n if scored == sum(lengths) and not (fit and fit[1] == 0) else 0)
        total = max(total, sum(lengths))
    spare = total - sum(lengths)
    if spare % n or spare // n not in {0, offset, -offset}:
        raise DataError(
            f"--lengths has {n} clips of {sum(lengths)} frames in all, but there are {total} labels"
            + (
                f": {abs(spare) // n} {'more' if spare > 0 else 'fewer'} for each clip; see --offset."
                if spare % n == 0
                else "."
            )
        )
    found = {name: length + spare // n for name, length in zip(names, lengths, strict=True)}
    known = same_lengths(list(found.values()))
    if known and known[1]:
        notes.append(f"clips are those of {known[0].dataset}, each without its first {known[1]} frames")
    return _Clips(found, known[1] if known else 0)
