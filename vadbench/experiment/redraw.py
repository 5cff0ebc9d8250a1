"""What a complete run is asked for later, from the maps and scores that it keeps: nothing is fitted or scored again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench import registry
from vadbench.data.video import Dataset, Video
from vadbench.evaluation.protocols.protocol import Protocol, apply
from vadbench.experiment.evaluate_run import with_masks
from vadbench.experiment.fit_and_score import kept_clip_maps
from vadbench.models.base import Detector, VideoScores
from vadbench.report import curves
from vadbench.runs.run_folder import RunFolder
from vadbench.store.features import FeatureStore
from vadbench.untrusted import damage, read_table

if TYPE_CHECKING:
    import pandas as pd

    from vadbench.evaluation.map_metrics import PixelMethod

log = logging.getLogger(__name__)

_BETTER: tuple[PixelMethod, ...] = ("off", "histogram", "exact")


def draw_missing_heatmaps(folder: Path, dataset: Dataset, detector: Detector, store: FeatureStore, count: int) -> int:
    """Draw those of the ``count`` heat maps of each test video that are not in ``folder/pictures``; returns how many.

    ``detector``: as configured, not fitted. Where maps are no longer kept a warning says so, and nothing is drawn.
    """
    pictures = folder / "pictures"
    scores = _scores(folder, dataset)
    paths = [set(curves.heatmap_paths(result, count, pictures).values()) for result in scores]
    missing = [{path for path in wanted if not path.is_file()} for wanted in paths]
    if not any(missing):
        return 0
    scored = _with_maps(folder, dataset, detector, store)
    if scored is None:
        log.warning(
            "model.heatmap_frames=%d: no heat maps drawn, because the maps of this run are not kept. "
            "on_existing=rerun recomputes the run and draws them.",
            count,
        )
        return 0
    pictures.mkdir(exist_ok=True)
    peak = curves.hottest(scored)
    for video, result, absent in zip(dataset.test, scored, missing, strict=True):
        if absent:
            curves.draw_heatmaps(video, result, count, peak, pictures)
    drawn = sum(map(len, missing))
    log.info("%d heat maps drawn into %s from the maps of the run", drawn, pictures)
    return drawn


def add_metrics(folder: RunFolder, dataset: Dataset, protocol: Protocol, seed: int) -> list[str]:
    """Evaluate the metrics of plug-ins that the record lacks or has of another version; returns their names."""
    with damage(folder.path):
        record = folder.read()
        known = record["metrics"]
        new = [part for part in registry.outside("metric") if (known.get(part.name) or {}).get("digest") != part.digest]
    if not new or not known:
        return []
    from vadbench.evaluation.plugin_metrics import plugin_metrics

    results = {result.video: result.scores for result in _scores(folder.path, dataset)}
    labels = {video.id: video.labels for video in dataset.test if video.labels is not None}
    applied = apply(protocol, {video: results[video] for video in labels}, labels, dataset.name)
    found = plugin_metrics(applied.scores, applied.labels, protocol.name, 2000, seed, new)
    folder.write({**record, "metrics": {**known, **found}})
    log.info("%s: evaluated on the scores of the run in %s", ", ".join(found), folder.path)
    return list(found)


def better_pixels(
    folder: RunFolder, dataset: Dataset, detector: Detector, store: FeatureStore, method: PixelMethod, seed: int
) -> bool:
    """Put pixel metrics by ``method`` into a record that has less: none, or those of a histogram; returns whether it
    did.

    ``detector``: as configured, not fitted. Where maps are no longer kept a warning says so, and nothing changes.
    """
    with damage(folder.path):
        record = folder.read()
        had = record.get("pixels")
        if had is None or _BETTER.index(method) <= _BETTER.index(had["method"]):
            return False
    from vadbench.evaluation.map_metrics import TOO_MANY, pixel_metric_entries

    if had["reason"] == TOO_MANY:
        return False
    scores = _with_maps(folder.path, dataset, detector, store)
    if scores is None:
        log.warning(
            "evaluation.pixels=%s: the pixel metrics of this run (%s) stay, because its maps are not kept. "
            "on_existing=rerun recomputes the run.",
            method,
            had["method"],
        )
        return False
    found, how = pixel_metric_entries(*with_masks(dataset.test, scores), method, seed=seed)
    folder.write({**record, "metrics": {**record["metrics"], **found}, "pixels": how})
    log.info("pixel metrics (%s) from the maps of the run in %s", method, folder.path)
    return True


def _with_maps(folder: Path, dataset: Dataset, detector: Detector, store: FeatureStore) -> list[VideoScores] | None:
    """Return the scores of every test video with its maps; None if those of one are no longer kept."""
    regions = folder / "regions.parquet"
    table = read_table(regions) if regions.is_file() else None
    maps = [_maps(folder, video, detector, store, table) for video in dataset.test]
    if any(one is None for one in maps):
        return None
    return [replace(result, maps=one) for result, one in zip(_scores(folder, dataset), maps, strict=True)]


def _scores(folder: Path, dataset: Dataset) -> list[VideoScores]:
    """Return the raw scores of every test video as the run recorded them, without maps."""
    columns = {"video": "text", "frame": "number", "score": "number", "filled": "flag"}
    table = read_table(folder / "scores.parquet", columns).sort_values(["video", "frame"])
    parts = {str(video): part for video, part in table.groupby("video")}
    with damage(folder):
        return [VideoScores(v.id, _column(parts[v.id], "score"), _column(parts[v.id], "filled")) for v in dataset.test]


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy()


def _maps(folder: Path, video: Video, detector: Any, store: FeatureStore, table: pd.DataFrame | None) -> Any:
    """Return the maps of one video: mixed from its clip maps, or drawn from its regions; None if neither is kept."""
    clip_maps = kept_clip_maps(folder / "maps", video.id)
    if clip_maps is not None and hasattr(detector, "frame_maps"):
        with damage(folder):
            return detector.frame_maps(video, clip_maps)
    if table is not None and hasattr(detector, "region_maps"):
        regions = store.stored(detector.extractor, video, "regions")
        with damage(folder):
            total = _column(table[table["video"] == video.id], "total")
        if regions is not None and len(regions["frame"]) == len(total):
            return detector.region_maps(video, regions, total)
    return None
