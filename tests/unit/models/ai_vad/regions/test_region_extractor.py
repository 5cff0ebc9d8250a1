"""Filters on class, area and overlap, and how detections and foreground come together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.ai_vad.regions.test_foreground import canvas
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.regions.coco import category
from vadbench.models.ai_vad.regions.detectors import NoDetector
from vadbench.models.ai_vad.regions.region_extractor import ForegroundRules, RegionExtractor, covered, subsample_regions
from vadbench.models.ai_vad.regions.region_set import RegionSet


def regions(boxes: list[list[float]], labels: list[int] | None = None) -> RegionSet:
    n = len(boxes)
    return RegionSet(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels or [1] * n, np.int16),
        np.linspace(0.9, 0.8, n, dtype=np.float32),
        (None,) * n,
    )


class Fixed:
    """A detector that always finds the same."""

    def __init__(self, found: RegionSet) -> None:
        self.found = found

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        return [self.found for _ in frames]

    def spec(self) -> dict:
        return {"detector": "fixed"}

    def weights(self) -> list:
        return []


def test_a_box_inside_a_larger_one_is_dropped_from_the_given_share_on() -> None:
    outer, inside, apart = [0.0, 0, 40, 40], [5.0, 5, 15, 15], [50.0, 50, 60, 60]
    half_out = [-5.0, 10, 5, 20]  # half of it is covered
    np.testing.assert_array_equal(covered(np.array([outer, inside, apart, half_out]), 0.65), [0, 1, 0, 0])
    np.testing.assert_array_equal(covered(np.array([outer, inside, apart, half_out]), 0.5), [0, 1, 0, 0])
    np.testing.assert_array_equal(covered(np.array([outer, inside, apart, half_out]), 0.49), [0, 1, 0, 1])


def test_a_dropped_box_still_covers_smaller_ones() -> None:
    nested = np.array([[0.0, 0, 40, 40], [1, 1, 30, 30], [2, 2, 10, 10]])
    np.testing.assert_array_equal(covered(nested, 0.65), [0, 1, 1])


def test_of_equal_boxes_one_stays() -> None:
    assert covered(np.array([[0.0, 0, 10, 10]] * 3), 0.65).sum() == 2


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 12), share=st.floats(0.1, 1.0))
def test_overlap_filter_equals_a_loop_over_pairs(seed: int, n: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 20, (n, 2))], axis=1).astype(np.float64)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes]
    expected = []
    for i in range(n):
        drop = False
        for j in range(n):
            larger = area[j] > area[i] or (area[j] == area[i] and j > i)
            w = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            h = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            drop |= bool(i != j and larger and w > 0 and h > 0 and w * h > share * area[i])
        expected.append(drop)
    np.testing.assert_array_equal(covered(boxes, share), expected)


def test_thousands_of_boxes_are_filtered_in_blocks_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 300, (1500, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 60, (1500, 2))], axis=1).astype(np.float64)
    in_blocks = covered(boxes, 0.65)
    monkeypatch.setattr("vadbench.models.ai_vad.regions.region_extractor._BOXES_AT_ONCE", 10_000)
    np.testing.assert_array_equal(in_blocks, covered(boxes, 0.65))
    assert 0 < in_blocks.sum() < 1500


def test_filters_by_class_and_area_keep_masks_and_order() -> None:
    given = regions([[0, 0, 10, 10], [0, 20, 11, 30], [30, 0, 50, 50], [0, 40, 20, 59]], [1, 1, 3, 1])
    given = RegionSet(given.boxes, given.labels, given.scores, tuple(np.full((1, 1), bool(i % 2)) for i in range(4)))
    kept = RegionExtractor(min_bbox_area=100).post_process_bbox_detections(given)
    assert kept.boxes[:, 0].tolist() == [0, 30, 0] and len(kept.masks) == 3
    persons = RegionExtractor(min_bbox_area=100, persons_only=True).post_process_bbox_detections(given)
    np.testing.assert_array_equal(persons.boxes, given.boxes[[1, 3]])
    assert [bool(m[0, 0]) for m in persons.masks if m is not None] == [True, True]


def test_subsampling_takes_masks_and_indices() -> None:
    given = regions([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]])
    np.testing.assert_array_equal(subsample_regions(given, [2, 0]).boxes, given.boxes[[2, 0]])
    np.testing.assert_array_equal(subsample_regions(given, np.array([True, False, True])).boxes, given.boxes[[0, 2]])
    assert len(subsample_regions(given, [])) == 0


PAIR = canvas()[None], canvas((10, 20, 22, 32), (50, 20, 62, 32))[None]
DETECTED = regions([[9, 19, 23, 33]], [3])


def test_detections_and_foreground_outside_them() -> None:
    (found,) = RegionExtractor(detector=Fixed(DETECTED))(*PAIR)
    np.testing.assert_array_equal(found.boxes, [[9, 19, 23, 33], [49, 19, 63, 33]])
    assert found.labels.tolist() == [3, 0]


def test_foreground_can_be_switched_off() -> None:
    (found,) = RegionExtractor(detector=Fixed(DETECTED), enable_foreground_detections=False)(*PAIR)
    assert found.labels.tolist() == [3]


def test_persons_only_drops_foreground_unless_it_is_unfiltered() -> None:
    (filtered,) = RegionExtractor(detector=Fixed(DETECTED), persons_only=True)(*PAIR)
    assert len(filtered) == 0
    rules = ForegroundRules(unfiltered=True)
    (unfiltered,) = RegionExtractor(detector=Fixed(DETECTED), persons_only=True, foreground=rules)(*PAIR)
    # The detection was dropped first, so both squares are foreground now.
    assert unfiltered.labels.tolist() == [0, 0]


def test_foreground_has_its_own_least_area() -> None:
    (found,) = RegionExtractor(detector=NoDetector(), foreground=ForegroundRules(min_area=196))(*PAIR)
    assert len(found) == 0
    (found,) = RegionExtractor(detector=NoDetector(), foreground=ForegroundRules(min_area=195))(*PAIR)
    assert len(found) == 2


def test_only_foreground_needs_no_detector() -> None:
    extractor = RegionExtractor(detector=NoDetector())
    (found,) = extractor(*PAIR)
    assert len(found) == 2 and extractor.spec()["detector"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"min_bbox_area": 99},
        {"max_bbox_overlap": 0.6},
        {"persons_only": True},
        {"foreground": ForegroundRules(5)},
        {"enable_foreground_detections": False},
        {"foreground": ForegroundRules(edges="inclusive")},
        {"foreground": ForegroundRules(blur="torchvision")},
        {"inclusive_areas": True},
        {"fallback": "whole_frame"},
    ],
)
def test_every_setting_is_in_the_spec(change: dict) -> None:
    assert RegionExtractor(**change).spec() != RegionExtractor().spec()


def test_the_spec_of_the_defaults_is_what_stored_regions_have() -> None:
    spec = RegionExtractor(detector=NoDetector()).spec()
    assert spec.pop("foreground").keys() - {"opencv"} == {
        "kernel_size", "threshold", "min_area", "max_aspect", "growth", "unfiltered", "per_channel",
    }  # fmt: skip
    assert spec == {
        "regions": 1, "detector": None, "persons_only": False, "min_bbox_area": 100, "max_bbox_overlap": 0.65,
    }  # fmt: skip


def test_inclusive_areas_count_both_end_pixels() -> None:
    given = regions([[0, 0, 10, 10], [40, 40, 50, 51]])  # 100 and 110 square pixels, 121 and 132 with both ends
    for area, n in ((99, 2), (100, 1), (110, 0)):
        assert len(RegionExtractor(min_bbox_area=area).post_process_bbox_detections(given)) == n
    for area, n in ((120, 2), (121, 1), (132, 0)):
        extractor = RegionExtractor(min_bbox_area=area, inclusive_areas=True)
        assert len(extractor.post_process_bbox_detections(given)) == n


def test_inclusive_overlaps_count_both_end_pixels() -> None:
    # 4 of 10 columns are shared: 0.4; with both ends 5 of 11: 0.4545. Boxes that touch share a column.
    boxes = np.array([[0.0, 0, 20, 20], [16, 5, 26, 15]])
    assert not covered(boxes, 0.41).any() and covered(boxes, 0.41, inclusive=True).tolist() == [False, True]
    touching = np.array([[0.0, 0, 20, 20], [20, 5, 30, 15]])
    assert covered(touching, 0.09, inclusive=True)[1] and not covered(touching, 0.092, inclusive=True)[1]


def test_a_frame_where_nothing_is_found_can_be_one_region() -> None:
    still, moving = canvas(), canvas((10, 10, 30, 30))
    extractor = RegionExtractor(detector=NoDetector(), fallback="whole_frame")
    empty, busy = extractor(np.stack([still, still]), np.stack([still, moving]))
    assert empty.boxes.tolist() == [[0, 0, 80, 60]] and empty.masks == (None,) and empty.scores.tolist() == [0]
    assert category(empty.labels[0]) == "whole frame"
    assert len(busy) == 1 and category(busy.labels[0]) == "foreground"
    assert len(RegionExtractor(detector=NoDetector())(still[None], still[None])[0]) == 0


def test_wrong_words_are_explained() -> None:
    for make, said in (
        (lambda: ForegroundRules(edges="inclusiv"), "Did you mean: inclusive"),
        (lambda: ForegroundRules(blur="torch"), "Did you mean: torchvision"),
        (lambda: RegionExtractor(fallback="frame"), "Did you mean: whole_frame"),
    ):
        with pytest.raises(ConfigError, match=said):
            make()
