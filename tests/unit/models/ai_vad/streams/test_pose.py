"""Keypoints of given boxes: normalised to the box, x and y by their own factors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection import roi_heads

from vadbench.errors import ConfigError
from vadbench.models.ai_vad.streams.pose import PoseExtractor, normalise_keypoints, resize_factors

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def extractor() -> PoseExtractor:
    return PoseExtractor("random", min_size=64, max_size=128)


def test_keypoints_are_normalised_by_width_and_height_of_their_box() -> None:
    boxes = np.array([[10.0, 20, 30, 100]])
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, 0], keypoints[0, 1], keypoints[0, 2] = (10, 20), (30, 100), (15, 40)
    pose = normalise_keypoints(keypoints, boxes)
    assert pose.shape == (1, 34)
    np.testing.assert_allclose(pose[0, :6], [0, 0, 1, 1, 0.25, 0.25])


def test_x_and_y_have_their_own_factors() -> None:
    np.testing.assert_allclose(resize_factors((90, 200), (57, 128)), [0.64, 57 / 90], rtol=1e-6)


def test_corners_come_back_as_corners_on_a_frame_that_is_not_square(
    extractor: PoseExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 90 x 200 is scaled by 0.64 in x and, rounded down to whole pixels, by 57 / 90 in y. A head that answers with the
    # corners of the boxes it was given must end at 0 and 1 exactly, wherever the box is.
    def corners(heat: torch.Tensor, boxes: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        assert heat.shape == (3, 17, 56, 56)
        made = []
        for b in boxes:
            points = torch.ones(len(b), 17, 3)
            points[:, ::2, :2] = b[:, None, :2]
            points[:, 1::2, :2] = b[:, None, 2:]
            made.append(points)
        return made, [torch.zeros(len(b), 17) for b in boxes]

    monkeypatch.setattr(roi_heads, "keypointrcnn_inference", corners)
    frames = RNG.integers(0, 256, (2, 90, 200, 3), dtype=np.uint8)
    boxes = [np.array([[150.0, 10, 199, 88]], np.float32), np.array([[3.5, 60, 20, 80], [90, 5, 110, 90]], np.float32)]
    found = extractor(frames, boxes)
    assert found["pose"].shape == (3, 34) and found["confidence"].shape == (3, 17)
    np.testing.assert_allclose(found["pose"], np.tile([0, 0, 1, 1], 9)[None, :34].repeat(3, 0), atol=1e-5)


def test_boxes_can_follow_the_frame_by_exchanged_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, box = RNG.integers(0, 256, (1, 90, 200, 3), dtype=np.uint8), np.array([[150.0, 10, 190, 80]], np.float32)
    pooled: dict[str, np.ndarray] = {}
    found = {}
    for scale in ("xy", "yx"):

        def head(heat: torch.Tensor, boxes: list[torch.Tensor], scale: str = scale) -> tuple[list, list]:
            pooled[scale] = boxes[0].numpy()
            middle = (boxes[0][:, None, :2] + boxes[0][:, None, 2:]).expand(1, 17, 2) / 2
            return [torch.cat([middle, torch.ones(1, 17, 1)], 2)], [torch.zeros(1, 17)]

        monkeypatch.setattr(roi_heads, "keypointrcnn_inference", head)
        extractor = PoseExtractor("random", min_size=64, max_size=128, box_scale=scale)
        found[scale] = extractor(frames, [box])["pose"]
    x, y = 0.64, 57 / 90
    np.testing.assert_allclose(pooled["xy"], box * [x, y, x, y], rtol=1e-6)
    np.testing.assert_allclose(pooled["yx"], box * [y, x, y, x], rtol=1e-6)
    for pose in found.values():  # in the box that was looked at
        np.testing.assert_allclose(pose, 0.5, atol=1e-5)
    assert PoseExtractor(box_scale="yx").spec() == {**PoseExtractor().spec(), "box_scale": "yx"}
    assert "box_scale" not in PoseExtractor().spec()
    with pytest.raises(ConfigError, match="Available: xy, yx"):
        PoseExtractor(box_scale="zz")


def test_a_peak_of_the_heat_map_is_found_where_it_is_in_the_box(extractor: PoseExtractor) -> None:
    network = extractor._built()

    class Peak(torch.nn.Module):
        """Keypoint j peaks in row 14 and column 42 of the 56 x 56 heat map."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heat = torch.zeros(len(x), 17, 56, 56)
            heat[:, :, 14, 42] = 9.0
            return heat

    frames = RNG.integers(0, 256, (1, 90, 200, 3), dtype=np.uint8)
    predictor, network.roi_heads.keypoint_predictor = network.roi_heads.keypoint_predictor, Peak()
    try:
        found = extractor(frames, [np.array([[40.0, 5, 180, 85]], np.float32)])
    finally:
        network.roi_heads.keypoint_predictor = predictor
    x, y = found["pose"][0].reshape(17, 2).T
    np.testing.assert_allclose(x, 42.5 / 56, atol=0.01)
    np.testing.assert_allclose(y, 14.5 / 56, atol=0.02)
    assert (found["confidence"] > 5).all()


def test_frames_without_boxes_are_not_looked_at_and_rows_keep_their_order(extractor: PoseExtractor) -> None:
    frames = RNG.integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    none = np.zeros((0, 4), np.float32)
    boxes = [none, np.array([[5.0, 5, 30, 60], [40, 10, 70, 50]], np.float32), none]
    together = extractor(frames, boxes)["pose"]
    alone = extractor(frames[1:2], [boxes[1]])["pose"]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert extractor(frames, [none] * 3)["pose"].shape == (0, 34)


def test_random_weights_are_seeded_and_named(extractor: PoseExtractor) -> None:
    assert extractor.weights() == [{"part": "pose (keypointrcnn_resnet50_fpn)", "name": "random", "digest": "seed-0"}]
    assert PoseExtractor("random", seed=1).spec() != PoseExtractor("random").spec() != PoseExtractor().spec()
    assert PoseExtractor().spec()["weights"]["digest"] == "keypointrcnn_resnet50_fpn_coco-fc266e95.pth"


def test_nothing_is_built_before_it_is_needed() -> None:
    extractor = PoseExtractor()
    assert extractor(np.zeros((1, 8, 8, 3), np.uint8), [np.zeros((0, 4))])["pose"].shape == (0, 34)
    assert extractor._network is None
