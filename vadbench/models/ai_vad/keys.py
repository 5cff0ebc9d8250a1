"""The keys of AI-VAD: the groups model=ai_vad, regions and flow, with the documented defaults.

Where the papers, the official code and anomalib do different things, the key is a switch that names its source:
paper = TMLR 2025 / arXiv 2212.00789, official = the authors' code, anomalib = its AiVad.
conf/experiment/ai_vad_official.yaml and ai_vad_anomalib.yaml set them together.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from vadbench.config.parts import STRICT, PartConfig, setting

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Stream = Literal["velocity", "pose", "deep"]


@dataclass(config=STRICT, kw_only=True)
class AiVadConfig(PartConfig):
    """AI-VAD (Reiss, Hoshen, TMLR 2025): densities of velocity, pose and deep features of the regions of a frame."""

    use_velocity_features: bool = True
    use_pose_features: bool = True
    use_deep_features: bool = True

    n_velocity_bins: Count = 1  # 1: the mean speed of a region (Ped2 in the official code); 8 elsewhere
    # bin_mean: mean speed of the vectors in a bin (paper, anomalib); crop_mean: their sum over all vectors of the box
    # (official).
    velocity_normalisation: Literal["bin_mean", "crop_mean"] = "bin_mean"
    velocity_magnitude: Literal["l2", "l1"] = "l2"  # l2 (anomalib); l1: |u| + |v| (official)
    # The crop of fixed size (paper, official, anomalib); None: every pixel of the box once, much faster on a CPU.
    velocity_crop_size: Count | None = 224
    velocity_angle: Literal["vu", "uv"] = "vu"  # vu: atan2(v, u); uv: atan2(u, v), bins from -pi on (anomalib)
    # COCO numbers (0: foreground) whose speed is divided by the height of their box; [0, 1] on ShanghaiTech (official).
    velocity_height_classes: list[Annotated[int, Field(ge=0, le=90)]] = field(default_factory=list)

    pose_weights: str = "pretrained"  # pretrained, random or a path
    pose_min_size: Count = 800  # shorter side of the pose network's input
    pose_max_size: Count = 1333
    # false: a pose for every region (anomalib); true: for persons only (paper, official).
    pose_persons_only: bool = False
    pose_box_scale: Literal["xy", "yx"] = "xy"  # boxes follow the frame by x and y factors; yx: exchanged (anomalib)
    # A frame where nothing has a pose: minimum of the calibration; raw_zero: 0 before it (official).
    without_pose: Literal["minimum", "raw_zero"] = "minimum"

    deep_model: str = "ViT-B-16"  # any name of open_clip
    deep_weights: str = "openai"  # a tag of open_clip, random or a path
    deep_color_order: Literal["rgb", "bgr"] = "rgb"  # bgr is what the official code feeds

    # Crops of velocity and deep features: pixel centres at halves; false: at whole numbers (anomalib).
    roi_aligned: bool = True
    integer_crops: bool = False  # true: whole pixels, stretched by themselves (official)

    # What runs the networks; outputs agree up to rounding. auto: openvino where it is installed and pays, else eager.
    engine: Literal["auto", "eager", "openvino", "compile"] = setting(default="auto", in_key=False)
    # Of the networks; bfloat16 is faster where supported. The key has what the features depend on.
    precision: Literal["float32", "bfloat16"] = setting(default="float32", in_key=False, shown=True)

    frame_step: Count = 1  # frames from the first to the last frame of a pair
    # last: crops come from the frame of the boxes; first: from the other one (anomalib).
    crop_frame: Literal["last", "first"] = "last"
    # fill: frame 0 takes the score of frame 1; self: it is paired with itself (official).
    first_frames: Literal["fill", "self"] = "fill"
    # sum_of_max: each stream takes its own worst region (all three); max_of_sum: one region for all streams.
    frame_reduction: Literal["sum_of_max", "max_of_sum"] = "sum_of_max"
    in_sum: list[Stream] | None = None  # None: all streams that are on; [velocity, pose] on ShanghaiTech (official)
    masks: bool = True  # maps colour the masks of regions; false: their boxes

    post_processor: bool = True  # apply the protocol
    evaluator: bool = True  # compute metrics
    visualizer: bool = setting(default=True, in_key=False)  # draw score curves
    # Frames drawn with their heat map for each test video.
    heatmap_frames: Annotated[int, Field(ge=0)] = setting(default=0, in_key=False)

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
    """Where AI-VAD looks: by default Mask R-CNN and moving foreground outside its boxes, with anomalib's defaults."""

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
    ] = "maskrcnn_resnet50_fpn_v2"
    weights: str = "pretrained"  # pretrained, random, or a path; onnx: the path of the model
    box_score_thresh: Share = 0.7
    rpn_nms_thresh: Share = 0.3
    min_size: Count = 800  # shorter side that the detector's input is scaled to
    max_size: Count = 1333
    persons_only: bool = False  # true also drops foreground, unless foreground_unfiltered
    min_bbox_area: Annotated[int, Field(ge=0)] = 100  # pixels that must be exceeded
    max_bbox_overlap: Share = 0.65  # a box of which a larger one covers more than this is dropped

    enable_foreground_detections: bool = True
    foreground_kernel_size: Count = 3  # blur before frames are compared
    foreground_binary_threshold: Annotated[int, Field(ge=0, le=255)] = 18  # grey levels
    foreground_min_area: Annotated[int, Field(ge=0)] | None = None  # None: min_bbox_area
    foreground_max_aspect: Annotated[float, Field(gt=1)] | None = None  # 10 (official): longer over shorter side
    foreground_growth: Annotated[int, Field(ge=0)] = 0  # 2 (official): pixels on each side
    # true (official): foreground is added after the class and overlap filters.
    foreground_unfiltered: bool = False
    # true (official): each colour channel against the threshold; false: the grey level.
    foreground_per_channel: bool = False
    # A box ends after its last moving pixel; inclusive: on it (anomalib).
    foreground_edges: Literal["exclusive", "inclusive"] = "exclusive"
    # Whole grey levels; torchvision: floats and a sigma of 0.15 size + 0.35 (anomalib).
    foreground_blur: Literal["opencv", "torchvision"] = "opencv"

    inclusive_areas: bool = False  # true: areas and overlaps count both end pixels (official)
    # Where nothing is found; whole_frame: one region, the frame (official).
    fallback: Literal["none", "whole_frame"] = "none"

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
    """Optical flow, by default at the size that anomalib uses."""

    method: Literal["raft_large", "raft_small", "dis", "farneback"] = "raft_large"
    weights: str = "pretrained"  # pretrained, random or a path; not read by dis and farneback
    # (height, width) that frames are resized to; None: their own, which RAFT rounds up to multiples of 8.
    size: tuple[Count, Count] | None = (520, 960)
    # true: pixels of the frame; false: of the resized frame (official at 768 x 1024, anomalib).
    rescale: bool = True
    updates: Count = 12  # of RAFT
    preset: Literal["ultrafast", "fast", "medium"] = "medium"  # of DIS
