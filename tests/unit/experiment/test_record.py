"""The key of a run covers exactly what can change its result."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from vadbench.config.compose import compose
from vadbench.experiment.record import caveats, fingerprint

BASE = ["dataset=synthetic", "backbone=flow_grid"]


def key(*words: str, specs: Any = None, data: str = "d", labels: str = "l") -> str:
    return fingerprint(asdict(compose([*BASE, *words])), specs or {"grid": {"cell": 12}}, data, labels)


@pytest.mark.parametrize(
    "words",
    [
        "runtime=cpu",
        "runtime.batch_size=7",
        "runtime.threads=2",
        "tracking=none",
        "on_existing=rerun",
        "results=/elsewhere",
        "store.path=/elsewhere",
        "dataset.root=/elsewhere",
        "model.visualizer=false",
        "model.heatmap_frames=3",
        "protocol.source=words",
        "+protocol.assumes={clip_length:2,frame_step:1,clip_stride:1,target_frame:last}",
        "launcher=ray",
        "evaluation.pixels=off",
        "dataset.max_frames=10",  # the digests of frames and labels say what was chosen
        "dataset.train_videos=[a]",
        "dataset.max_pixels=1000",
        "model.spatial_pool=false",
    ],
)
def test_what_can_not_change_a_result_is_not_in_the_key(words: str) -> None:
    assert key(words) == key()


@pytest.mark.parametrize(
    "words",
    [
        "seed=1",
        "model.pca_level=0.9",
        "model.fill=hold",
        "model.shots=10",
        "density.components=one_fewer",
        "protocol=gaussian",
        "store.dtype=float16",
        "model=random",
        "regions_from_maps=true",
        "model.evaluator=false",
    ],
)
def test_what_can_change_a_result_is_in_the_key(words: str) -> None:
    base = [word for word in BASE if not (words.startswith("model=") and word.startswith("backbone"))]
    changed = fingerprint(asdict(compose([*base, words])), {"grid": {"cell": 12}}, "d", "l")
    assert changed != key()


def test_a_default_that_is_written_out_is_the_same_run() -> None:
    assert key("model.layer=grid") == key()
    other = {"fine_grid": {"cell": 6}}
    assert key("model.layer=fine_grid", specs=other) == key("backbone.layer=fine_grid", specs=other)


def test_a_layer_that_the_features_do_not_name_is_in_the_key() -> None:
    assert key("model.layer=blocks.3") != key()


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("model.in_sum=[velocity,pose,deep]", True),
        ("model.in_sum=[velocity,pose]", False),
        ("regions.foreground_min_area=100", True),
        ("regions.foreground_min_area=101", False),
    ],
)
def test_defaults_of_ai_vad_that_are_written_out(written: str, same: bool) -> None:
    base = ["model=ai_vad", "dataset=synthetic"]
    keys = [fingerprint(asdict(compose([*base, *more])), {}, "d", "l") for more in ([], [written])]
    assert (keys[0] == keys[1]) is same


AI_VAD = ["model=ai_vad", "dataset=synthetic"]
VELOCITY = ["model.use_pose_features=false", "model.use_deep_features=false"]


@pytest.mark.parametrize(
    ("chosen", "idle"),
    [
        (["regions=none"], "regions.weights=random"),
        (["regions=none"], "regions.box_score_thresh=0.3"),
        (["flow=dis"], "flow.weights=random"),
        (["flow=dis"], "flow.updates=3"),
        (["flow=raft_small"], "flow.preset=fast"),
        (VELOCITY, "model.pose_weights=random"),
        (VELOCITY, "model.deep_model=RN50"),
        (VELOCITY, "density.n_neighbors_pose=3"),
        (VELOCITY, "density.deep=knn"),
        (VELOCITY, "density.distance=squared_l2"),
        (["model.use_velocity_features=false"], "flow=dis"),
        (["model.use_velocity_features=false"], "density.n_components_velocity=5"),
        (["density.velocity=knn"], "density.n_components_velocity=5"),
        (["regions.enable_foreground_detections=false"], "regions.foreground_binary_threshold=30"),
    ],
)
def test_settings_of_what_is_off_make_no_other_run(chosen: list[str], idle: str) -> None:
    plain, changed, on = (
        fingerprint(asdict(compose([*AI_VAD, *words])), {}, "d", "l") for words in (chosen, [*chosen, idle], [idle])
    )
    assert changed == plain
    assert on != fingerprint(asdict(compose(AI_VAD)), {}, "d", "l") or idle == "flow.preset=fast", "it counts where on"


def test_the_default_layer_is_no_other_run_at_any_result_version() -> None:
    for version in (1, 2):
        keys = {
            fingerprint(asdict(compose([*BASE, *words])), {"grid": {}}, "d", "l", {"result_version": version})
            for words in ([], ["model.layer=grid"])
        }
        assert len(keys) == 1


def test_versions_are_in_the_key_from_2_on() -> None:
    values = asdict(compose(BASE))
    keys = [fingerprint(values, {}, "d", "l", versions) for versions in (None, {"a": 1}, {"a": 2}, {"b": 2}, {"a": 3})]
    assert keys[0] == keys[1] and len(set(keys)) == 4


def test_features_data_and_labels_are_in_the_key() -> None:
    assert len({key(), key(specs={"grid": {"cell": 13}}), key(data="e"), key(labels="m")}) == 4


def test_the_order_of_words_is_not_in_the_key() -> None:
    assert key("seed=1", "model.fill=hold") == key("model.fill=hold", "seed=1")


def record(**more: Any) -> dict[str, Any]:
    data = {"partial": False, "comparable": True, "expected": {}, "train_videos": 1, "test_videos": 1}
    names = {"model": "fuvas", "backbone": "x3d_s"}
    return {"dataset": data, "weights": [], "names": names, **more}


def test_a_reader_is_told_what_to_be_careful_about() -> None:
    assert caveats(record()) == []
    partial = record()["dataset"] | {"partial": True, "expected": {"train_videos": 16, "test_videos": 12}}
    assert "1 of 12 test videos" in caveats(record(dataset=partial))[0]
    shouted = caveats(record(weights=[{"part": "backbone", "name": "random", "digest": "0"}]))[0]
    assert "RANDOM WEIGHTS" in shouted
    assert "FUVAS on flow_grid features" in caveats(record(names={"model": "fuvas", "backbone": "flow_grid"}))[0]
