"""The keys of AI-VAD: the groups model=ai_vad, regions and flow. Values live in conf/*.yaml.

Where a number can be written differently by the papers, the official code and anomalib, the key is a switch and its
source is said beside it in conf/.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from vadbench.config.parts import STRICT, PartConfig

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Stream = Literal["velocity", "pose", "deep"]


@dataclass(config=STRICT, kw_only=True)
class AiVadConfig(PartConfig):
    """AI-VAD: the attributes of a region and how they make the score of a frame (conf/model/ai_vad.yaml)."""

    use_velocity_features: bool
    use_pose_features: bool
    use_deep_features: bool
    n_velocity_bins: Count
    velocity_normalisation: Literal["bin_mean", "crop_mean"]
    velocity_magnitude: Literal["l2", "l1"]
    velocity_crop_size: Count | None  # None: every pixel of the box once
    velocity_angle: Literal["vu", "uv"]
    velocity_height_classes: list[Annotated[int, Field(ge=0, le=90)]]  # COCO numbers, 0 for foreground
    pose_weights: str  # pretrained, random or a path
    pose_min_size: Count
    pose_max_size: Count
    pose_persons_only: bool
    pose_box_scale: Literal["xy", "yx"]
    without_pose: Literal["minimum", "raw_zero"]
    deep_model: str  # a name of open_clip
    deep_weights: str  # a tag of open_clip, random or a path
    deep_color_order: Literal["rgb", "bgr"]
    roi_aligned: bool
    integer_crops: bool
    frame_step: Count
    crop_frame: Literal["last", "first"]
    first_frames: Literal["fill", "self"]
    frame_reduction: Literal["sum_of_max", "max_of_sum"]
    in_sum: list[Stream] | None  # None: all streams that are on
    masks: bool
    post_processor: bool
    evaluator: bool
    visualizer: bool
    heatmap_frames: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _something_is_on(self) -> AiVadConfig:
        on = [s for s in ("velocity", "pose", "deep") if getattr(self, f"use_{s}_features")]
        if not on:
            raise ValueError(
                "every stream is off: switch on one of use_velocity_features, use_pose_features, use_deep_features"
            )
        missing = [s for s in self.in_sum or [] if s not in on]
        if missing:
            raise ValueError(f"in_sum asks for {missing[0]}, which is off (use_{missing[0]}_features)")
        if self.in_sum == []:
            raise ValueError("in_sum is empty: name at least one stream, or null for all that are on")
        return self


@dataclass(config=STRICT, kw_only=True)
class RegionsConfig:
    """Where AI-VAD looks (conf/regions/*.yaml)."""

    detector: Literal[
        "maskrcnn_resnet50_fpn_v2",
        "maskrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "retinanet_resnet50_fpn_v2",
        "fcos_resnet50_fpn",
        "onnx",
        "none",
    ]
    weights: str  # pretrained, random, or a path; onnx: the path of the model
    box_score_thresh: Share
    rpn_nms_thresh: Share
    min_size: Count  # shorter side that the detector's input is scaled to
    max_size: Count
    persons_only: bool
    min_bbox_area: Annotated[int, Field(ge=0)]
    max_bbox_overlap: Share
    enable_foreground_detections: bool
    foreground_kernel_size: Count
    foreground_binary_threshold: Annotated[int, Field(ge=0, le=255)]
    foreground_min_area: Annotated[int, Field(ge=0)] | None  # None: min_bbox_area
    foreground_max_aspect: Annotated[float, Field(gt=1)] | None
    foreground_growth: Annotated[int, Field(ge=0)]
    foreground_unfiltered: bool
    foreground_per_channel: bool
    foreground_edges: Literal["exclusive", "inclusive"]
    foreground_blur: Literal["opencv", "torchvision"]
    inclusive_areas: bool
    fallback: Literal["none", "whole_frame"]

    @field_validator("foreground_kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @model_validator(mode="after")
    def _looks_somewhere(self) -> RegionsConfig:
        if self.detector == "none" and not self.enable_foreground_detections:
            raise ValueError("detector=none with enable_foreground_detections=false finds no regions at all")
        return self


@dataclass(config=STRICT, kw_only=True)
class FlowConfig:
    """Optical flow (conf/flow/*.yaml)."""

    method: Literal["raft_large", "raft_small", "dis", "farneback"]
    weights: str  # pretrained, random or a path; not read by dis and farneback
    size: tuple[Count, Count] | None  # (height, width) at which flow is computed; None: as the frame is
    rescale: bool
    updates: Count  # of RAFT
    preset: Literal["ultrafast", "fast", "medium"]  # of DIS
