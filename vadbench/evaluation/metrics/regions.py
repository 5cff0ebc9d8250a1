"""RBDC and TBDC: region- and track-based detection criteria from boxes with scores (Ramachandra and Jones 2020).

Written from the definition. Shape legend: D detections, R ground-truth regions (a track in one frame).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from vadbench.errors import ConfigError, DataError, nearest
from vadbench.evaluation.metrics.pixel_criterion import smallest_count

Endpoint = Literal["flat", "to_one", "truncate"]
_BOX = ["x1", "y1", "x2", "y2"]


@dataclass(frozen=True)
class RegionCriteria:
    """RBDC and TBDC with the curve that they are the area of.

    Attributes
    ----------
    rbdc, tbdc: areas under the rates of detected regions and tracks for FPR in [0, 1]; NaN without ground truth.
    curve: columns threshold (falling from +inf), fpr (false positive regions a frame), rbdr, tbdr.
    fpr_reached: the FPR at which the used branch ends, at most 1. Below 1 the rest of the area is ``endpoint``'s doing.
    n_detections, n_regions, n_tracks, n_frames: what was counted.
    """

    rbdc: float
    tbdc: float
    curve: pd.DataFrame
    fpr_reached: float
    n_detections: int
    n_regions: int
    n_tracks: int
    n_frames: int


def rbdc_tbdc(
    detections: pd.DataFrame,
    tracks: pd.DataFrame,
    n_frames: Mapping[str, int],
    iou: float = 0.1,
    track_fraction: float = 0.1,
    endpoint: Endpoint = "flat",
    inclusive_pixels: bool = True,
) -> RegionCriteria:
    """RBDC and TBDC of scored boxes.

    At threshold t: a ground-truth region is detected iff a detection of its frame with score ≥ t has IoU ≥ ``iou`` with
    it; a track iff at least ``track_fraction`` of its regions are; a detection is a false positive iff its IoU is below
    ``iou`` with every region of its frame. FPR = false positives / all test frames, so it can exceed 1. Tied scores
    enter together. The area runs over the branch from high thresholds to the first crossing of FPR = 1, interpolated.

    Parameters
    ----------
    detections: columns video, frame (from 0), x1, y1, x2, y2, score (finite). May be empty.
    tracks: columns video, frame, track, x1, y1, x2, y2; one row a track and frame. Track ids are per video.
    n_frames: video id to its number of frames, every test video, also those without detections or ground truth.
    endpoint: what follows where the curve ends before FPR = 1: ``flat``, the last rate; ``to_one``, a line to (1, 1);
        ``truncate``, nothing.
    inclusive_pixels: x2, y2 are the last pixels of the box (width x2 − x1 + 1, as in the public ShanghaiTech tracks);
        False: they are edges (width x2 − x1).

    DataError for videos or frames that do not exist, empty or non-finite boxes, repeated (track, frame) rows.
    """
    if endpoint not in get_args(Endpoint):
        raise ConfigError(f"endpoint={endpoint!r} is unknown. {nearest(str(endpoint), get_args(Endpoint))}")
    for name, value in (("iou", iou), ("track_fraction", track_fraction)):
        if not 0 < value <= 1:
            raise ConfigError(f"{name}={value} must lie in (0, 1]; 0.1 in the paper.")
    found = checked_boxes(detections, "detections", "score", n_frames, inclusive_pixels)
    truth = checked_boxes(tracks, "tracks", "track", n_frames, inclusive_pixels)
    best, matched = match_boxes(found, truth, iou, inclusive_pixels)
    by_track = track_scores(truth, best, track_fraction).to_numpy(dtype=np.float64)
    frames = sum(int(n) for n in n_frames.values())
    curve = _curve(found["score"].to_numpy(), matched, best, by_track, frames)
    return criteria(curve, endpoint, len(found), len(truth), by_track.size, frames)


def criteria(
    curve: pd.DataFrame, endpoint: Endpoint, n_detections: int, n_regions: int, n_tracks: int, n_frames: int
) -> RegionCriteria:
    """Return the areas under a curve with columns threshold (falling), fpr, rbdr, tbdr, whose first row is fpr 0."""
    fpr = curve["fpr"].to_numpy()
    areas = {name: _area(fpr, curve[name].to_numpy(), endpoint) for name in ("rbdr", "tbdr")}
    reached = float(min(fpr.max(initial=0.0), 1.0))
    if n_regions == 0 or n_frames == 0:
        areas = {"rbdr": float("nan"), "tbdr": float("nan")}
    return RegionCriteria(areas["rbdr"], areas["tbdr"], curve, reached, n_detections, n_regions, n_tracks, n_frames)


def _area(fpr: np.ndarray, rate: np.ndarray, endpoint: Endpoint) -> float:
    """Area for FPR in [0, 1] over the rows before the first one with FPR ≥ 1, that one cut at 1."""
    beyond = np.flatnonzero(fpr >= 1.0)
    if beyond.size:
        last = int(beyond[0])
        share = (1.0 - fpr[last - 1]) / (fpr[last] - fpr[last - 1])
        end = rate[last - 1] + share * (rate[last] - rate[last - 1])
        fpr, rate = np.append(fpr[:last], 1.0), np.append(rate[:last], end)
    elif endpoint != "truncate":
        fpr, rate = np.append(fpr, 1.0), np.append(rate, rate[-1] if endpoint == "flat" else 1.0)
    return float(np.sum(np.diff(fpr) * (rate[1:] + rate[:-1]) / 2))


def checked_boxes(
    table: pd.DataFrame, name: str, value: str, n_frames: Mapping[str, int], inclusive_pixels: bool
) -> pd.DataFrame:
    """Return a copy of boxes with the needed columns only, video as text; DataError for rows that can't be."""
    columns = ["video", "frame", *_BOX, value]
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(f"The table of {name} has no column {missing[0]!r}. {nearest(missing[0], table.columns)}")
    rows = table[columns].reset_index(drop=True)
    rows["video"] = rows["video"].astype(str)
    lengths = {str(video): int(n) for video, n in n_frames.items()}
    unknown = rows.loc[~rows["video"].isin(lengths.keys()), "video"]
    if len(unknown):
        raise DataError(
            f"The {name} name video {unknown.iloc[0]!r}, which has no n_frames. {nearest(unknown.iloc[0], lengths)}"
        )
    frame = rows["frame"].to_numpy(dtype=np.float64)
    if not np.array_equal(frame, np.floor(frame)):
        raise DataError(f"The {name} name frame {frame[frame != np.floor(frame)][0]}; frames are whole numbers from 0.")
    rows["frame"] = frame.astype(np.int64)
    beyond = rows[(frame < 0) | (frame >= np.array([lengths[video] for video in rows["video"]], dtype=np.float64))]
    if len(beyond):
        row = beyond.iloc[0]
        raise DataError(
            f"The {name} name frame {row['frame']} of video {row['video']!r}, which has {lengths[row['video']]} frames "
            "(numbered from 0)."
        )
    boxes = rows[_BOX].to_numpy(dtype=np.float64)
    sides = boxes[:, 2:] - boxes[:, :2] + inclusive_pixels
    numbers = np.isfinite(boxes).all(axis=1) & (sides > 0).all(axis=1)
    if value == "score":
        numbers &= np.isfinite(rows["score"].to_numpy(dtype=np.float64))
    if not numbers.all():
        row = rows[~numbers].iloc[0]
        raise DataError(f"The {name} hold a row that is no box: {row.to_dict()} (not finite, or x2, y2 before x1, y1).")
    if value == "track" and rows.duplicated(["video", "track", "frame"]).any():
        row = rows[rows.duplicated(["video", "track", "frame"])].iloc[0]
        raise DataError(f"Track {row['track']} of video {row['video']!r} has two boxes in frame {row['frame']}.")
    return rows.astype(dict.fromkeys([*_BOX, *(["score"] if value == "score" else [])], np.float64))


def match_boxes(
    found: pd.DataFrame, truth: pd.DataFrame, iou: float, inclusive_pixels: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For each region the best score of a detection that matches it (−inf: none); for each detection, does it match."""
    best, matched = np.full(len(truth), -np.inf), np.zeros(len(found), dtype=bool)
    by_video = dict(list(found.assign(detection=np.arange(len(found))).groupby("video", sort=False)))
    for video, regions in truth.assign(region=np.arange(len(truth))).groupby("video", sort=False):
        if video not in by_video:
            continue
        pairs = by_video[video].merge(regions, on="frame", suffixes=("", "_gt"))
        a, b = pairs[_BOX].to_numpy(float), pairs[[c + "_gt" for c in _BOX]].to_numpy(float)
        hit = pairs[box_iou(a, b, inclusive_pixels) >= iou]
        matched[hit["detection"].to_numpy()] = True
        np.maximum.at(best, hit["region"].to_numpy(), hit["score"].to_numpy(float))
    return best, matched


def box_iou(a: np.ndarray, b: np.ndarray, inclusive_pixels: bool = True) -> np.ndarray:
    """Intersection over union of boxes ``(n, 4)`` x1, y1, x2, y2, row by row: ``(n,)`` in [0, 1]."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + inclusive_pixels
    common = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(a[:, 2:] - a[:, :2] + inclusive_pixels, axis=1) + np.prod(
        b[:, 2:] - b[:, :2] + inclusive_pixels, axis=1
    )
    shares: np.ndarray = common / (areas - common)
    return shares


def track_scores(truth: pd.DataFrame, best: np.ndarray, track_fraction: float) -> pd.Series:
    """For each track, by video and id, the highest threshold at which enough of its regions are found; −inf: none."""
    grouped = pd.Series(best).groupby([truth["video"].to_numpy(), truth["track"].to_numpy()])
    return grouped.agg(lambda values: np.sort(values.to_numpy())[-smallest_count(track_fraction, len(values))])


def _curve(
    score: np.ndarray, matched: np.ndarray, regions: np.ndarray, tracks: np.ndarray, n_frames: int
) -> pd.DataFrame:
    """Return the rates at every distinct score, after a row at +inf where nothing is detected."""
    thresholds = np.unique(score.astype(np.float64))[::-1]

    def at_least(values: np.ndarray, total: int) -> np.ndarray:
        ordered = np.sort(values)
        counts = ordered.size - np.searchsorted(ordered, thresholds, side="left")
        return np.append(0.0, counts / max(total, 1))

    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, thresholds),
            "fpr": at_least(score[~matched].astype(np.float64), n_frames),
            "rbdr": at_least(regions, regions.size),
            "tbdr": at_least(tracks, tracks.size),
        }
    )
