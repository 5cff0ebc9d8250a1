"""Velocity of known flow fields, by hand and against a loop over vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.errors import ConfigError
from vadbench.models.ai_vad.streams.velocity import VelocityExtractor

SAMPLINGS = [224, None]
BOX = [np.array([[10.0, 5, 34, 29]], np.float32)]


def field(u: float | np.ndarray, v: float | np.ndarray, size: tuple[int, int] = (40, 50)) -> torch.Tensor:
    """One flow field ``(1, 2, H, W)``."""
    planes = np.stack([np.broadcast_to(u, size), np.broadcast_to(v, size)])
    return torch.from_numpy(planes[None].astype(np.float32))


@pytest.mark.parametrize("crop_size", SAMPLINGS)
def test_one_bin_of_a_constant_field_is_its_speed(crop_size: int | None) -> None:
    flow = field(3.0, -4.0)
    assert VelocityExtractor(1, crop_size=crop_size)(flow, BOX)[0, 0] == pytest.approx(5, abs=1e-5)
    assert VelocityExtractor(1, magnitude="l1", crop_size=crop_size)(flow, BOX)[0, 0] == pytest.approx(7, abs=1e-5)


@pytest.mark.parametrize("crop_size", SAMPLINGS)
def test_one_bin_of_a_linear_field_is_its_value_at_the_centre(crop_size: int | None) -> None:
    # u grows by 0.25 a pixel, pixel centres at halves: the mean over columns 10..33 is 0.25 * 22 = 5.5.
    flow = field(0.25 * (np.arange(50) + 0.5), 0.0)
    assert VelocityExtractor(1, crop_size=crop_size)(flow, BOX)[0, 0] == pytest.approx(5.5, abs=1e-5)


@pytest.mark.parametrize("crop_size", SAMPLINGS)
@pytest.mark.parametrize("direction", range(8))
def test_eight_bins_hold_the_speed_of_their_direction(direction: int, crop_size: int | None) -> None:
    angle = (direction + 0.5) * np.pi / 4
    expected = np.zeros(8)
    expected[direction] = 2.5
    for normalisation in ("bin_mean", "crop_mean"):
        extractor = VelocityExtractor(8, normalisation, crop_size=crop_size)
        found = extractor(field(2.5 * np.cos(angle), 2.5 * np.sin(angle)), BOX)
        np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.parametrize("crop_size", SAMPLINGS)
def test_bin_mean_and_crop_mean_of_two_halves(crop_size: int | None) -> None:
    # Left half: right and down at 45 degrees, length 2. Right half: straight up, length 1. Bins 0 and 3 of 4.
    left = np.arange(50) < 22
    flow = field(np.where(left, np.sqrt(2), 0.0), np.where(left, np.sqrt(2), -1.0))
    by_bin = VelocityExtractor(4, "bin_mean", crop_size=crop_size)(flow, BOX)[0]
    by_crop = VelocityExtractor(4, "crop_mean", crop_size=crop_size)(flow, BOX)[0]
    # Sampling between pixels mixes the two on the half pixel on each side of the boundary: 1 of 24 columns.
    slack = 1e-5 if crop_size is None else 0.05
    np.testing.assert_allclose(by_bin, [2, 0, 0, 1], atol=slack)
    np.testing.assert_allclose(by_crop, [1, 0, 0, 0.5], atol=slack)


def test_pixels_outside_the_box_do_not_count() -> None:
    inside = np.zeros((40, 50))
    inside[5:29, 10:34] = 3
    flow = field(inside, 0.0)
    assert VelocityExtractor(1, crop_size=None)(flow, BOX)[0, 0] == 3
    # A border between pixels has half a pixel of blend on each side.
    assert VelocityExtractor(1)(flow, BOX)[0, 0] == pytest.approx(3, abs=3 * 2 * 0.5 / 24)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bins=st.sampled_from([1, 2, 3, 8, 16, 5]),
    magnitude=st.sampled_from(["l1", "l2"]),
    normalisation=st.sampled_from(["bin_mean", "crop_mean"]),
)
def test_equals_a_loop_over_pixels(seed: int, bins: int, magnitude: str, normalisation: str) -> None:
    rng = np.random.default_rng(seed)
    flow = rng.normal(0, 2, (3, 2, 20, 30)).astype(np.float32)
    boxes = []
    for n in rng.integers(0, 4, 3):
        corner = rng.uniform((0, 0), (25, 15), (n, 2))
        boxes.append(
            np.concatenate([corner, corner + rng.uniform(1, 12, (n, 2))], axis=1)
            .clip(0, [30, 20, 30, 20])
            .astype(np.float32)
        )
    expected = []
    for frame, frame_boxes in enumerate(boxes):
        for x1, y1, x2, y2 in frame_boxes:
            rows, columns = slice(int(y1), int(np.ceil(y2))), slice(int(x1), int(np.ceil(x2)))
            u, v = flow[frame, :, rows, columns].reshape(2, -1).astype(np.float64)
            size = np.hypot(u, v) if magnitude == "l2" else np.abs(u) + np.abs(v)
            which = np.minimum((np.arctan2(v, u) % (2 * np.pi)) / (2 * np.pi) * bins, bins - 1e-9).astype(int)
            feature = np.zeros(bins)
            for b in range(bins):
                if (which == b).any():
                    feature[b] = size[which == b].sum() / (
                        len(u) if normalisation == "crop_mean" else (which == b).sum()
                    )
            expected.append(feature)
    found = VelocityExtractor(bins, normalisation, magnitude, None)(torch.from_numpy(flow), boxes)
    np.testing.assert_allclose(found, np.array(expected).reshape(-1, bins), atol=1e-5)


@pytest.mark.parametrize("bins", [1, 2, 3, 4, 6, 8, 12, 16, 24, 48])
def test_coarse_bins_follow_from_the_stored_ones(bins: int) -> None:
    flow = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (1, 2, 40, 50)).astype(np.float32))
    stored = VelocityExtractor(48).histograms(flow, BOX)
    assert stored["l2"].shape == (1, 48)
    extractor = VelocityExtractor(bins)
    direct = VelocityExtractor(bins)
    direct.__class__ = type("Direct", (VelocityExtractor,), {"stored_bins": bins})
    np.testing.assert_allclose(extractor.features(stored), direct(flow, BOX), rtol=1e-5, atol=1e-6)


def test_any_number_of_bins_can_be_had() -> None:
    extractor = VelocityExtractor(7)
    assert extractor.stored_bins == 7 and extractor(field(1.0, 0.0), BOX).shape == (1, 7)
    with pytest.raises(ConfigError, match="does not divide the 48 stored bins"):
        extractor.features(VelocityExtractor(8).histograms(field(1.0, 0.0), BOX))


@pytest.mark.parametrize("crop_size", SAMPLINGS)
def test_many_boxes_of_many_frames_are_each_their_own(crop_size: int | None) -> None:
    rng = np.random.default_rng(1)
    flow = torch.from_numpy(rng.normal(0, 2, (4, 2, 40, 50)).astype(np.float32))
    boxes = []
    for n in (70, 0, 1, 80):  # more than one block
        corner = rng.uniform((0, 0), (30, 20), (n, 2))
        boxes.append(np.concatenate([corner, corner + 12], axis=1).astype(np.float32))
    extractor = VelocityExtractor(8, crop_size=crop_size)
    together = extractor(flow, boxes)
    apart = [extractor(flow[i : i + 1], [box[None]]) for i, frame in enumerate(boxes) for box in frame]
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-6)


def test_no_boxes_no_rows() -> None:
    assert VelocityExtractor(8)(field(1.0, 1.0), [np.zeros((0, 4), np.float32)]).shape == (0, 8)
    assert VelocityExtractor(8)(torch.zeros(0, 2, 4, 4), []).shape == (0, 8)


def test_still_regions_have_no_velocity_and_no_nan() -> None:
    assert (VelocityExtractor(8)(field(0.0, 0.0), BOX) == 0).all()


def test_spec_names_what_is_stored_only() -> None:
    assert VelocityExtractor(1).spec() == VelocityExtractor(8, "crop_mean", "l1").spec()
    assert VelocityExtractor(1).spec() != VelocityExtractor(1, crop_size=None).spec() != VelocityExtractor(7).spec()


@pytest.mark.parametrize("options", [{"normalisation": "mean"}, {"magnitude": "l3"}])
def test_wrong_words_are_explained(options: dict) -> None:
    with pytest.raises(ConfigError, match="Available"):
        VelocityExtractor(1, **options)


def test_uv_takes_the_angle_from_the_other_axis() -> None:
    # anomalib's atan2(u, v) from -pi on: right, down-right, down, down-left, left, up-left, up, up-right.
    turn = np.arange(8) * np.pi / 4
    bins = []
    for angle in turn:
        flow = field(np.round(np.cos(angle), 12) + 0.0, np.round(np.sin(angle), 12) + 0.0)  # no -0, which is -pi
        bins.append(int(VelocityExtractor(8, angle="uv", crop_size=None)(flow, BOX)[0].argmax()))
    assert bins == [6, 5, 4, 3, 2, 1, 7, 7]
    # A direction on a border counts for the bin after it, and straight up (pi) for the last: no reordering of "vu".
    straight = [VelocityExtractor(8, crop_size=None)(field(*uv), BOX)[0].argmax() for uv in ((1, 0), (0, -1), (1, -1))]
    assert straight == [0, 6, 7]


@pytest.mark.parametrize("bins", [1, 2, 3, 8, 5])
def test_uv_equals_a_histogram_of_numpys(bins: int) -> None:
    rng = np.random.default_rng(bins)
    planes = rng.normal(0, 2, (2, 40, 50)).astype(np.float32)
    u, v = planes[:, 5:29, 10:34].reshape(2, -1).astype(np.float64)
    angle, size = np.arctan2(u, v), np.hypot(u, v)
    counts, edges = np.histogram(angle, bins, (-np.pi, np.pi))
    expected = np.histogram(angle, edges, weights=size)[0] / np.maximum(counts, 1)
    found = VelocityExtractor(bins, crop_size=None, angle="uv")(torch.from_numpy(planes[None]), BOX)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if bins in (2, 3, 5):  # other directions share a bin: no reordering
        other = VelocityExtractor(bins, crop_size=None)(torch.from_numpy(planes[None]), BOX)[0]
        assert np.abs(np.sort(found) - np.sort(other)).max() > 0.01


def test_angles_are_in_the_spec_where_they_are_set() -> None:
    assert VelocityExtractor(1, angle="vu").spec() == VelocityExtractor(1).spec()
    assert VelocityExtractor(1, angle="uv").spec() == {**VelocityExtractor(1).spec(), "angle": "uv"}
    with pytest.raises(ConfigError, match="Did you mean: uv"):
        VelocityExtractor(1, angle="uvv")
