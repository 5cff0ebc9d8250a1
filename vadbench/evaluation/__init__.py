"""Metrics, protocols and intervals: pure functions over arrays."""

from vadbench.evaluation.evaluate import Evaluation, evaluate
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
