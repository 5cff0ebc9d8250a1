"""Metrics, protocols and intervals: pure functions over arrays."""

from vadbench.evaluation.evaluate import Evaluation, evaluate
from vadbench.evaluation.frame import (
    average_precision,
    equal_error_rate,
    frame_auroc,
    macro,
    micro,
    per_video,
    roc_curve,
    undefined_videos,
)
from vadbench.evaluation.pixel import aupro, pixel_auroc, pixel_average_precision, pixel_f1, pixel_metrics

__all__ = [
    "Evaluation",
    "aupro",
    "average_precision",
    "equal_error_rate",
    "evaluate",
    "frame_auroc",
    "macro",
    "micro",
    "per_video",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_f1",
    "pixel_metrics",
    "roc_curve",
    "undefined_videos",
]
