"""Metrics, protocols and intervals: pure functions over arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadbench.evaluation.compute import Evaluation, evaluate
    from vadbench.evaluation.intervals.bootstrap import bootstrap, paired_bootstrap
    from vadbench.evaluation.intervals.interval import Interval
    from vadbench.evaluation.intervals.region_bootstrap import bootstrap_regions
    from vadbench.evaluation.metrics.delay import DetectionDelay, detection_delay
    from vadbench.evaluation.metrics.frame import (
        average_precision,
        equal_error_rate,
        frame_auroc,
        macro,
        micro,
        per_video,
        roc_curve,
        undefined_videos,
    )
    from vadbench.evaluation.metrics.pixel import aupro, pixel_auroc, pixel_average_precision, pixel_f1, pixel_metrics
    from vadbench.evaluation.metrics.pixel_criterion import PixelCriterion, dual_pixel_criterion, pixel_criterion
    from vadbench.evaluation.metrics.region_maps import detections_from_maps, rbdc_tbdc_from_maps
    from vadbench.evaluation.metrics.regions import RegionCriteria, rbdc_tbdc
    from vadbench.evaluation.metrics.thresholds import f1_at, oracle_f1, training_threshold
    from vadbench.evaluation.metrics.tracks import read_tracks, tracks_from_masks
    from vadbench.evaluation.protocols.card import format_card, protocol_card
    from vadbench.evaluation.protocols.protocol import apply, load_protocol, load_protocols, protocol_names

RESULT_VERSION = 1
"""Raised when a metric, an interval or a baseline changes at the same scores and labels; part of a run's key."""

__all__ = [
    "DetectionDelay",
    "Evaluation",
    "Interval",
    "PixelCriterion",
    "RegionCriteria",
    "apply",
    "aupro",
    "average_precision",
    "bootstrap",
    "bootstrap_regions",
    "detection_delay",
    "detections_from_maps",
    "dual_pixel_criterion",
    "equal_error_rate",
    "evaluate",
    "f1_at",
    "format_card",
    "frame_auroc",
    "load_protocol",
    "load_protocols",
    "macro",
    "micro",
    "oracle_f1",
    "paired_bootstrap",
    "per_video",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_criterion",
    "pixel_f1",
    "pixel_metrics",
    "protocol_card",
    "protocol_names",
    "rbdc_tbdc",
    "rbdc_tbdc_from_maps",
    "read_tracks",
    "roc_curve",
    "tracks_from_masks",
    "training_threshold",
    "undefined_videos",
]

# Imported when they are asked for: most commands name a protocol and compute nothing, and SciPy and pandas are slow.
_MODULES = {
    "compute": ("Evaluation", "evaluate"),
    "intervals.bootstrap": ("bootstrap", "paired_bootstrap"),
    "intervals.interval": ("Interval",),
    "intervals.region_bootstrap": ("bootstrap_regions",),
    "metrics.delay": ("DetectionDelay", "detection_delay"),
    "metrics.frame": (
        "average_precision",
        "equal_error_rate",
        "frame_auroc",
        "macro",
        "micro",
        "per_video",
        "roc_curve",
        "undefined_videos",
    ),
    "metrics.pixel": ("aupro", "pixel_auroc", "pixel_average_precision", "pixel_f1", "pixel_metrics"),
    "metrics.pixel_criterion": ("PixelCriterion", "dual_pixel_criterion", "pixel_criterion"),
    "metrics.region_maps": ("detections_from_maps", "rbdc_tbdc_from_maps"),
    "metrics.regions": ("RegionCriteria", "rbdc_tbdc"),
    "metrics.thresholds": ("f1_at", "oracle_f1", "training_threshold"),
    "metrics.tracks": ("read_tracks", "tracks_from_masks"),
    "protocols.card": ("format_card", "protocol_card"),
    "protocols.protocol": ("apply", "load_protocol", "load_protocols", "protocol_names"),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
