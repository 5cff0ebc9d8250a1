"""One run's scores to everything that is reported about them: metrics, intervals, baselines, the protocol card.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vadbench.evaluation import baselines
from vadbench.evaluation.inputs import each_video, frame_label_digest
from vadbench.evaluation.intervals.bootstrap import bootstrap
from vadbench.evaluation.intervals.metric_entry import blanked, entry
from vadbench.evaluation.map_metrics import PixelMethod, map_metrics
from vadbench.evaluation.metrics.delay import detection_delay
from vadbench.evaluation.metrics.frame import (
    average_precision,
    equal_error_rate,
    frame_auroc,
    undefined_videos,
)
from vadbench.evaluation.metrics.maps import FrameArrays
from vadbench.evaluation.metrics.regions import RegionCriteria
from vadbench.evaluation.metrics.thresholds import f1_at, oracle_f1, training_threshold
from vadbench.evaluation.plugin_metrics import plugin_metrics
from vadbench.evaluation.protocols.card import protocol_card
from vadbench.evaluation.protocols.protocol import (
    Applied,
    Protocol,
    apply,
    blank_reason,
    load_protocol,
    load_protocols,
    named,
)


@dataclass(frozen=True)
class Evaluation:
    """What is known about one run's scores.

    Attributes
    ----------
    metrics: name to ``{"value", "ci_low", "ci_high", "n_videos", "protocol", "undefined_videos", ...}``, JSON-able but
        for NaN, which stands for undefined, or for a number that means nothing, for the reason under "blank" (see
        :func:`vadbench.evaluation.protocols.protocol.blank_reason`). An entry with ``"oracle": True`` has read the
        test labels.
    per_video: columns video, n_frames, n_anomalous, auroc, ap under the primary protocol (NaN where a video is all of
        one class, or where the numbers are blank).
    baselines: name to such an entry (micro frame AUROC), under the same protocol.
    card: one row a protocol, see :func:`vadbench.evaluation.protocol_card`; empty if no protocols were asked for.
    pixels: how pixel metrics were computed, ``{"method": "exact", "histogram" or "off", "reason"}``; None without maps
        or masks.
    regions: the RBDC/TBDC curve and counts, where there were regions.
    coverage: frames, filled (interpolated scores), kept (frames that the primary protocol scores).
    frame_label_digest: sha256 of the labels, equal for equal labels.
    """

    metrics: dict[str, dict[str, Any]]
    per_video: pd.DataFrame
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    card: list[dict[str, Any]] = field(default_factory=list)
    pixels: dict[str, Any] | None = None
    regions: RegionCriteria | None = None
    coverage: dict[str, int] = field(default_factory=dict)
    frame_label_digest: str = ""


def evaluate(
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    *,
    primary: Protocol | str = "raw",
    protocols: Sequence[Protocol] | str = "all",
    dataset: str | None = None,
    maps_by_video: Mapping[str, FrameArrays] | None = None,
    masks_by_video: Mapping[str, FrameArrays] | None = None,
    detections: pd.DataFrame | None = None,
    tracks: pd.DataFrame | None = None,
    regions_from_maps: bool = False,
    frame_baselines: Mapping[str, Mapping[str, Any]] | None = None,
    training_scores: Any | None = None,
    filled_by_video: Mapping[str, Any] | None = None,
    frames_by_video: Mapping[str, Any] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    pixels: PixelMethod = "exact",
) -> Evaluation:
    """Everything about raw frame scores ``(T,)`` by video, and about maps and regions where they are given.

    Parameters
    ----------
    primary: the protocol of the frame metrics, a name or an object (one that differs from the packaged file of its name
        is shown as ``NAME (modified)``). protocols: those of the card (``"all"`` and the primary, a list, or empty for
        none).
    dataset: its name, for protocols whose values depend on it.
    maps_by_video, masks_by_video: video id to ``(T, H, W)`` arrays or lazy sequences of frames, of one size a video;
        never touched by a protocol.
    detections, tracks: scored and annotated boxes, x2 and y2 exclusive; without tracks they are derived from the masks,
        and the entry says so. regions_from_maps: RBDC/TBDC from score maps if there are no detections (slow).
    frame_baselines: name to scores ``(T,)`` by video of the baselines that look at frames, if somebody read them;
        random and position are always there.
    training_scores: raw scores ``(N,)`` of normal training frames, for an honest F1 (only under a protocol without
        steps, since training scores did not go through it).
    filled_by_video: video id to ``bool (T,)``. frames_by_video: frame numbers ``(T,)`` of the scores, where frames are
        missing. resamples, seed: of the bootstrap over videos. pixels: ``"exact"``, ``"histogram"`` (several times
        faster, each value with a bound of its error) or ``"off"``.

    DataError for scores that are not finite or videos that do not match.
    """
    protocol = named(load_protocol(primary) if isinstance(primary, str) else primary)
    if protocol.name == "all":  # the card is asked for beside the raw numbers, it is no protocol of its own
        protocol = load_protocol("raw")
    rows = list(each_video(scores_by_video, labels_by_video))
    scores, labels = {v: s for v, s, _ in rows}, {v: y for v, _, y in rows}
    if not rows:
        return Evaluation({}, _per_video(Applied({}, {}, {}, {})))
    applied = apply(protocol, scores, labels, dataset, frames_by_video)
    metrics = _frame_metrics(protocol, applied, resamples, seed)
    metrics["detection_delay"] = _delay(protocol, applied)
    for name, value in metrics.items():
        reason = blank_reason(protocol, scores, "macro" if name == "frame_auroc_macro" else "micro")
        metrics[name] = blanked(value, reason)
    metrics |= plugin_metrics(applied.scores, applied.labels, protocol.name, resamples, seed)
    if training_scores is not None and not protocol.steps:
        metrics |= _f1_metrics(protocol.name, applied, training_scores)
    found, how, regions = map_metrics(
        maps_by_video or {},
        masks_by_video or {},
        detections,
        tracks,
        {video: s.size for video, s in scores.items()},
        regions_from_maps,
        resamples,
        seed,
        pixels,
    )
    rivals = {
        **baselines.from_lengths(labels, seed),
        **{name: {v: by_video[v] for v in labels} for name, by_video in (frame_baselines or {}).items()},
    }
    listed = _listed(protocols, protocol)
    return Evaluation(
        metrics | found,
        _per_video(applied, blank_reason(protocol, scores)),
        {
            name: blanked(
                _micro(apply(protocol, rival, labels, dataset, frames_by_video), protocol, resamples, seed),
                blank_reason(protocol, rival),
            )
            for name, rival in rivals.items()
        },
        protocol_card(scores, labels, dataset, listed, resamples, seed, frames_by_video) if listed else [],
        how,
        regions,
        _coverage(scores, applied, filled_by_video or {}),
        frame_label_digest(labels),
    )


def _listed(protocols: Sequence[Protocol] | str, primary: Protocol) -> list[Protocol]:
    """Return the protocols of the card; of all of them the primary is one, also where no packaged file holds it."""
    listed = [named(p) for p in (load_protocols(protocols) if isinstance(protocols, str) else protocols)]
    missing = protocols == "all" and primary.name not in {p.name for p in listed}
    return [*listed, primary] if missing else listed


def _coverage(scores: Mapping[str, np.ndarray], applied: Applied, filled: Mapping[str, Any]) -> dict[str, int]:
    return {
        "frames": sum(s.size for s in scores.values()),
        "filled": sum(int(np.count_nonzero(where)) for where in filled.values()),
        "kept": sum(s.size for s in applied.scores.values()),
    }


def _micro(applied: Applied, protocol: Protocol, resamples: int, seed: int) -> dict[str, Any]:
    found = bootstrap(frame_auroc, applied.scores, applied.labels, resamples, seed)
    return entry(found, len(applied.scores), protocol.name)


def _frame_metrics(protocol: Protocol, applied: Applied, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Micro and macro AUROC, AP and EER with intervals."""
    scores, labels = applied.scores, applied.labels
    undefined = undefined_videos(labels) if protocol.macro == "skip" else []
    macro_auroc = bootstrap(frame_auroc, scores, labels, resamples, seed, "macro", protocol.macro)
    found = {
        "frame_auroc_micro": _micro(applied, protocol, resamples, seed),
        "frame_auroc_macro": entry(
            macro_auroc,
            len(scores) - len(undefined),
            protocol.name,
            undefined_videos=undefined,
            single_class=protocol.macro,
        ),
    }
    for name, metric in (("frame_ap", average_precision), ("frame_eer", equal_error_rate)):
        found[name] = entry(bootstrap(metric, scores, labels, resamples, seed), len(scores), protocol.name)
    return {name: value | ({"oracle": True} if protocol.uses_test_labels else {}) for name, value in found.items()}


def _delay(protocol: Protocol, applied: Applied) -> dict[str, Any]:
    """Mean delay in frames of the events that were found, at one false alarm in a hundred normal frames."""
    found = detection_delay(applied.scores, applied.labels, 0.01)
    more = {"unit": "frames", "false_alarm_rate": 0.01, "detected": found.detected, "n_events": found.n_events}
    return entry(found.mean, len(applied.scores), protocol.name, **more)


def _f1_metrics(protocol: str, applied: Applied, training_scores: Any) -> dict[str, dict[str, Any]]:
    """F1 at a quantile of the training scores, and apart the best one."""
    scores = np.concatenate(list(applied.scores.values()))
    labels = np.concatenate(list(applied.labels.values()))
    threshold = training_threshold(training_scores)
    best, at = oracle_f1(scores, labels)
    n = len(applied.scores)
    return {
        "frame_f1": entry(f1_at(scores, labels, threshold), n, protocol, threshold=threshold, training_quantile=0.995),
        "frame_f1_oracle": entry(best, n, protocol, threshold=at, oracle=True),
    }


def _per_video(applied: Applied, blank: str | None = None) -> pd.DataFrame:
    found = pd.DataFrame(
        [
            {
                "video": video,
                "n_frames": int(s.size),
                "n_anomalous": int(applied.labels[video].sum()),
                "auroc": frame_auroc(s, applied.labels[video]),
                "ap": average_precision(s, applied.labels[video]),
            }
            for video, s in applied.scores.items()
        ],
        columns=["video", "n_frames", "n_anomalous", "auroc", "ap"],
    )
    return found if blank is None else found.assign(auroc=np.nan, ap=np.nan)
