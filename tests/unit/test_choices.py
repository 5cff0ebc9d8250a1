"""Every choice is checked where it is used: an unknown one is refused by configuration and code alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from tests.stand_ins import RandomFilters
from vadbench.backbones.flow_grid import dense_flow, pooled_by_direction
from vadbench.config import schema
from vadbench.config.compose import compose
from vadbench.data.readers.source import Policy
from vadbench.density import bank, calibration, combined, decomposition, knn, pca
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError, StoreError
from vadbench.evaluation.metrics.components import RegionLabels
from vadbench.evaluation.score_files.align import align
from vadbench.evaluation.score_files.read import Values
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models import baselines
from vadbench.models.ai_vad import extractor as ai_vad_extractor
from vadbench.models.ai_vad import keys
from vadbench.models.ai_vad import to_frames as ai_vad_frames
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.ai_vad.regions import detectors
from vadbench.models.ai_vad.regions.region_extractor import ForegroundRules, RegionExtractor
from vadbench.models.ai_vad.streams import flow, velocity
from vadbench.models.ai_vad.streams.deep import DeepExtractor
from vadbench.models.clips import detector, extractor, fuvas, resize, to_frames
from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.keys import ClipDensityConfig
from vadbench.store.features import FeatureStore, MemoryStore

PLAN = ClipPlan(4, 1, 2)


def light(**more: Any) -> AiVad:
    return AiVad(detector="none", flow="dis", use_pose_features=False, use_deep_features=False, **more)


@pytest.mark.parametrize(
    "key", ["components", "target_frame", "fill", "score_reduction", "short_videos", "pooling_kernel_size", "shots"]
)
def test_fuvas_refuses_what_is_no_choice(key: str) -> None:
    nonsense: Any = 0 if key in ("pooling_kernel_size", "shots") else "banana"
    with pytest.raises(ConfigError, match=f"{key}={nonsense!r}"):
        fuvas.Fuvas(RandomFilters(), clip=PLAN, **{key: nonsense})


def test_the_nearest_choice_is_named() -> None:
    with pytest.raises(ConfigError, match=r"fill='liner'.*Did you mean: linear"):
        fuvas.Fuvas(RandomFilters(), clip=PLAN, fill="liner")


@pytest.mark.parametrize(
    "make",
    [
        lambda: fuvas.Fuvas(RandomFilters(), clip=PLAN, fill="minimum"),
        lambda: to_frames.clip_weights(np.array([0]), PLAN, 9, "mid", "minimum"),
        lambda: to_frames.clip_weights(np.array([0]), PLAN, 9, "middle", "linear"),
        lambda: decomposition.count_components(np.ones(3), 0.9, "banana"),
        lambda: extractor.ClipExtractor(RandomFilters(), PLAN, extractor.PreProcessor(None, None, None), 1, "banana"),
        lambda: extractor.PreProcessor((8, 8), None, None, "banana"),
        lambda: GMMEstimator(calibration="banana"),
        lambda: GroupedKNNEstimator(calibration="banana"),
        lambda: GroupedKNNEstimator(distance="banana"),
        lambda: GroupedKNNEstimator(bank="banana"),
        lambda: light(frame_reduction="banana"),
        lambda: light(crop_frame="banana"),
        lambda: light(first_frames="banana"),
        lambda: AiVad(detector="banana"),
        lambda: AiVad(flow="banana"),
        lambda: light(foreground_kernel_size=4),
        lambda: RegionExtractor(foreground=ForegroundRules(kernel_size=0)),
        lambda: flow.FlowExtractor("dis", preset="banana"),
        lambda: velocity.VelocityExtractor(normalisation="banana"),
        lambda: velocity.VelocityExtractor(magnitude="banana"),
        lambda: DeepExtractor(color_order="banana"),
        lambda: pooled_by_direction(np.zeros((4, 4, 2), np.float32), 2, 4, "banana"),
        lambda: dense_flow(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), "banana"),
        lambda: align(Values({}), Values({}), missing="banana"),  # type: ignore[arg-type]
        lambda: RegionLabels("4d"),  # type: ignore[arg-type]
        lambda: Policy(on_fault="banana"),  # type: ignore[arg-type]
        lambda: score_dataset(baselines.Random(), _nothing(), progress="banana"),
    ],
)
def test_python_refuses_what_is_no_choice(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_the_stores_refuse_a_precision_that_they_do_not_have(tmp_path: Any) -> None:
    for make in (lambda: MemoryStore("float8"), lambda: FeatureStore(tmp_path, "float8")):
        with pytest.raises(StoreError, match="float8"):
            make()


@pytest.mark.parametrize(
    ("keys", "key", "choices"),
    [
        (fuvas.FuvasConfig, "target_frame", to_frames.TARGETS),
        (fuvas.FuvasConfig, "fill", to_frames.FILLS),
        (ClipDensityConfig, "unit", detector.UNITS),
        (fuvas.FuvasConfig, "short_videos", extractor.SHORT_VIDEOS),
        (schema.BackboneConfig, "resize", resize.METHODS),
        (pca.PcaConfig, "components", pca.COMPONENTS),
        (keys.AiVadConfig, "frame_reduction", ai_vad_frames.REDUCTIONS),
        (keys.AiVadConfig, "crop_frame", ai_vad_extractor.CROP_FRAMES),
        (keys.AiVadConfig, "first_frames", ai_vad_extractor.FIRST_FRAMES),
        (keys.AiVadConfig, "velocity_normalisation", velocity.NORMALISATIONS),
        (keys.AiVadConfig, "velocity_magnitude", velocity.MAGNITUDES),
        (keys.RegionsConfig, "detector", detectors.DETECTORS),
        (keys.FlowConfig, "method", flow.METHODS),
        (keys.FlowConfig, "preset", flow.DIS_PRESETS),
        (combined.AttributeDensityConfig, "distance", knn.DISTANCES),
        (combined.AttributeDensityConfig, "calibration_pose", calibration.RULES),
    ],
)
def test_the_configuration_has_the_choices_of_the_code(keys: type, key: str, choices: tuple[str, ...]) -> None:
    assert set(get_args(get_type_hints(keys)[key])) == set(choices)


@pytest.mark.parametrize("fill", to_frames.FILLS)
def test_every_way_to_fill_fills_in_its_own_way(fill: str) -> None:
    """Clips of 4 frames every 2 frames target frames 2, 4, 6 of 9: by hand."""
    weights, filled = to_frames.clip_weights(np.array([0, 2, 4]), PLAN, 9, "mid", fill)
    expected = {
        "nearest": [1, 1, 1, 1, 5, 5, 2, 2, 2],
        "linear": [1, 1, 1, 3, 5, 3.5, 2, 2, 2],
        "hold": [1, 1, 1, 1, 5, 5, 2, 2, 2],
    }[fill]
    assert (weights @ np.array([1.0, 5.0, 2.0])).tolist() == expected
    assert np.flatnonzero(~filled).tolist() == [2, 4, 6]


def test_a_fill_that_nothing_implements_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match=r"model.fill='minimum'.*'nearest', 'linear' or 'hold'"):
        compose(["dataset=synthetic", "backbone=flow_grid", "model.fill=minimum"])


def test_a_bank_is_refused_by_the_configuration_as_by_the_code() -> None:
    for kind in ("kmeans:0", "coreset:2"):
        with pytest.raises(ConfigError):
            bank.parse_bank(kind)
        with pytest.raises(ConfigError, match=r"density\.bank_pose"):
            compose(["model=ai_vad", "dataset=synthetic", f"density.bank_pose='{kind}'"])


def _nothing() -> Any:
    from tests.stand_ins import video
    from vadbench.data.video import Dataset

    return Dataset("stand_in", (video("a"),), ())
