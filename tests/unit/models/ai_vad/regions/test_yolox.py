"""The ONNX detector: its decoding by hand, its suppression against torchvision's, its faults, a real model."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vadbench.errors import ConfigError, MissingExtra, WeightsError
from vadbench.models.ai_vad.regions.coco import CATEGORIES, WITHOUT_GAPS, category
from vadbench.models.ai_vad.regions.yolox import OnnxDetector, decode, letterbox, suppress


def test_predictions_are_relative_to_their_cell_in_strides() -> None:
    side = (64, 96)
    n = 8 * 12 + 4 * 6 + 2 * 3
    raw = np.zeros((n, 85), np.float32)
    raw[8 * 12 + 6 + 2] = [0.5, 0.25, np.log(2), np.log(3), 0.9, *[0.1] * 80]  # stride 16, row 1, column 2
    box = decode(raw, side)[8 * 12 + 6 + 2, :4]
    centre_x, centre_y = (2 + 0.5) * 16, (1 + 0.25) * 16
    np.testing.assert_allclose(box, [centre_x - 16, centre_y - 24, centre_x + 16, centre_y + 24], rtol=1e-6)
    np.testing.assert_allclose(decode(raw, side)[-1, :4], [64 - 16, 32 - 16, 64 + 16, 32 + 16])  # stride 32, last cell
    with pytest.raises(WeightsError, match="expected 126 predictions"):
        decode(raw[:-1], side)


def test_frames_are_scaled_into_the_corner_and_turned_to_bgr() -> None:
    frame = np.zeros((50, 100, 3), np.uint8)
    frame[..., 0] = 200  # red
    image, scale = letterbox(frame, (64, 64))
    assert scale == 0.64
    np.testing.assert_array_equal(
        image[:, :32], np.array([0, 0, 200], np.float32)[:, None, None].repeat(32, 1).repeat(64, 2)
    )
    assert (image[:, 32:] == 114).all()


def test_suppression_equals_torchvisions_batched_nms() -> None:
    import torch
    from torchvision.ops import batched_nms

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (300, 2))], axis=1).astype(np.float32)
    scores, classes = rng.random(300).astype(np.float32), rng.integers(0, 3, 300)
    theirs = batched_nms(torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), 0.45)
    np.testing.assert_array_equal(suppress(boxes, scores, classes, 0.45), theirs.numpy())


def test_category_numbers_are_torchvisions() -> None:
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

    names = MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT.meta["categories"]
    assert {i: n for i, n in enumerate(names) if i and n != "N/A"} == {i: n for i, n in CATEGORIES.items() if i}
    assert (
        len(WITHOUT_GAPS) == 80 and category(WITHOUT_GAPS[0]) == "person" and category(WITHOUT_GAPS[79]) == "toothbrush"
    )
    assert category(12) == "class 12"


def test_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"vadbench\[onnx\]"):
        OnnxDetector("x.onnx").spec()


def test_missing_and_broken_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="path of a YOLOX-style ONNX file"):
        OnnxDetector("pretrained")
    with pytest.raises(WeightsError, match="no such file"):
        OnnxDetector(str(tmp_path / "absent.onnx"))(np.zeros((1, 8, 8, 3), np.uint8))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="onnxruntime can load"):
        OnnxDetector(str(broken))(np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.parametrize(("first", "runs"), [(1, [1, 1, 1]), ("batch", [3])])
def test_a_file_that_takes_any_number_of_frames_gets_all_at_once(first: object, runs: list[int]) -> None:
    seen: list[int] = []

    class Session:
        """A model of 64 x 64 that finds a person in the middle whose width is the mean of the frame."""

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="images", shape=[first, 3, 64, 64])]

        def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            images = given["images"]
            seen.append(len(images))
            outputs = np.zeros((len(images), 84, 85), np.float32)
            outputs[:, 36, 2] = np.log(images.mean(axis=(1, 2, 3)) / 16)
            outputs[:, 36, 4:6] = 1
            return [outputs]

    detector = OnnxDetector("x.onnx")
    detector._session = Session()
    found = detector(np.stack([np.full((64, 64, 3), grey, np.uint8) for grey in (8, 16, 32)]))
    assert seen == runs
    widths = [(one.boxes[0, 2] - one.boxes[0, 0]) for one in found]
    np.testing.assert_allclose(widths, [4, 8, 16], atol=0.01)
    assert detector(np.zeros((0, 64, 64, 3), np.uint8)) == []


@pytest.mark.real
def test_threads_move_no_box_of_a_real_model(shared: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 240, 360, 3), dtype=np.uint8)
    path = str(shared / "weights/yolox_nano/yolox_nano.onnx")
    one, two = (OnnxDetector(path, score_thresh=0.01, threads=n)(frame)[0] for n in (1, 2))
    assert len(one) and np.array_equal(one.boxes, two.boxes) and np.array_equal(one.scores, two.scores)


@pytest.mark.real
def test_a_real_model_finds_the_people_in_a_real_frame(shared: Path) -> None:
    import cv2

    detector = OnnxDetector(str(shared / "weights/yolox_nano/yolox_nano.onnx"), score_thresh=0.3)
    frame = cv2.imread(str(shared / "ucsd_ped2/ped2/testing/frames/01/060.jpg"))[..., ::-1]
    (found,) = detector(frame[None])
    people = found.labels == 1
    assert people.sum() >= 3 and found.scores[people].max() > 0.6
    heights = (found.boxes[:, 3] - found.boxes[:, 1])[people]
    assert ((heights > 15) & (heights < 80)).all()  # people are some 20 to 60 pixels high in this dataset
    # Found again where the frame is shifted: boxes are in pixels of the frame.
    (moved,) = detector(np.roll(frame, 40, axis=1)[None])
    best = found.boxes[0]
    distance = np.abs(moved.boxes - (best + np.array([40, 0, 40, 0]))).max(axis=1)
    assert distance.min() < 8
