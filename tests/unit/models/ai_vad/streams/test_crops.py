"""Crops against torchvision's and against resizing each box as an image of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate
from torchvision.ops import roi_align

from vadbench.errors import ConfigError
from vadbench.models.ai_vad.streams.crops import Cropping
from vadbench.models.ai_vad.streams.deep import DeepExtractor
from vadbench.models.ai_vad.streams.velocity import VelocityExtractor

PLANES = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(0))
ROIS = torch.tensor([[0, 2.7, 3.2, 20.9, 29.9], [1, 0, 0, 40, 30], [1, 39.6, 5.2, 39.9, 5.9], [0, 10, 4, 11, 30]])


@pytest.mark.parametrize("aligned", [True, False])
def test_aligned_or_not_is_torchvisions_switch(aligned: bool) -> None:
    expected = roi_align(PLANES, ROIS, (14, 18), aligned=aligned)
    assert torch.equal(Cropping(aligned)(PLANES, ROIS, (14, 18)), expected)


def test_aligned_crops_of_a_ramp_lie_half_a_pixel_apart() -> None:
    ramp = (torch.arange(40.0) + 0.5).expand(1, 1, 30, 40)
    box = torch.tensor([[0.0, 10, 5, 20, 15]])
    assert Cropping()(ramp, box, (5, 5)).mean() == pytest.approx(15)  # the centre of the box
    assert Cropping(aligned=False)(ramp, box, (5, 5)).mean() == pytest.approx(15.5)


def test_integer_crops_are_whole_pixels_resized_by_themselves() -> None:
    found = Cropping(integer=True)(PLANES, ROIS, (14, 18))
    cut = [(0, 3, 29, 2, 20), (1, 0, 30, 0, 40), (1, 5, 6, 39, 40), (0, 4, 30, 10, 11)]
    for crop, (frame, top, bottom, left, right) in zip(found, cut, strict=True):
        own = PLANES[frame : frame + 1, :, top:bottom, left:right]
        torch.testing.assert_close(crop, interpolate(own, (14, 18), mode="bilinear")[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("crop_size", [12, None])
def test_integer_crops_reach_the_velocity(crop_size: int | None) -> None:
    flow = torch.zeros(1, 2, 30, 40)
    flow[0, 0, 4:10, 6:12] = 2.0
    box = [torch.tensor([[6.2, 4.4, 12.9, 10.9]]).numpy()]  # pixels 6..11 and 4..9
    whole = VelocityExtractor(1, crop_size=crop_size, crops=Cropping(integer=True))(flow, box)
    assert whole[0, 0] == pytest.approx(2)
    assert VelocityExtractor(1, crop_size=crop_size)(flow, box)[0, 0] < 1.9


def test_specs_name_crops_only_where_they_are_set() -> None:
    ways = [Cropping(), Cropping(aligned=False), Cropping(integer=True)]
    assert [way.spec() for way in ways] == [{}, {"roi_aligned": False}, {"integer_crops": True}]
    for part in (VelocityExtractor, DeepExtractor):
        assert part().spec() == part(crops=Cropping()).spec()
        assert len({str(part(crops=way).spec()) for way in ways}) == 3


def test_integer_crops_have_no_alignment() -> None:
    with pytest.raises(ConfigError, match="roi_aligned=false has no effect"):
        Cropping(aligned=False, integer=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([(32, 32), (12, 40), (224, 224)]))
def test_enlarged_crops_are_torchvisions_to_the_bit(seed: int, aligned: bool, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.normal(0, 3, (3, 2, 20, 33)).astype(np.float32)
    planes[rng.random(planes.shape) < 0.4] = rng.choice([0.0, -0.0])  # signs of zeros are directions of the flow
    corner = rng.uniform(-6, (36, 22), (5, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.01, np.minimum((30, 25), size[::-1]), (5, 2))], axis=1)
    boxes[::2] = np.round(boxes[::2]) + np.array([0, 0, 1, 1])  # on the grid, too
    rois = torch.from_numpy(np.concatenate([rng.integers(0, 3, (5, 1)), boxes], axis=1).astype(np.float32))
    given_planes = torch.from_numpy(planes)
    expected = roi_align(given_planes, rois, size, aligned=aligned)
    found = Cropping(aligned)(given_planes, rois, size)
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


def test_enlarged_crops_do_not_go_through_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("torchvision.ops.roi_align", lambda *a, **k: calls.append(len(a[1])) or roi_align(*a, **k))
    small, large = ROIS[[0, 3]], ROIS[[1]]
    Cropping()(PLANES, small, (32, 32))
    assert calls == []
    assert torch.equal(Cropping()(PLANES, large, (16, 16)), roi_align(PLANES, large, (16, 16), aligned=True))
    assert calls == [1]
