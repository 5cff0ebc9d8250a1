"""What score maps and boxes of one run add to its metrics; always on raw scores, for no protocol touches maps.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from vadbench.errors import one_of
from vadbench.evaluation.intervals.bootstrap import bootstrap
from vadbench.evaluation.intervals.interval import Interval, interval
from vadbench.evaluation.intervals.metric_entry import entry
from vadbench.evaluation.intervals.pixel_bins import centred
from vadbench.evaluation.intervals.region_bootstrap import bootstrap_regions
from vadbench.evaluation.intervals.resampled import Draw
from vadbench.evaluation.metrics import ranks
from vadbench.evaluation.metrics.frame import equal_error_rate, frame_auroc
from vadbench.evaluation.metrics.maps import FrameArrays
from vadbench.evaluation.metrics.pixel_criterion import CriterionScores
from vadbench.evaluation.metrics.pixel_histogram import pixel_histogram
from vadbench.evaluation.metrics.pixel_table import MAX_ANOMALOUS, TooManyPixels, pixel_table_by_video
from vadbench.evaluation.metrics.region_maps import rbdc_tbdc_from_maps
from vadbench.evaluation.metrics.regions import RegionCriteria, rbdc_tbdc
from vadbench.evaluation.metrics.tracks import to_edges, tracks_from_masks

Maps = Mapping[str, FrameArrays]
PixelMethod = Literal["exact", "histogram", "off"]
TOO_MANY = "too many anomalous pixels to keep in memory"
_BINS = 1 << 20


def map_metrics(
    maps_by_video: Maps,
    masks_by_video: Maps,
    detections: pd.DataFrame | None,
    tracks: pd.DataFrame | None,
    n_frames: Mapping[str, int],
    regions_from_maps: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    pixels: PixelMethod = "exact",
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None, RegionCriteria | None]:
    """Pixel metrics where maps meet masks, RBDC/TBDC where boxes (or maps) meet tracks (or masks): entries by name, how
    pixel metrics were computed (see :func:`pixel_metric_entries`), and the regions.

    Videos without masks are left out of the pixel metrics; ``n_videos`` of each entry says how many there were.
    """
    both = sorted((video for video in maps_by_video if video in masks_by_video), key=str)
    maps, masks = {v: maps_by_video[v] for v in both}, {v: masks_by_video[v] for v in both}
    found, said = pixel_metric_entries(maps, masks, pixels, resamples, seed)
    if detections is None and not (regions_from_maps and both):
        return found, said, None
    source = "tracks"
    if tracks is None:
        if not masks_by_video:
            return found, said, None
        tracks = to_edges(tracks_from_masks(masks_by_video))
        source = "derived from masks (3-D components)"
        n_frames = {video: n for video, n in n_frames.items() if video in masks_by_video}
    tracks = tracks[tracks["video"].astype(str).isin(n_frames)]
    values: tuple[float | Interval, float | Interval]
    if detections is not None:
        known, flat = _boxes_with_area(detections, n_frames)
        regions = rbdc_tbdc(known, tracks, n_frames, inclusive_pixels=False)
        values = bootstrap_regions(known, tracks, n_frames, inclusive_pixels=False, resamples=resamples, seed=seed)
        rule = "detections" + (f", {flat} boxes without area left out" if flat else "")
    else:
        n_frames = {video: n for video, n in n_frames.items() if video in maps}
        regions = rbdc_tbdc_from_maps(
            {video: maps[video] for video in n_frames}, tracks[tracks["video"].isin(n_frames)], inclusive_pixels=False
        )
        values = regions.rbdc, regions.tbdc  # each resample would need a sweep of its own
        rule = "components of score maps, threshold sweep"
    more = {"ground_truth": source, "regions": rule, "fpr_reached": regions.fpr_reached, "endpoint": "flat"}
    found["rbdc"] = entry(values[0], len(n_frames), "raw", **more)
    found["tbdc"] = entry(values[1], len(n_frames), "raw", **more)
    return found, said, regions


def _boxes_with_area(detections: pd.DataFrame, n_frames: Mapping[str, int]) -> tuple[pd.DataFrame, int]:
    """Return the boxes of known videos that have an area, and how many have none: a detector's fault must not lose a
    run."""
    known = detections[detections["video"].astype(str).isin(n_frames)]
    flat = (known["x2"] <= known["x1"]) | (known["y2"] <= known["y1"])
    return known[~flat], int(flat.sum())


def pixel_metric_entries(
    maps: Maps,
    masks: Maps,
    method: PixelMethod,
    resamples: int = 2000,
    seed: int = 0,
    max_anomalous: int = MAX_ANOMALOUS,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Entries of the pixel metrics by name, and how they were computed, ``{"method", "reason"}``; of no video, neither.

    A histogram has a ``bound`` in each entry instead of an interval, and neither EER nor F1. It stands in for exact
    metrics where more than ``max_anomalous`` anomalous pixels would need too much memory. ``"off"``: no entries.
    """
    one_of("pixels", method, get_args(PixelMethod))
    if not maps:
        return {}, None
    reason = f"evaluation.pixels={method}"
    if method == "off":
        return {}, {"method": method, "reason": reason}
    frames = CriterionScores(maps)
    if method == "exact":
        try:
            found = _exact_entries(maps, masks, resamples, seed, max_anomalous, frames)
        except TooManyPixels:
            method, reason = "histogram", TOO_MANY
            frames = CriterionScores(maps)
    if method == "histogram":
        found = _binned_entries(maps, masks, frames)
    adapted = frames.by_video()
    scores, labels = {v: s for v, (s, _) in adapted.items()}, {v: y for v, (_, y) in adapted.items()}
    for name, metric in (("pixel_criterion_auroc", frame_auroc), ("pixel_criterion_eer", equal_error_rate)):
        drawn = bootstrap(metric, scores, labels, resamples, seed)
        found[name] = entry(drawn, len(maps), "raw", coverage=0.4)
    return found, {"method": method, "reason": reason}


def _exact_entries(
    maps: Maps, masks: Maps, resamples: int, seed: int, max_anomalous: int, frames: CriterionScores
) -> dict[str, dict[str, Any]]:
    table, bins = pixel_table_by_video(maps, masks, "2d", max_anomalous=max_anomalous, look_on=frames.add)
    counts = {"n_anomalous": table.n_positive, "n_normal": table.n_negative}
    n = len(maps)
    normal, anomalous = (int(np.count_nonzero(pixels.sum(axis=1))) for pixels in (bins.normal, bins.anomalous))

    def found(value: float, draw: Draw) -> Interval:
        return interval(centred(draw, value, n), n, value, resamples, seed, 0.95, True, normal, anomalous)

    return {
        "pixel_auroc": entry(found(ranks.auroc(table), bins.auroc()), n, "raw", mode="pooled", **counts),
        "pixel_ap": entry(found(ranks.average_precision(table), bins.average_precision()), n, "raw", **counts),
        "pixel_eer": entry(found(ranks.equal_error_rate(table), bins.eer()), n, "raw", **counts),
        "aupro": entry(found(ranks.aupro(table), bins.aupro()), n, "raw", fpr_limit=0.3, components="2d"),
        "pixel_f1_oracle": entry(ranks.best_f1(table)[0], n, "raw", oracle=True),
    }


def _binned_entries(maps: Maps, masks: Maps, frames: CriterionScores) -> dict[str, dict[str, Any]]:
    """Each with ``bound``: the exact value surely lies no further away."""
    binned = pixel_histogram(maps, masks, bins=_BINS, look_on=frames.add)
    more = {"n_anomalous": binned.n_anomalous, "n_normal": binned.n_normal}
    n = len(maps)
    return {
        "pixel_auroc": entry(binned.auroc, n, "raw", mode="pooled", bound=binned.auroc_bound, **more),
        "pixel_ap": entry(binned.average_precision, n, "raw", bound=binned.average_precision_bound, **more),
        "aupro": entry(binned.aupro, n, "raw", fpr_limit=0.3, components="2d", bound=binned.aupro_bound),
    }
