"""AI-VAD from a configuration: each group makes its part, and everything that does not fit is said before any work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vadbench import registry
from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.imports import images_at_once, torch_device
from vadbench.density.base import BaseDensityEstimator
from vadbench.density.combined import AttributeDensityConfig, CombinedDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.idle_keys import without_effect
from vadbench.models.ai_vad.keys import AiVadConfig, FlowConfig, RegionsConfig
from vadbench.models.registry import ModelRun

if TYPE_CHECKING:
    from vadbench.models.ai_vad.model import AiVad
    from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
    from vadbench.models.ai_vad.streams.attributes import FeatureExtractor
    from vadbench.models.ai_vad.streams.flow import FlowExtractor


@registry.model(
    "ai_vad",
    config=AiVadConfig,
    groups={"regions": RegionsConfig, "flow": FlowConfig},
    regions="maskrcnn",
    flow="raft_large",
    density="attributes",
    without_effect=without_effect,
)
def from_config(model: AiVadConfig, run: ModelRun) -> AiVad:
    """Return the detector that ``model=ai_vad`` describes. No network is built and nothing is fetched yet."""
    from vadbench.models.ai_vad.model import AiVad

    config = run.config
    regions, flow, density = config.regions, config.flow, config.density
    if regions is None or flow is None:
        raise ConfigError(
            "model=ai_vad needs the groups regions and flow: it has defaults for both, such as regions=maskrcnn"
        )
    if not isinstance(density, AttributeDensityConfig):
        raise ConfigError("model=ai_vad has one density for each attribute: it takes density=attributes")
    device = str(torch_device(config.runtime.device))
    runner = Runner(model.engine, model.precision, device)
    return AiVad(
        region_extractor=region_extractor(regions, config.seed, device, runner),
        flow_extractor=flow_extractor(flow, config.seed, device, runner),
        feature_extractor=feature_extractor(model, config.seed, device, runner),
        density=density_estimator(model, density, config.seed, device),
        frame_reduction=model.frame_reduction,
        velocity_height_classes=model.velocity_height_classes,
        pose_persons_only=model.pose_persons_only,
        without_pose=model.without_pose,
        masks=model.masks,
        frame_step=model.frame_step,
        crop_frame=model.crop_frame,
        first_frames=model.first_frames,
        post_processor=model.post_processor,
        evaluator=model.evaluator,
        visualizer=model.visualizer,
        seed=config.seed,
        device=device,
        batch_size=config.runtime.batch_size or images_at_once(device),
    )


def region_extractor(config: RegionsConfig, seed: int, device: str, runner: Runner | None = None) -> RegionExtractor:
    """Return what the group ``regions`` describes."""
    from vadbench.models.ai_vad.regions.detectors import build_detector
    from vadbench.models.ai_vad.regions.region_extractor import ForegroundRules, RegionExtractor

    detector = build_detector(
        config.detector,
        config.weights,
        config.box_score_thresh,
        config.rpn_nms_thresh,
        config.min_size,
        config.max_size,
        seed,
        device,
        runner,
    )
    foreground = ForegroundRules(
        config.foreground_kernel_size,
        config.foreground_binary_threshold,
        config.foreground_min_area,
        config.foreground_max_aspect,
        config.foreground_growth,
        config.foreground_unfiltered,
        config.foreground_per_channel,
        config.foreground_edges,
        config.foreground_blur,
    )
    return RegionExtractor(
        config.box_score_thresh,
        config.persons_only,
        config.min_bbox_area,
        config.max_bbox_overlap,
        config.enable_foreground_detections,
        detector=detector,
        foreground=foreground,
        inclusive_areas=config.inclusive_areas,
        fallback=config.fallback,
    )


def flow_extractor(config: FlowConfig, seed: int, device: str, runner: Runner | None = None) -> FlowExtractor:
    """Return what the group ``flow`` describes."""
    from vadbench.models.ai_vad.streams.flow import FlowExtractor

    return FlowExtractor(
        config.method, config.weights, config.size, config.rescale, config.updates, config.preset, seed, device, runner
    )


def feature_extractor(config: AiVadConfig, seed: int, device: str, runner: Runner | None = None) -> FeatureExtractor:
    """Return the streams of the group ``model`` that are on."""
    from vadbench.models.ai_vad.streams.attributes import FeatureExtractor
    from vadbench.models.ai_vad.streams.crops import Cropping
    from vadbench.models.ai_vad.streams.deep import DeepExtractor
    from vadbench.models.ai_vad.streams.pose import PoseExtractor
    from vadbench.models.ai_vad.streams.velocity import VelocityExtractor

    crops = Cropping(config.roi_aligned, config.integer_crops)
    velocity = VelocityExtractor(
        config.n_velocity_bins,
        config.velocity_normalisation,
        config.velocity_magnitude,
        config.velocity_crop_size,
        config.velocity_angle,
        crops,
    )
    pose = PoseExtractor(
        config.pose_weights, config.pose_min_size, config.pose_max_size, seed, device, config.pose_box_scale, runner
    )
    deep = DeepExtractor(
        config.deep_model,
        config.deep_weights,
        config.deep_color_order,
        seed=seed,
        device=device,
        crops=crops,
        runner=runner,
    )
    return FeatureExtractor(
        config.n_velocity_bins,
        config.use_velocity_features,
        config.use_pose_features,
        config.use_deep_features,
        velocity=velocity,
        pose=pose,
        deep=deep,
    )


def density_estimator(
    model: AiVadConfig, config: AttributeDensityConfig, seed: int, device: str
) -> CombinedDensityEstimator:
    """Build the group ``density`` for streams that are on: the density that each names, else the documented one."""
    documented: dict[str, Callable[[], BaseDensityEstimator]] = {
        "velocity": lambda: GMMEstimator(
            config.n_components_velocity,
            calibration=config.calibration_velocity,
            covariance_floor=config.covariance_floor_velocity,
            seed=seed,
        ),
        "pose": lambda: _neighbours(
            config.n_neighbors_pose, config.calibration_pose, config.bank_pose, config, seed, device
        ),
        "deep": lambda: _neighbours(
            config.n_neighbors_deep, config.calibration_deep, config.bank_deep, config, seed, device
        ),
    }
    estimators: dict[str, BaseDensityEstimator] = {}
    for stream in [stream for stream in documented if getattr(model, f"use_{stream}_features")]:
        own = getattr(config, stream)
        if own is None:
            estimators[stream] = documented[stream]()
        else:
            estimators[stream] = registry.get("density", own.name).make(own, seed)
            estimators[stream].device = device
    return CombinedDensityEstimator(estimators=estimators, in_sum=model.in_sum)


def _neighbours(
    n: int, calibration: str, bank: str, config: AttributeDensityConfig, seed: int, device: str
) -> GroupedKNNEstimator:
    return GroupedKNNEstimator(
        n,
        distance=config.distance,
        calibration=calibration,
        bank=bank,
        calibration_samples=config.calibration_samples,
        seed=seed,
        device=device,
    )
