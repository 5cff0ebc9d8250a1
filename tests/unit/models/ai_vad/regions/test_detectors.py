"""torchvision's detectors behind the common face: weights, thresholds, masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vadbench.errors import ConfigError, WeightsError
from vadbench.models.ai_vad.regions.detectors import (
    DETECTORS,
    TORCHVISION,
    NoDetector,
    TorchvisionDetector,
    build_detector,
)
from vadbench.models.ai_vad.regions.region_set import window

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 60, 100, 3), dtype=np.uint8)


def test_random_mask_rcnn_gives_boxes_with_masks_in_their_windows() -> None:
    detector = TorchvisionDetector("maskrcnn_resnet50_fpn_v2", "random", 0.0, min_size=64, max_size=128)
    found = detector(FRAMES)
    assert len(found) == 2 and all(0 < len(regions) <= 100 for regions in found)
    for regions in found:
        assert (regions.boxes >= 0).all() and (regions.boxes <= [100, 60, 100, 60]).all()
        assert ((regions.labels >= 1) & (regions.labels <= 90)).all()
        for box, mask in zip(regions.boxes, regions.masks, strict=True):
            rows, columns = window(box)
            assert mask is not None and mask.shape == (rows.stop - rows.start, columns.stop - columns.start)


def test_the_threshold_reaches_the_network() -> None:
    options = {"min_size": 64, "max_size": 128}
    loose = TorchvisionDetector("fasterrcnn_mobilenet_v3_large_fpn", "random", 0.0, **options)(FRAMES)
    threshold = float(np.median(np.concatenate([regions.scores for regions in loose])))
    strict = TorchvisionDetector("fasterrcnn_mobilenet_v3_large_fpn", "random", threshold, **options)(FRAMES)
    assert 0 < sum(map(len, strict)) < sum(map(len, loose))
    assert all((regions.scores > threshold).all() for regions in strict)


def test_published_layout_is_built_around_a_file_of_ones_own(tmp_path: Path) -> None:
    # The published weights need frozen batch norm; a file with the same names must get it too.
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    random = TorchvisionDetector(name, "random", 0.0, seed=2)
    random._built()
    assert random._network is not None
    torch.save(random._network.state_dict(), tmp_path / "mine.pth")
    loaded = TorchvisionDetector(name, str(tmp_path / "mine.pth"), 0.0)
    network = loaded._built()
    assert any(type(module).__name__ == "FrozenBatchNorm2d" for module in network.modules())
    state = network.state_dict()
    for key, value in random._network.state_dict().items():
        if "num_batches_tracked" not in key:
            assert torch.equal(state[key], value), key
    assert all(mask is None for regions in loaded(FRAMES) for mask in regions.masks)
    from torchvision.models import WeightsEnum

    assert WeightsEnum.get_state_dict.__qualname__ == "WeightsEnum.get_state_dict"  # put back as it was


def test_weights_that_cannot_be_had_say_what_where_and_how_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # whatever this machine has fetched before
    monkeypatch.delenv("VADBENCH_WEIGHTS", raising=False)

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(WeightsError) as caught:
        build_detector("fasterrcnn_mobilenet_v3_large_320_fpn")(FRAMES)
    for part in ("fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth", "regions.weights=PATH", "regions.detector=none"):
        assert part in str(caught.value)


def test_specs_name_weights_and_thresholds_without_building() -> None:
    specs = [
        TorchvisionDetector().spec(),
        TorchvisionDetector(score_thresh=0.5).spec(),
        TorchvisionDetector(nms_thresh=0.7).spec(),
        TorchvisionDetector(min_size=400).spec(),
        TorchvisionDetector(weights="random").spec(),
        TorchvisionDetector(weights="random", seed=1).spec(),
        TorchvisionDetector("maskrcnn_resnet50_fpn").spec(),
    ]
    assert all(a != b for i, a in enumerate(specs) for b in specs[:i])
    assert specs[0]["weights"]["digest"] == "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"
    assert TorchvisionDetector(device="cuda").spec() == specs[0]


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_listed_network_has_published_weights(name: str) -> None:
    detector = TorchvisionDetector(name)
    assert detector.spec()["weights"]["digest"].endswith(".pth") and detector._network is None


def test_none_finds_nothing() -> None:
    detector = build_detector("none")
    assert isinstance(detector, NoDetector)
    assert [len(regions) for regions in detector(FRAMES)] == [0, 0]
    assert detector.spec() is None and detector.weights() == []


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="Did you mean: maskrcnn_resnet50_fpn_v2"):
        build_detector("maskrcnn_resnet50_v2")
    assert "onnx" in DETECTORS
