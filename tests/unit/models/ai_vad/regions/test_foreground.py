"""Moving blobs of drawn squares, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vadbench.models.ai_vad.regions.foreground import foreground_mask, foreground_regions


def canvas(*squares: tuple[int, int, int, int], value: int = 200) -> np.ndarray:
    """Grey 60x80 frame with bright boxes x1, y1, x2, y2."""
    frame = np.full((60, 80, 3), 40, np.uint8)
    for x1, y1, x2, y2 in squares:
        frame[y1:y2, x1:x2] = value
    return frame


NOTHING = np.zeros((0, 4))


def found(first: np.ndarray, last: np.ndarray, known: np.ndarray = NOTHING, **options: object) -> np.ndarray:
    rules = {"kernel_size": 3, "threshold": 18, "min_area": 0, **options}
    return foreground_regions(first, last, known, **rules).boxes  # type: ignore[arg-type]


def test_a_moved_square_leaves_its_old_and_new_place() -> None:
    # The blur of 3 spreads each edge by one pixel: a quarter of 160 grey levels, more than 18. The two places touch.
    boxes = found(canvas((10, 20, 20, 30)), canvas((40, 5, 52, 15)))
    np.testing.assert_array_equal(np.sort(boxes, 0), np.sort([[9, 19, 21, 31], [39, 4, 53, 16]], 0))


def test_without_blur_boxes_are_tight() -> None:
    boxes = found(canvas((10, 20, 20, 30)), canvas((13, 20, 23, 30)), kernel_size=1)
    np.testing.assert_array_equal(np.sort(boxes, 0), np.sort([[10, 20, 13, 30], [20, 20, 23, 30]], 0))


def test_nothing_moves_nothing_is_found() -> None:
    assert found(canvas((10, 20, 20, 30)), canvas((10, 20, 20, 30))).shape == (0, 4)


@pytest.mark.parametrize(("level", "n"), [(58, 0), (59, 1)])
def test_threshold_must_be_exceeded(level: int, n: int) -> None:
    assert len(found(canvas(), canvas((10, 10, 20, 20), value=level), kernel_size=1)) == n


@pytest.mark.parametrize(("area", "n"), [(100, 0), (99, 1)])
def test_area_of_the_box_must_be_exceeded(area: int, n: int) -> None:
    assert len(found(canvas(), canvas((10, 10, 20, 20)), kernel_size=1, min_area=area)) == n


@pytest.mark.parametrize(("aspect", "n"), [(5, 0), (5.1, 1), (None, 1)])
def test_thin_boxes_are_dropped_only_if_asked(aspect: float | None, n: int) -> None:
    for square in ((10, 10, 60, 20), (10, 5, 20, 55)):
        assert len(found(canvas(), canvas(square), kernel_size=1, max_aspect=aspect)) == n  # type: ignore[arg-type]


def test_growth_stays_in_the_frame() -> None:
    boxes = found(canvas(), canvas((1, 50, 20, 60)), kernel_size=1, growth=2)
    np.testing.assert_array_equal(boxes, [[0, 48, 22, 60]])


def test_what_moves_in_and_around_known_boxes_is_theirs() -> None:
    first, last = canvas(), canvas((10, 20, 20, 30), (50, 20, 60, 30))
    known = np.array([[10.0, 20, 20, 30]])
    # Blur spreads the first square by one pixel, within the margin of two.
    np.testing.assert_array_equal(found(first, last, known), [[49, 19, 61, 31]])
    # A known box that covers half of a square leaves the other half but for the margin.
    half = np.array([[50.0, 20, 55, 30]])
    boxes = found(first, last, half, kernel_size=1)
    assert [57, 20, 60, 30] in boxes.tolist()


def test_diagonal_neighbours_are_one_region_and_masks_tell_regions_apart() -> None:
    last = canvas((10, 10, 14, 14), (14, 14, 18, 18), (10, 30, 20, 32), (10, 34, 20, 36), (10, 32, 12, 34))
    regions = foreground_regions(canvas(), last, NOTHING, 1, 18, 0)
    np.testing.assert_array_equal(regions.boxes, [[10, 10, 18, 18], [10, 30, 20, 36]])
    diagonal, bracket = regions.masks
    assert diagonal is not None and bracket is not None
    assert diagonal.sum() == 32 and not diagonal[:4, 4:].any()
    assert bracket.sum() == 44 and not bracket[2:4, 2:].any()
    assert regions.labels.tolist() == [0, 0] and regions.scores.tolist() == [0.5, 0.5]


def test_grey_level_weighs_colours_as_rgb() -> None:
    last = canvas()
    last[10:20, 10:20, 0] = 240  # red alone: 0.299 * 200 = 59.8 grey levels
    assert foreground_mask(canvas(), last, 1, 59).sum() == 100
    assert foreground_mask(canvas(), last, 1, 60).sum() == 0
    assert foreground_mask(canvas(), last, 1, 199, per_channel=True).sum() == 100
    assert foreground_mask(canvas(), last, 1, 200, per_channel=True).sum() == 0


def test_inclusive_edges_end_on_the_last_moving_pixel() -> None:
    first, last = canvas(), canvas((10, 10, 21, 20))
    np.testing.assert_array_equal(found(first, last, kernel_size=1, edges="inclusive"), [[10, 10, 20, 19]])
    assert len(found(first, last, kernel_size=1, edges="inclusive", min_area=89)) == 1  # 10 x 9, not 11 x 10
    assert len(found(first, last, kernel_size=1, edges="inclusive", min_area=90)) == 0


@pytest.mark.parametrize(("right", "exclusive", "inclusive"), [(30.0, 32, 33), (30.5, 33, 33)])
def test_inclusive_known_boxes_cover_the_pixel_they_end_on(right: float, exclusive: int, inclusive: int) -> None:
    last, known = canvas((10, 10, 60, 20)), np.array([[10.0, 10, right, 20]])
    for edges, left in (("exclusive", exclusive), ("inclusive", inclusive)):
        assert found(canvas(), last, known, kernel_size=1, edges=edges)[0, 0] == left


def test_inclusive_areas_count_both_end_pixels() -> None:
    last = canvas((10, 10, 20, 20))  # 10 x 10, 11 x 11 with both ends
    for area, n in ((120, 1), (121, 0)):
        assert len(found(canvas(), last, kernel_size=1, min_area=area, inclusive_areas=True)) == n


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("per_channel", [False, True])
def test_torchvisions_blur_equals_a_convolution_in_floats(kernel_size: int, per_channel: bool) -> None:
    from scipy.ndimage import correlate1d

    rng = np.random.default_rng(kernel_size)
    first, last = rng.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    steps = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-0.5 * (steps / (0.15 * kernel_size + 0.35)) ** 2)
    weights /= weights.sum()
    blurred = [correlate1d(correlate1d(f.astype(float), weights, 0, mode="mirror"), weights, 1, mode="mirror")
               for f in (first, last)]  # fmt: skip
    difference = np.abs(blurred[0] - blurred[1])
    level = difference.max(2) if per_channel else difference @ [0.2989, 0.587, 0.114]
    sure = np.abs(level - 40) > 1e-3
    mask = foreground_mask(first, last, kernel_size, 40, per_channel, "torchvision")
    assert sure.mean() > 0.9 and 0.05 < mask.mean() < 0.95
    np.testing.assert_array_equal(mask[sure], (level > 40)[sure])


def test_blurs_differ_where_an_edge_is_near_the_threshold() -> None:
    # Beside a step of 75 OpenCV's 1 2 1 leaves a quarter of it (18.75), sigma 0.8 leaves 0.239 of it (17.9).
    boxes = {
        blur: found(canvas(), canvas((10, 10, 20, 20), value=115), blur=blur) for blur in ("opencv", "torchvision")
    }
    np.testing.assert_array_equal(boxes["opencv"], [[9, 9, 21, 21]])
    np.testing.assert_array_equal(boxes["torchvision"], [[10, 10, 20, 20]])
