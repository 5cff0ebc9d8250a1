"""AI-VAD from the command line's overrides: defaults, presets, mistakes, and the whole method with random weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.models.ai_vad.moving import street
from vadbench.config.compose import compose
from vadbench.config.schema import RunConfig
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.registry import build

PED2 = "dataset=ucsd_ped2"
WITHOUT_DOWNLOADS = [
    "model=ai_vad", "regions.detector=none", "flow=dis",
    "model.use_pose_features=false", "model.use_deep_features=false",
]  # fmt: skip


def composed(*words: str) -> RunConfig:
    return compose(["runtime.device=cpu", *words])


def detector(*words: str) -> AiVad:
    made = build(composed(*words))
    assert isinstance(made, AiVad)
    return made


def test_yaml_defaults_are_the_documented_ones_of_the_class() -> None:
    from_yaml, from_python = detector("model=ai_vad", PED2), AiVad()
    assert from_yaml.extractor.outputs() == from_python.extractor.outputs()
    for name in ("frame_reduction", "velocity_height_classes", "pose_persons_only", "masks"):
        assert getattr(from_yaml, name) == getattr(from_python, name)
    ours, theirs = from_yaml.density, from_python.density
    assert ours.in_sum == theirs.in_sum == ("velocity", "pose", "deep")
    for stream in ours.in_sum:
        a, b = vars(ours.estimators[stream]), vars(theirs.estimators[stream])
        assert a == b, stream
    a, b = vars(from_yaml.features.velocity), vars(from_python.features.velocity)
    assert a == b


def test_without_downloads_is_what_the_readme_says() -> None:
    model = detector(*WITHOUT_DOWNLOADS, PED2)
    assert list(model.extractor.outputs()) == ["regions", "velocity"]
    assert model.extractor.weights() == []
    model.fit_videos([street("a"), street("b")])
    assert np.isfinite(model.score_video(street("c")).scores).all()


def test_groups_are_chosen_by_name() -> None:
    config = composed("model=ai_vad", PED2, "regions=none", "flow=farneback")
    assert config.regions is not None and config.regions.detector == "none" and config.regions.min_bbox_area == 100
    assert config.flow is not None and config.flow.method == "farneback" and config.flow.size is None
    onnx = composed("model=ai_vad", PED2, "regions=onnx", "regions.weights=some.onnx")
    assert onnx.regions is not None and onnx.regions.detector == "onnx" and onnx.regions.box_score_thresh == 0.3


# The tables of the official code: bins, Gaussians, confidence, least box, overlap, blur, threshold, least blob, persons
# only, flow size, height classes, sum.
OFFICIAL = {
    "ucsd_ped2": (1, 2, 0.5, 100, 0.6, 3, 18, 100, False, (768, 1024), [], None),
    "avenue": (8, 5, 0.8, 400, 0.6, 5, 18, 1600, True, (768, 1024), [], None),
    "shanghaitech": (8, 5, 0.8, 64, 0.65, 5, 15, 1600, False, (640, 1024), [0, 1], ["velocity", "pose"]),
}


@pytest.mark.parametrize("dataset", OFFICIAL)
def test_official_preset_has_a_table_for_each_data_set(dataset: str) -> None:
    config = composed("experiment=ai_vad_official", f"dataset={dataset}")
    model, regions, flow, density = config.model, config.regions, config.flow, config.density
    assert regions is not None and flow is not None and density is not None
    found = (
        model.n_velocity_bins, density.n_components_velocity, regions.box_score_thresh, regions.min_bbox_area,
        regions.max_bbox_overlap, regions.foreground_kernel_size, regions.foreground_binary_threshold,
        regions.foreground_min_area, regions.persons_only, flow.size, model.velocity_height_classes, model.in_sum,
    )  # fmt: skip
    assert found == OFFICIAL[dataset]
    shared = (
        model.velocity_normalisation, model.velocity_magnitude, model.deep_color_order, model.pose_persons_only,
        model.first_frames, flow.rescale, density.distance, density.calibration_velocity, density.calibration_pose,
        density.calibration_deep, regions.foreground_max_aspect, regions.foreground_growth,
        regions.foreground_unfiltered, regions.foreground_per_channel, config.protocol.name,
    )  # fmt: skip
    assert shared == (
        "crop_mean", "l1", "bgr", True, "self", False,
        "squared_l2", "p99.9", "p99.9", "max", 10, 2, True, True, "ai_vad",
    )  # fmt: skip


def test_official_preset_gives_way_to_the_users_words() -> None:
    config = composed("experiment=ai_vad_official", "dataset=avenue", "regions.min_bbox_area=7", "flow=dis")
    assert config.regions is not None and config.regions.min_bbox_area == 7
    assert config.flow is not None and config.flow.method == "dis"


def test_anomalib_preset_sets_its_deviations() -> None:
    model = detector("experiment=ai_vad_anomalib", PED2)
    assert model.extractor.crop_frame == "first" and not model.extractor.flow.rescale
    assert [model.density.estimators[s].rule for s in ("velocity", "pose", "deep")] == ["max", *["last_group"] * 2]  # type: ignore[attr-defined]
    regions, features = model.extractor.regions, model.features
    assert (regions.foreground.edges, regions.foreground.blur) == ("inclusive", "torchvision")
    assert features.velocity is not None and features.pose is not None and features.deep is not None
    assert features.velocity.angle == "uv" and features.pose.box_scale == "yx"
    assert not features.velocity.crops.aligned and not features.deep.crops.aligned
    assert (regions.inclusive_areas, regions.fallback, model.without_pose) == (False, "none", "minimum")


def test_official_preset_sets_what_its_code_does_without_a_table() -> None:
    model = detector("experiment=ai_vad_official", PED2)
    regions, features = model.extractor.regions, model.features
    assert regions.detector.spec()["nms_thresh"] == 0.7  # type: ignore[index]
    assert (regions.inclusive_areas, regions.fallback, model.without_pose) == (True, "whole_frame", "raw_zero")
    assert features.velocity is not None and features.deep is not None
    assert features.velocity.crops.integer and features.deep.crops.integer
    assert (regions.foreground.edges, regions.foreground.blur) == ("exclusive", "opencv")


def test_switches_of_the_presets_change_the_outputs_that_they_concern() -> None:
    base = detector("model=ai_vad", PED2).extractor.outputs()
    for word, concerned in {
        "regions.foreground_edges=inclusive": {"regions", "velocity", "pose", "deep"},
        "regions.foreground_blur=torchvision": {"regions", "velocity", "pose", "deep"},
        "regions.inclusive_areas=true": {"regions", "velocity", "pose", "deep"},
        "regions.fallback=whole_frame": {"regions", "velocity", "pose", "deep"},
        "model.velocity_angle=uv": {"velocity"},
        "model.roi_aligned=false": {"velocity", "deep"},
        "model.integer_crops=true": {"velocity", "deep"},
        "model.pose_box_scale=yx": {"pose"},
        "model.without_pose=raw_zero": set(),
    }.items():
        changed = detector("model=ai_vad", PED2, word).extractor.outputs()
        assert {name for name in base if changed[name] != base[name]} == concerned, word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.n_neighbors_deep=3"], r"Did you mean: density\.n_neighbors_deep"),
        (["model.box_score_thresh=0.5"], r"Did you mean: regions\.box_score_thresh"),
        (["regions.detector=yolo"], "maskrcnn_resnet50_fpn_v2"),
        (["regions.foreground_kernel_size=4"], "must be odd"),
        (["density.bank_deep=kmeans"], r"kmeans:100"),
        (["density=pca"], "attributes"),
        (["model.in_sum=[velocity,pose]", "model.use_pose_features=false"], "in_sum asks for pose, which is off"),
        (["model.in_sum=[]"], "in_sum is empty"),
        (["regions.detector=none", "regions.enable_foreground_detections=false"], "finds no regions at all"),
        (
            [f"model.use_{stream}_features=false" for stream in ("velocity", "pose", "deep")],
            "every stream is off",
        ),
        (["regions=onnx"], "path of a YOLOX-style ONNX file"),
        (["flow.size=[100,200]"], "multiples of 8"),
        (["regions.box_score_thresh=1.5"], "less than or equal to 1"),
        (["model.velocity_height_classes=[91]"], "less than or equal to 90"),
        (["model.integer_crops=true", "model.roi_aligned=false"], "roi_aligned=false has no effect"),
        (["regions.foreground_edges=in"], "'exclusive' or 'inclusive'"),
        (["model.without_pose=zero"], "'minimum' or 'raw_zero'"),
    ],
)
def test_mistakes_are_explained_before_any_work(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        detector("model=ai_vad", PED2, *words)


def test_every_stream_with_random_weights() -> None:
    model = detector(
        "model=ai_vad", PED2, "seed=1", "regions.weights=random", "regions.box_score_thresh=0.4",
        "regions.min_size=64", "regions.max_size=128", "flow=raft_small", "flow.weights=random",
        "flow.size=[128,128]", "flow.updates=2", "model.pose_weights=random", "model.pose_min_size=64",
        "model.pose_max_size=128", "model.deep_model=ViT-S-32-alt", "model.deep_weights=random",
        "density.n_neighbors_deep=2", "runtime.batch_size=4",
    )  # fmt: skip
    model.fit_videos([street("a", 4), street("b", 4)])
    result = model.score_video(street("c", 5, (2.0, -9.0)))
    assert result.scores.shape == (5,) and np.isfinite(result.scores).all()
    regions = result.regions
    assert len(regions) and regions[["velocity", "pose", "deep"]].notna().all().all()
    assert (regions["class"] == "foreground").any() and (regions["class"] != "foreground").any()
    assert [entry["name"] for entry in model.extractor.weights()] == ["random"] * 4
