"""The documented classes and calls: tensors in the documented shapes give what the arrays give."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.models.ai_vad.moving import street
from vadbench.errors import DataError
from vadbench.models.ai_vad import (
    AiVad,
    AiVadModel,
    DeepExtractor,
    FeatureExtractor,
    FeatureType,
    FlowExtractor,
    ForegroundRules,
    LearningType,
    NoDetector,
    PoseExtractor,
    RegionExtractor,
    VelocityExtractor,
)
from vadbench.models.clips.fuvas import Fuvas

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
BATCH = torch.from_numpy(FRAMES).permute(0, 3, 1, 2).float() / 255
BOXES = [np.array([[2.0, 3, 30, 39]], np.float32), np.array([[10, 10, 26, 26], [0, 0, 60, 40]], np.float32)]
# (M, 5) in an order of its own: rows of frame 1, 0, 1.
FIVE = torch.tensor([[1, 0, 0, 60, 40], [0, 2, 3, 30, 39], [1, 10, 10, 26, 26]])
ORDER = [2, 0, 1]


PAGE = Path(__file__).resolve().parents[4] / "docs" / "coming_from_anomalib.md"


def test_the_page_for_readers_of_anomalibs_names_what_is_there() -> None:
    text = PAGE.read_text()
    imports = re.findall(r"^from .* import .*$", text, flags=re.MULTILINE)
    assert imports
    exec("\n".join(imports), {})
    for name in ("training_step", "configure_optimizers", "FUVASModel", "VideoRegionFeatureExtractor"):
        assert f"`{name}`" in text  # what is not there is named too


def test_documented_parameters_come_first_with_their_defaults() -> None:
    documented = {
        RegionExtractor: "box_score_thresh persons_only min_bbox_area max_bbox_overlap enable_foreground_detections "
        "foreground_kernel_size foreground_binary_threshold",
        FeatureExtractor: "n_velocity_bins use_velocity_features use_pose_features use_deep_features",
        AiVadModel: " ".join(list(inspect.signature(AiVad).parameters)[:14]),
    }
    for made, names in documented.items():
        assert list(inspect.signature(made).parameters)[: len(names.split())] == names.split()
    defaults = {name: p.default for name, p in inspect.signature(AiVadModel).parameters.items()}
    assert (defaults["box_score_thresh"], defaults["n_velocity_bins"], defaults["n_components_velocity"]) == (0.8, 8, 5)
    defaults = {name: p.default for name, p in inspect.signature(AiVad).parameters.items()}
    assert (defaults["box_score_thresh"], defaults["n_velocity_bins"], defaults["n_components_velocity"]) == (0.7, 1, 2)


@pytest.mark.parametrize("model", [Fuvas("flow_grid", None), AiVad(detector="none", flow="dis")])
def test_what_methods_say_of_themselves(model: Fuvas | AiVad) -> None:
    assert model.learning_type is LearningType.ONE_CLASS and model.learning_type == "one_class"
    assert model.trainer_arguments == {"gradient_clip_val": 0, "max_epochs": 1, "num_sanity_val_steps": 0}


def test_the_region_extractor_takes_the_documented_words() -> None:
    made = RegionExtractor(0.6, foreground_kernel_size=5, foreground_binary_threshold=9)
    assert made.detector.spec()["score_thresh"] == 0.6  # type: ignore[index]
    assert made.spec()["foreground"] | {"kernel_size": 5, "threshold": 9} == made.spec()["foreground"]
    mixed = RegionExtractor(foreground_kernel_size=7, foreground=ForegroundRules(3, 40, growth=2))
    assert mixed.foreground == ForegroundRules(7, 40, growth=2)
    assert RegionExtractor().foreground == ForegroundRules(3, 18)


def test_regions_of_tensors_are_dictionaries_of_tensors() -> None:
    first, last = np.full((2, 1, 40, 60, 3), 50, np.uint8)
    last[0, 10:24, 20:40] = 200
    extractor = RegionExtractor(detector=NoDetector())
    (arrays,) = extractor(first, last)
    (tensors,) = extractor(*(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (first, last)))
    assert tensors["boxes"].shape == (1, 4) and tensors["masks"].shape == (1, 1, 40, 60)
    np.testing.assert_array_equal(tensors["boxes"], arrays.boxes)
    assert tensors["labels"].tolist() == [0] and tensors["scores"].tolist() == [0.5]
    x1, y1, x2, y2 = arrays.boxes[0].astype(int)
    assert tensors["masks"].sum() == arrays.masks[0].sum() == tensors["masks"][0, 0, y1:y2, x1:x2].sum() >= 14 * 20


def test_velocity_of_boxes_in_one_tensor() -> None:
    flow = torch.from_numpy(RNG.normal(size=(2, 2, 40, 60)).astype(np.float32))
    extractor = VelocityExtractor(n_bins=8)
    found = extractor(flow, FIVE)
    assert found.shape == (3, 8) and found.dtype == torch.float32
    np.testing.assert_allclose(found, extractor(flow, BOXES)[ORDER], rtol=1e-6)
    assert extractor(flow, FIVE[:0]).shape == (0, 8)


def test_deep_features_of_boxes_in_one_tensor() -> None:
    extractor = DeepExtractor("RN50", "random")
    extractor._network = Means()
    found = extractor(BATCH, FIVE, batch_size=2)
    assert found.shape == (3, 3) and isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found, extractor(FRAMES, BOXES)["deep"][ORDER], atol=1e-6)


class Means(torch.nn.Module):
    """Stands in for CLIP: the mean of each colour."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Identity()
        self.visual.image_mean, self.visual.image_std, self.visual.image_size = (0.0,) * 3, (1.0,) * 3, 16

    def encode_image(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.mean((2, 3))


def test_poses_of_tensors_are_one_tensor_for_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def keypoints(self: PoseExtractor, frames: np.ndarray, boxes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        centre = np.concatenate(boxes).reshape(-1, 2, 2).mean(axis=1)
        return np.repeat(centre[:, None], 17, axis=1), np.ones((len(centre), 17))

    monkeypatch.setattr(PoseExtractor, "_keypoints", keypoints)
    found = PoseExtractor()(BATCH, [torch.from_numpy(b) for b in BOXES])
    assert [tuple(x.shape) for x in found] == [(1, 34), (2, 34)]
    assert torch.allclose(torch.cat(found), torch.tensor(0.5))
    assert [len(x) for x in PoseExtractor()(BATCH, FIVE)] == [1, 2]


def clips(video, pairs: list[tuple[int, int]]) -> torch.Tensor:
    frames = np.stack(list(video.frames()))
    chosen = np.stack([frames[first : last + 1] for first, last in pairs])
    return torch.from_numpy(chosen).permute(0, 1, 4, 2, 3).float() / 255


def test_the_clip_model_scores_frames_as_the_method_does() -> None:
    train = [street("01", speeds=(2, -3)), street("02", speeds=(1, -2))]
    test = street("03", speeds=(2, 6))
    options = {"detector": "none", "flow": "dis", "use_pose_features": False, "use_deep_features": False}
    method = AiVad(n_velocity_bins=8, n_components_velocity=2, **options)
    method.fit_videos(train)
    model = AiVadModel(n_components_velocity=2, **options)
    assert model.training
    for video in train:
        for features in model(clips(video, [(t - 1, t) for t in range(1, 8)])):
            assert features[FeatureType.VELOCITY].shape[1:] == (8,)
            model.density_estimator.update(features, video.id)
    model.density_estimator.fit()
    output = model.eval()(clips(test, [(t - 1, t) for t in range(1, 8)]))
    expected = method.score_video(test)
    assert output.pred_score.shape == (7,) and output.anomaly_map.shape == (7, 64, 96)
    np.testing.assert_allclose(output.pred_score, expected.scores[1:], rtol=1e-3, atol=1e-4)
    assert expected.maps is not None and expected.scores.max() > 1
    np.testing.assert_allclose(output.anomaly_map, [expected.maps[t] for t in range(1, 8)], rtol=1e-3, atol=1e-4)
    assert model.train()(clips(test, [(0, 1)]))[0].keys() == {FeatureType.VELOCITY}


def test_a_clip_without_regions_scores_the_minimum() -> None:
    model = AiVadModel(detector="none", flow="dis", use_pose_features=False, use_deep_features=False)
    for video in (street("01"), street("02")):
        for features in model(clips(video, [(0, 1), (1, 2), (2, 3)])):
            model.density_estimator.update(features, video.id)
    model.density_estimator.fit()
    output = model.eval()(torch.full((1, 2, 3, 64, 96), 0.5))
    assert output.pred_score.tolist() == [0] and not output.anomaly_map.any()
    long = clips(street("03"), [(0, 3)])
    assert torch.equal(model(long).pred_score, model(long[:, [0, -1]]).pred_score)


def test_flow_of_tensors_is_flow_of_arrays() -> None:
    extractor = FlowExtractor("dis", size=None)
    assert torch.equal(extractor(BATCH, BATCH.flip(0)), extractor(FRAMES, FRAMES[::-1]))
    assert torch.equal(extractor((BATCH * 255).byte(), BATCH.flip(0)), extractor(FRAMES, FRAMES[::-1]))


def test_wrong_shapes_and_ranges_are_explained() -> None:
    model = AiVadModel(detector="none", flow="dis", use_pose_features=False, use_deep_features=False)
    with pytest.raises(DataError, match=r"\(N, L, 3, H, W\)"):
        model(BATCH)
    with pytest.raises(DataError, match="not normalised"):
        model(torch.stack([BATCH, BATCH], dim=1) * 4 - 2)
    with pytest.raises(DataError, match=r"\(N, 3, H, W\) is expected"):
        FlowExtractor("dis", size=None)(BATCH[:, :1], BATCH[:, :1])
    with pytest.raises(DataError, match=r"\(M, 5\) or one"):
        VelocityExtractor()(torch.zeros(2, 2, 8, 8), FIVE[:, 1:])
    with pytest.raises(DataError, match="boxes of frames 0 to 1 in a batch of 1"):
        VelocityExtractor()(torch.zeros(1, 2, 8, 8), FIVE)
