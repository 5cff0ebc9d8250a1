"""The whole method: fitted and scored, every stream and switch, and the cases in which it must not break."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.models.ai_vad.moving import Stages, street
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Video
from vadbench.density.combined import CombinedDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.errors import ConfigError, DataError
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.ai_vad.streams.attributes import FeatureExtractor, FeatureType
from vadbench.models.ai_vad.streams.velocity import VelocityExtractor

TRAIN = [street(f"t{i}", 10, (1.5 + i / 10, -2.0)) for i in range(3)]
FAST = street("fast", 10, (1.8, -8.0))


def still(n_frames: int = 6, name: str = "still") -> Video:
    return Video(name, ArraySource(np.full((n_frames, 64, 96, 3), 90, np.uint8)))


def velocity_only(**options: object) -> AiVad:
    return AiVad(
        detector="none", flow="dis", min_bbox_area=20, use_pose_features=False, use_deep_features=False, **options
    )  # type: ignore[arg-type]


def test_documented_names_and_defaults() -> None:
    documented = {
        "box_score_thresh": 0.7, "persons_only": False, "min_bbox_area": 100, "max_bbox_overlap": 0.65,
        "enable_foreground_detections": True, "foreground_kernel_size": 3, "foreground_binary_threshold": 18,
        "n_velocity_bins": 1, "use_velocity_features": True, "use_pose_features": True, "use_deep_features": True,
        "n_components_velocity": 2, "n_neighbors_pose": 1, "n_neighbors_deep": 1,
    }  # fmt: skip
    parameters = list(inspect.signature(AiVad).parameters.values())
    assert {p.name: p.default for p in parameters[: len(documented)]} == documented
    assert [p.name for p in parameters[: len(documented)]] == list(documented)


def test_importing_the_class_imports_no_network_library() -> None:
    program = (
        "import sys; from vadbench.models.ai_vad import AiVad; "
        "print([m for m in ('torch', 'torchvision', 'open_clip', 'sklearn', 'cv2', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_moves_too_fast_is_found_and_named() -> None:
    model = velocity_only()
    model.fit_videos(TRAIN)
    usual, unusual = model.score_video(street("usual", 10, (1.6, -2.0))), model.score_video(FAST)
    assert unusual.scores[1:9].min() > 3 * usual.scores.max()
    worst = unusual.regions.loc[unusual.regions.groupby("frame")["total"].idxmax()]
    assert (worst["y1"] > 20).all()  # the second lane
    assert (worst["class"] == "foreground").all() and worst["velocity"].equals(worst["total"])
    assert unusual.regions[["pose", "deep"]].isna().all().all()


def test_frames_have_exactly_one_finite_score_and_the_first_takes_the_seconds() -> None:
    model = velocity_only()
    model.fit_videos(TRAIN)
    result = model.score_video(FAST)
    assert result.scores.shape == result.filled.shape == (10,) and np.isfinite(result.scores).all()
    assert result.filled.tolist() == [True] + [False] * 9
    assert result.scores[0] == result.scores[1]
    assert result.maps is not None
    np.testing.assert_array_equal(result.maps[0], result.maps[1])
    assert result.maps[3].shape == (64, 96)
    assert result.maps[3].max() == pytest.approx(result.regions.query("frame == 3")["total"].max(), rel=1e-6)


def test_frames_without_regions_get_the_calibrated_minimum_and_are_counted() -> None:
    model = velocity_only()
    model.fit_videos([*TRAIN, still(name="t9")])
    frames = np.stack(list(FAST.frames()))
    half = np.concatenate([np.repeat(frames[:1], 5, axis=0), frames[1:4]])
    result = model.score_video(Video("half", ArraySource(half)))
    np.testing.assert_array_equal(result.scores[:5], 0)
    assert (result.scores[5:] > 0).all()
    assert result.filled.tolist() == [True] * 5 + [False] * 3
    assert model.summary()["frames_without_regions"] == 4  # frame 0 has no pair: its score is interpolated
    assert model.summary()["training_videos_without_regions"] == 1
    result = model.score_video(still(1))
    assert result.scores.tolist() == [0] and len(result.regions) == 0
    assert result.regions.columns.tolist() == ["frame", "x1", "y1", "x2", "y2", "class", "detector_score", "velocity",
                                               "pose", "deep", "total", "score"]  # fmt: skip
    json.dumps(model.summary())


def test_training_without_any_region_is_a_clear_error() -> None:
    with pytest.raises(DataError, match=r"No regions were found in the 2 training videos.*min_bbox_area"):
        velocity_only().fit_videos([still(name="a"), still(name="b")])


def test_one_training_video_is_enough_for_velocity_and_a_clear_error_for_neighbours() -> None:
    velocity_only().fit_videos(TRAIN[:1])
    with pytest.raises(DataError, match="at least two training videos"):
        AiVad(**Stages().parts()).fit_videos(TRAIN[:1])
    with pytest.raises(DataError, match="only one training video has samples"):
        AiVad(**Stages().parts()).fit_videos([TRAIN[0], still(name="empty")])


def test_every_stream_off_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="Every stream is off"):
        velocity_only(use_velocity_features=False)
    with pytest.raises(ConfigError, match="sum_of_max, max_of_sum"):
        velocity_only(frame_reduction="mean")


def test_streams_that_are_off_build_and_fetch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip
    import torch
    from torchvision import models

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(models, "get_model", forbidden)
    monkeypatch.setattr(open_clip, "create_model", forbidden)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", forbidden)
    model = velocity_only()
    model.fit_videos(TRAIN)
    model.score_video(FAST)
    assert list(model.extractor.outputs()) == ["regions", "velocity"] and model.extractor.weights() == []


def test_same_seed_same_scores() -> None:
    results = []
    for _ in range(2):
        model = AiVad(**Stages().parts(), seed=3)
        model.fit_videos(TRAIN)
        results.append(model.score_video(FAST))
    np.testing.assert_array_equal(results[0].scores, results[1].scores)
    assert results[0].regions.equals(results[1].regions)


def test_training_videos_are_scored_as_if_they_had_never_been_seen() -> None:
    model = AiVad(**Stages().parts())
    features = {v.id: model._extract(v) for v in TRAIN}
    model.fit(features)
    seen = model.score(TRAIN[1], features["t1"]).regions
    unseen = model.score_training(TRAIN[1], features["t1"]).regions
    # Each sample of the bank is its own nearest neighbour: it would always look perfectly normal.
    low = {stream: model.density.estimators[stream].calibration.low for stream in ("pose", "deep")}  # type: ignore[union-attr]
    assert all(seen[stream].max() < 0 < low[stream] for stream in low)
    assert unseen[["pose", "deep"]].min().min() >= 0 and unseen[["pose", "deep"]].max().max() <= 1
    assert unseen["velocity"].equals(seen["velocity"])
    both = [model.score_training(v, features[v.id]).regions for v in TRAIN]
    for stream in low:
        everything = np.concatenate([regions[stream] for regions in both])
        assert everything.min() == pytest.approx(0) and everything.max() == pytest.approx(1)
    assert model.summary()["scored_frames"] == 10  # of the one scored as a test video


def test_training_scores_are_bounded_with_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AiVad(**Stages().parts())
    features = {v.id: model.extractor.extract(v, list(model.extractor.outputs()), {}) for v in TRAIN}
    n = sum(len(made["regions"]["frame"]) for made in features.values())
    monkeypatch.setattr("vadbench.density.knn._MOST_CALIBRATED", n)
    model.fit(features)
    assert "training_frame_step" not in model.summary()
    monkeypatch.setattr("vadbench.density.knn._MOST_CALIBRATED", n // 3)
    model.fit(features)
    found = model.summary()
    step = -(-n // (n // 3))
    assert found["training_frame_step"] == step and found["training_regions"] == n
    assert found["density"]["pose"]["calibration_samples"] == found["density"]["deep"]["calibration_samples"] == n // 3
    asked: list[int] = []
    deep = model.density.estimators["deep"]
    raw = deep.raw_without
    for video in TRAIN:
        every = model._score(video, features[video.id], model._groups[video.id])
        with monkeypatch.context() as context:
            context.setattr(deep, "raw_without", lambda group, rows: asked.append(len(rows)) or raw(group, rows))
            some = model.score_training(video, features[video.id])
        np.testing.assert_array_equal(some.scores, every.scores[::step])
    assert 0 < sum(asked) < n / 2


def test_the_frame_score_is_the_sum_of_each_streams_worst_region() -> None:
    model = AiVad(**Stages().parts())
    model.fit_videos(TRAIN)
    result = model.score_video(FAST)
    streams = ["velocity", "pose", "deep"]
    worst = result.regions.groupby("frame")[streams].max().sum(axis=1)
    np.testing.assert_allclose(result.scores[worst.index], worst)
    np.testing.assert_allclose(result.regions["total"], result.regions[streams].sum(axis=1))


def test_switches_change_what_they_should_over_one_extraction() -> None:
    stages = Stages()
    first = AiVad(**stages.parts())
    outputs = list(first.extractor.outputs())
    train = {v.id: first.extractor.extract(v, outputs, {}) for v in TRAIN}
    test = first.extractor.extract(FAST, outputs, {})
    counted = stages.counts()

    def table(n_velocity_bins: int = 1, velocity: dict | None = None, density: dict | None = None, **options: object):
        parts = stages.parts(n_velocity_bins)
        features = FeatureExtractor(
            velocity=VelocityExtractor(n_velocity_bins, **(velocity or {})),
            pose=stages.pose,  # type: ignore[arg-type]
            deep=stages.deep,  # type: ignore[arg-type]
        )
        if density is not None:
            knn = {k: v for k, v in density.items() if k != "in_sum"}
            estimators = {"velocity": GMMEstimator(), "pose": GroupedKNNEstimator(), "deep": GroupedKNNEstimator(**knn)}
            options["density"] = CombinedDensityEstimator(estimators=estimators, in_sum=density.get("in_sum"))
        model = AiVad(**{**parts, "feature_extractor": features}, **options)  # type: ignore[arg-type]
        model.fit(train)
        result = model.score(FAST, test)
        return result.regions[["velocity", "pose", "deep", "total"]], result.scores

    base, base_scores = table()
    changes = {
        "bins": ({"n_velocity_bins": 8}, {"velocity", "total"}),
        "l1": ({"velocity": {"magnitude": "l1"}}, {"velocity", "total"}),
        "height": ({"velocity_height_classes": [0]}, {"velocity", "total"}),
        "components": ({"n_components_velocity": 1}, {"velocity", "total"}),
        "neighbours": ({"n_neighbors_deep": 3}, {"deep", "total"}),
        "pose neighbours": ({"n_neighbors_pose": 3}, {"pose", "total"}),
        "squared": ({"density": {"distance": "squared_l2"}}, {"deep", "total"}),
        "percentile": ({"density": {"calibration": "p99.9"}}, {"deep", "total"}),
        "last group": ({"density": {"calibration": "last_group"}}, {"deep", "total"}),
        "coreset": ({"density": {"bank": "coreset:0.3"}}, {"deep", "total"}),
        "in sum": ({"density": {"in_sum": ["velocity", "pose"]}}, {"total"}),
        "reduction": ({"frame_reduction": "max_of_sum"}, set()),
        "same": ({}, set()),
    }  # fmt: skip
    for name, (options, expected) in changes.items():
        changed, scores = table(**options)
        differs = {c for c in base if not np.allclose(base[c], changed[c], rtol=1e-12)}
        assert differs == expected, name
        assert np.array_equal(scores, base_scores) == (name == "same"), name
    assert stages.counts() == counted  # no stage ran again


def test_poses_of_persons_only() -> None:
    stages = Stages()
    model = AiVad(**stages.parts(), pose_persons_only=True)
    features = {v.id: model._extract(v) for v in (*TRAIN, FAST)}
    for video in features.values():  # call every second region a person
        video["regions"]["labels"][::2] = 1
    model.fit({v.id: features[v.id] for v in TRAIN})
    result = model.score(FAST, features["fast"])
    persons = result.regions["class"] == "person"
    assert result.regions.loc[persons, "pose"].notna().all() and result.regions.loc[~persons, "pose"].isna().all()
    assert np.isfinite(result.scores).all()
    rows = result.regions[["velocity", "deep"]][~persons].sum(axis=1)
    np.testing.assert_allclose(result.regions.loc[~persons, "total"], rows)


@pytest.mark.parametrize("reduction", ["sum_of_max", "max_of_sum"])
def test_a_frame_without_a_pose_can_have_a_distance_of_zero(reduction: str) -> None:
    model = AiVad(**Stages().parts(), pose_persons_only=True, frame_reduction=reduction)
    raw_zero = AiVad(**Stages().parts(), pose_persons_only=True, frame_reduction=reduction, without_pose="raw_zero")
    features = {v.id: model._extract(v) for v in (*TRAIN, FAST)}
    for video in features.values():
        video["regions"]["labels"][:] = np.where(video["regions"]["frame"] % 2, 1, 0)  # persons in odd frames
    results = []
    for one in (model, raw_zero):
        one.fit({v.id: features[v.id] for v in TRAIN})
        results.append(one.score(FAST, features["fast"]))
    low, high = (raw_zero.summary()["density"]["pose"][name] for name in ("low", "high"))
    frames = np.arange(FAST.n_frames)
    persons = np.isin(frames, features["fast"]["regions"]["frame"]) & (frames % 2 == 1)
    persons[0] = persons[1]  # interpolated from frame 1
    assert low > 0 and persons.any() and not persons.all()
    np.testing.assert_allclose(results[1].scores - results[0].scores, np.where(persons, 0, -low / (high - low)))
    assert model.summary()["score_without_regions"] == 0
    assert raw_zero.summary()["score_without_regions"] == pytest.approx(-low / (high - low))
    with pytest.raises(ConfigError, match="Did you mean: raw_zero"):
        AiVad(**Stages().parts(), without_pose="raw")


def test_last_group_is_the_video_that_was_loaded_last() -> None:
    stages = Stages()
    model = AiVad(**stages.parts())
    features = {v.id: model._extract(v) for v in (*TRAIN, FAST)}
    highs = {}
    for last in [v.id for v in TRAIN]:
        for name in ("pose", "deep"):
            model.density.estimators[name].rule = "last_group"  # type: ignore[attr-defined]
        order = [v.id for v in TRAIN if v.id != last] + [last]
        model.fit({video: features[video] for video in order})
        highs[last] = model.density.estimators["pose"].calibration.high  # type: ignore[union-attr]
        own = model.score_training(next(v for v in TRAIN if v.id == last), features[last]).regions["pose"]
        assert own.max() == pytest.approx(1)  # the largest of the last one's own scores is what becomes 1
    assert len(set(highs.values())) == len(TRAIN)


def test_the_spec_of_streams() -> None:
    features = FeatureExtractor(use_deep_features=False)
    assert features.streams == (FeatureType.VELOCITY, FeatureType.POSE) and features.deep is None
    with pytest.raises(ValueError, match="the deep stream is off"):
        features(np.zeros((0, 8, 8, 3), np.uint8), None, [], [FeatureType.DEEP])
    with pytest.raises(ValueError, match="need the flow"):
        features(np.zeros((0, 8, 8, 3), np.uint8), None, [], [FeatureType.VELOCITY])
