"""Keys of AI-VAD that have no effect beside the others: of streams, detectors and methods of flow that are not used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STREAMS = ("velocity", "pose", "deep")


def without_effect(config: Mapping[str, Any]) -> list[str]:
    """Return patterns of keys, such as ``flow.*``, whose values change nothing in the result of ``config``."""
    model, density = config.get("model") or {}, config.get("density") or {}
    on = [stream for stream in _STREAMS if model.get(f"use_{stream}_features", True)]
    documented = [stream for stream in on if not density.get(stream)]
    found: list[str] = []
    for stream in _STREAMS:
        if stream not in on:
            found += [f"model.{stream}_*", f"density.{stream}"]
        if stream not in documented:
            found.append(f"density.*_{stream}")
    if "velocity" not in on:
        found += ["model.n_velocity_bins", "flow.*"]
    if "pose" not in on:
        found.append("model.without_pose")
    if on == ["pose"]:
        found += ["model.roi_aligned", "model.integer_crops"]
    if on == ["velocity"]:
        found.append("model.crop_frame")
    if (model.get("in_sum") or on) in (["velocity"], ["deep"]):  # of poses, a region can have none
        found.append("model.frame_reduction")
    if documented in ([], ["velocity"]):
        found += ["density.distance", "density.calibration_samples"]
    return [*found, *_of_regions(config.get("regions") or {}), *_of_flow(config.get("flow") or {})]


def _of_regions(regions: Mapping[str, Any]) -> list[str]:
    detector, foreground = str(regions.get("detector")), regions.get("enable_foreground_detections", True)
    found = [] if "rcnn" in detector else ["regions.rpn_nms_thresh"]
    if detector in ("none", "onnx"):
        found += ["regions.min_size", "regions.max_size"]
    if detector == "none":
        found += ["regions.weights", "regions.box_score_thresh"]
    if not foreground:
        found.append("regions.foreground_*")
    if not foreground and not detector.startswith("maskrcnn"):
        found.append("model.masks")
    return found


def _of_flow(flow: Mapping[str, Any]) -> list[str]:
    raft = str(flow.get("method")).startswith("raft")
    found = [] if raft else ["flow.weights", "flow.updates"]
    if not raft and flow.get("size") is None:
        found.append("flow.rescale")
    return found if flow.get("method") == "dis" else [*found, "flow.preset"]
