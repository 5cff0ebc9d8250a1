"""From region scores to frame scores and maps, by hand and against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.ai_vad.regions.test_region_set import some_regions
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.regions.region_set import pack, unpack_mask, window
from vadbench.models.ai_vad.to_frames import RegionMaps, reduce_frames

FRAME = np.array([1, 1, 3])
SCORES = {"velocity": np.array([0.2, 0.9, -0.5]), "deep": np.array([0.8, 0.3, 0.1])}


def test_streams_take_their_own_worst_region_or_one_for_all() -> None:
    streams = ("velocity", "deep")
    np.testing.assert_allclose(reduce_frames(FRAME, SCORES, streams, 5, "sum_of_max"), [0, 1.7, 0, -0.4, 0])
    np.testing.assert_allclose(reduce_frames(FRAME, SCORES, streams, 5, "max_of_sum"), [0, 1.2, 0, -0.4, 0])
    np.testing.assert_allclose(reduce_frames(FRAME, SCORES, ["deep"], 5, "sum_of_max"), [0, 0.8, 0, 0.1, 0])


def test_a_region_without_a_feature_is_passed_over() -> None:
    scores = {**SCORES, "pose": np.array([np.nan, 0.4, np.nan])}
    streams = ("velocity", "pose")
    np.testing.assert_allclose(reduce_frames(FRAME, scores, streams, 4, "sum_of_max"), [0, 1.3, 0, -0.5])
    np.testing.assert_allclose(reduce_frames(FRAME, scores, streams, 4, "max_of_sum"), [0, 1.3, 0, -0.5])


@pytest.mark.parametrize("how", ["sum_of_max", "max_of_sum"])
def test_a_frame_without_a_feature_takes_the_score_that_is_given_for_it(how: str) -> None:
    scores = {"velocity": SCORES["velocity"], "pose": np.array([np.nan, 0.4, np.nan])}
    found = reduce_frames(FRAME, scores, ("velocity", "pose"), 4, how, {"pose": -0.3, "deep": 9.0})
    np.testing.assert_allclose(found, [-0.3, 1.3, -0.3, -0.8])  # frame 1 has a pose, in one of its regions
    np.testing.assert_allclose(reduce_frames(FRAME, scores, ("velocity",), 4, how, {"pose": -0.3}), [0, 0.9, 0, -0.5])


def test_no_regions_at_all() -> None:
    none = {"velocity": np.zeros(0)}
    np.testing.assert_array_equal(reduce_frames(np.zeros(0, int), none, ["velocity"], 3, "sum_of_max"), np.zeros(3))


def test_unknown_reductions_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="sum_of_max, max_of_sum"):
        reduce_frames(FRAME, SCORES, ["deep"], 5, "max")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), masks=st.booleans())
def test_maps_are_the_largest_score_over_each_pixel(seed: int, counts: list[int], masks: bool) -> None:
    rng = np.random.default_rng(seed)
    sets = [some_regions(rng, n) for n in counts]
    packed = pack(range(len(counts)), sets)
    scores = rng.normal(0.3, 1, sum(counts))
    source = np.maximum(np.arange(len(counts)), min(1, len(counts) - 1))
    maps = RegionMaps(packed, scores, (40, 60), source, masks)
    assert len(maps) == len(counts)
    for t in range(len(counts)):
        expected = np.zeros((40, 60))
        for region in np.flatnonzero(packed["frame"] == source[t]):
            rows, columns = window(packed["corners"][region] / 256)
            mask = unpack_mask(packed, region) if masks else None
            for y in range(rows.start, rows.stop):
                for x in range(columns.start, columns.stop):
                    if mask is None or mask[y - rows.start, x - columns.start]:
                        expected[y, x] = max(expected[y, x], scores[region])
        np.testing.assert_allclose(maps[t], expected, rtol=1e-6)
        assert maps[t].dtype == np.float32
        np.testing.assert_array_equal(maps.at_size(t, (40, 60)), maps[t])
        assert maps.at_size(t, (80, 120)).shape == (80, 120)


def test_maps_end() -> None:
    maps = RegionMaps(pack([], []), np.zeros(0), (4, 6), np.arange(2))
    assert [m.sum() for m in maps] == [0, 0]  # iteration ends
    with pytest.raises(IndexError):
        maps[2]
