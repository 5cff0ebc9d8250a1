"""One run's scores to everything that is reported about them: metrics, per-video table, baselines.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vadbench.evaluation import baselines
from vadbench.evaluation.frame import average_precision, equal_error_rate, frame_auroc, macro, micro, undefined_videos
from vadbench.evaluation.inputs import each_video
from vadbench.evaluation.maps import FrameArrays
from vadbench.evaluation.pixel import pixel_auroc


@dataclass(frozen=True)
class Evaluation:
    """What is known about one run's scores.

    Attributes
    ----------
    metrics: name to ``{"value", "ci_low", "ci_high", "n_videos", "protocol", "undefined_videos", ...}``, JSON-able;
        an undefined value is NaN.
    per_video: columns video, n_frames, n_anomalous, auroc, ap (NaN where a video is all of one class).
    baselines: name to such an entry, under the same protocol.
    """

    metrics: dict[str, dict[str, Any]]
    per_video: pd.DataFrame
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)


def evaluate(
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    *,
    maps_by_video: Mapping[str, FrameArrays] | None = None,
    masks_by_video: Mapping[str, FrameArrays] | None = None,
    frame_energy: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Metrics of raw frame scores, and of score maps where maps and masks are given.

    ``frame_energy`` is the third baseline, if somebody read the frames: video id to ``(T,)``.
    """
    rows = list(each_video(scores_by_video, labels_by_video))
    scores = {video: s for video, s, _ in rows}
    labels = {video: y for video, _, y in rows}
    metrics = _frame_metrics(scores, labels)
    if maps_by_video and masks_by_video:
        metrics["pixel_auroc"] = _entry(pixel_auroc(maps_by_video, masks_by_video), len(maps_by_video))
    rivals = {"random": baselines.random_scores(labels, seed), "position_in_clip": baselines.position_in_clip(labels)}
    if frame_energy is not None:
        rivals["frame_difference"] = dict(frame_energy)
    return Evaluation(
        metrics,
        _per_video(scores, labels),
        {name: _entry(micro(frame_auroc, rival, labels), len(labels)) for name, rival in rivals.items()},
    )


def _frame_metrics(scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    undefined = undefined_videos(labels)
    return {
        "frame_auroc_micro": _entry(micro(frame_auroc, scores, labels), len(scores)),
        "frame_auroc_macro": _entry(macro(frame_auroc, scores, labels), len(scores) - len(undefined), undefined),
        "frame_ap": _entry(micro(average_precision, scores, labels), len(scores)),
        "frame_eer": _entry(micro(equal_error_rate, scores, labels), len(scores)),
    }


def _entry(value: float, n_videos: int, undefined: list[str] | None = None) -> dict[str, Any]:
    return {
        "value": value,
        "ci_low": float("nan"),
        "ci_high": float("nan"),
        "n_videos": n_videos,
        "protocol": "raw",
        "undefined_videos": undefined or [],
    }


def _per_video(scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "video": video,
                "n_frames": int(s.size),
                "n_anomalous": int(labels[video].sum()),
                "auroc": frame_auroc(s, labels[video]),
                "ap": average_precision(s, labels[video]),
            }
            for video, s in scores.items()
        ],
        columns=["video", "n_frames", "n_anomalous", "auroc", "ap"],
    )
