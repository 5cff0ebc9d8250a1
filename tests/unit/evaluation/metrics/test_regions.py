"""RBDC and TBDC of boxes against the definition, and the corners where implementations part."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation import references
from tests.unit.evaluation.references import boxes
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import bootstrap_regions, rbdc_tbdc
from vadbench.evaluation.intervals import region_bootstrap

NONE = boxes([], "score")


@st.composite
def scenes(draw):
    """A few small videos with boxes on a coarse grid, so that overlaps, ties and exact IoUs are common."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 3, 1000]))
    n_frames = {f"v{i}": int(random.integers(1, 6)) for i in range(draw(st.integers(1, 3)))}
    found, truth = [], []

    def box():
        x, y = random.integers(0, 8, 2)
        return x, y, x + random.integers(1, 6), y + random.integers(1, 6)

    for video, length in n_frames.items():
        for frame in range(length):
            found += [(video, frame, *box(), random.integers(0, levels) / 7) for _ in range(random.integers(0, 4))]
            truth += [(video, frame, *box(), track) for track in range(3) if random.random() < 0.4]
    return boxes(found, "score"), boxes(truth, "track"), n_frames


@given(
    scene=scenes(),
    beta=st.sampled_from(["0.1", "0.5", "0.25"]),
    alpha=st.sampled_from(["0.1", "0.5", "1.0"]),
    endpoint=st.sampled_from(["flat", "to_one", "truncate"]),
    inclusive=st.booleans(),
)
@settings(max_examples=100)
def test_equals_the_definition(scene, beta, alpha, endpoint, inclusive):
    found, truth, n_frames = scene
    result = rbdc_tbdc(found, truth, n_frames, float(beta), float(alpha), endpoint, inclusive)
    rbdc, tbdc, reached = references.rbdc_tbdc(found, truth, n_frames, beta, alpha, endpoint, inclusive)
    if math.isnan(rbdc):
        assert math.isnan(result.rbdc) and math.isnan(result.tbdc)
        return
    assert result.rbdc == pytest.approx(rbdc, abs=1e-12)
    assert result.tbdc == pytest.approx(tbdc, abs=1e-12)
    assert result.fpr_reached == pytest.approx(reached)
    assert (result.n_detections, result.n_regions) == (len(found), len(truth))
    assert result.n_frames == sum(n_frames.values())


@given(scene=scenes(), seed=st.integers(0, 1000))
def test_row_order_does_not_matter_and_inputs_are_left_alone(scene, seed):
    found, truth, n_frames = scene
    before = found.copy(), truth.copy()
    first = rbdc_tbdc(found, truth, n_frames)
    mixed = rbdc_tbdc(found.sample(frac=1, random_state=seed), truth.sample(frac=1, random_state=seed), n_frames)
    assert repr((first.rbdc, first.tbdc)) == repr((mixed.rbdc, mixed.tbdc))
    pd.testing.assert_frame_equal(first.curve, mixed.curve)
    pd.testing.assert_frame_equal(found, before[0])
    pd.testing.assert_frame_equal(truth, before[1])


def test_perfect_detections():
    truth = boxes([("a", t, 10, 10, 20, 20, 0) for t in range(10)], "track")
    found = truth.rename(columns={"track": "score"}).assign(score=0.5)
    result = rbdc_tbdc(found, truth, {"a": 10})
    assert (result.rbdc, result.tbdc, result.fpr_reached) == (1.0, 1.0, 0.0)


def test_one_detection_may_find_two_regions_and_a_duplicate_is_nothing():
    truth = boxes([("a", 0, 0, 0, 9, 9, 0), ("a", 0, 5, 0, 14, 9, 1)], "track")
    wide = boxes([("a", 0, 0, 0, 14, 9, 1.0)], "score")
    assert rbdc_tbdc(wide, truth, {"a": 1}).rbdc == 1.0
    twice = pd.concat([wide, wide.assign(score=0.9)])
    result = rbdc_tbdc(twice, truth, {"a": 1})
    assert (result.rbdc, result.curve["fpr"].max()) == (1.0, 0.0)


@pytest.mark.parametrize(("length", "detected"), [(10, 1.0), (11, 0.0), (20, 0.0)])
def test_a_tenth_of_the_track_is_enough(length, detected):
    truth = boxes([("a", t, 0, 0, 9, 9, 0) for t in range(length)], "track")
    one = boxes([("a", 3, 0, 0, 9, 9, 1.0)], "score")
    result = rbdc_tbdc(one, truth, {"a": length})
    assert result.tbdc == detected
    assert result.rbdc == pytest.approx(1 / length)


def test_an_iou_of_exactly_a_tenth_is_enough():
    truth = boxes([("a", 0, 0, 0, 9, 0, 0)], "track")  # ten pixels
    assert rbdc_tbdc(boxes([("a", 0, 0, 0, 0, 0, 1.0)], "score"), truth, {"a": 1}).rbdc == 1.0
    eleven = boxes([("a", 0, 0, 0, 10, 0, 0)], "track")
    assert rbdc_tbdc(boxes([("a", 0, 0, 0, 0, 0, 1.0)], "score"), eleven, {"a": 1}).rbdc == 0.0


def test_inclusive_pixels_decide_close_cases():
    truth, one = boxes([("a", 0, 0, 0, 3, 3, 0)], "track"), boxes([("a", 0, 3, 3, 4, 4, 1.0)], "score")
    assert references.iou((0, 0, 3, 3), (3, 3, 4, 4), True) > 0
    assert rbdc_tbdc(one, truth, {"a": 1}, iou=0.05).rbdc == 1.0
    assert rbdc_tbdc(one, truth, {"a": 1}, iou=0.05, inclusive_pixels=False).rbdc == 0.0


def test_tied_scores_enter_together():
    """One hit and one false alarm per frame, all of one score: a diagonal to (1, 1), in whatever order they are."""
    truth = boxes([("a", t, 0, 0, 9, 9, t) for t in range(4)], "track")
    hits = [("a", t, 0, 0, 9, 9, 1.0) for t in range(4)]
    misses = [("a", t, 50, 50, 59, 59, 1.0) for t in range(4)]
    for rows in (hits + misses, misses + hits):
        result = rbdc_tbdc(boxes(rows, "score"), truth, {"a": 4})
        assert (result.rbdc, result.tbdc) == (0.5, 0.5)


def test_where_the_curve_stops_before_one():
    truth = boxes([("a", t, 0, 0, 9, 9, 0) for t in range(2)], "track")
    found = boxes([("a", 0, 0, 0, 9, 9, 0.9), ("a", 1, 50, 50, 59, 59, 0.5)], "score")
    values = {end: rbdc_tbdc(found, truth, {"a": 2}, endpoint=end) for end in ("flat", "to_one", "truncate")}
    assert {end: r.rbdc for end, r in values.items()} == {"flat": 0.5, "to_one": 0.25 + 0.375, "truncate": 0.25}
    assert {r.fpr_reached for r in values.values()} == {0.5}


def test_the_curve_is_cut_where_it_first_crosses_one():
    truth = boxes([("a", 0, 0, 0, 9, 9, 0), ("a", 1, 0, 0, 9, 9, 0)], "track")
    alarms = [("a", 0, 50 + 20 * i, 50, 59 + 20 * i, 59, 0.5) for i in range(4)]  # FPR jumps from 0 to 2
    found = boxes([("a", 0, 0, 0, 9, 9, 0.9), *alarms, ("a", 1, 0, 0, 9, 9, 0.5)], "score")
    result = rbdc_tbdc(found, truth, {"a": 2})
    # From (0, 1/2) to (2, 1): at FPR 1 the rate is 3/4.
    assert result.rbdc == pytest.approx((0.5 + 0.75) / 2)
    assert result.fpr_reached == 1.0


def test_no_detections_and_no_ground_truth():
    truth = boxes([("a", 0, 0, 0, 9, 9, 0)], "track")
    empty = rbdc_tbdc(NONE, truth, {"a": 3})
    assert (empty.rbdc, empty.tbdc, empty.fpr_reached) == (0.0, 0.0, 0.0)
    nothing = rbdc_tbdc(NONE, boxes([], "track"), {"a": 3})
    assert math.isnan(nothing.rbdc) and math.isnan(nothing.tbdc)
    one = rbdc_tbdc(boxes([("a", 0, 0, 0, 9, 9, 0.1)], "score"), boxes([], "track"), {"a": 3})
    assert math.isnan(one.rbdc)
    assert one.curve["fpr"].tolist() == [0.0, pytest.approx(1 / 3)]


def test_frames_of_videos_without_anything_still_count():
    truth = boxes([("a", 0, 0, 0, 9, 9, 0)], "track")
    alarm = boxes([("b", 0, 0, 0, 9, 9, 0.5)], "score")
    assert rbdc_tbdc(alarm, truth, {"a": 2, "b": 8}).curve["fpr"].iloc[-1] == 0.1


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ([("z", 0, 0, 0, 9, 9, 0.5)], [], "video 'z'"),
        ([("a", 5, 0, 0, 9, 9, 0.5)], [], r"frame 5 of video 'a', which has 5 frames"),
        ([("a", -1, 0, 0, 9, 9, 0.5)], [], "frame -1"),
        ([("a", 0, 0, 0, 9, 9, float("nan"))], [], "not finite"),
        ([("a", 0, 9, 0, 0, 9, 0.5)], [], "x2, y2 before"),
        ([], [("a", 0, 0, 0, 9, 9, 3), ("a", 0, 1, 0, 9, 9, 3)], "Track 3 of video 'a' has two boxes in frame 0"),
    ],
)
def test_rows_that_cannot_be_are_refused(found, truth, message):
    with pytest.raises(DataError, match=message):
        rbdc_tbdc(boxes(found, "score"), boxes(truth, "track"), {"a": 5})


def test_missing_columns_and_options_name_what_there_is():
    table = boxes([("a", 0, 0, 0, 9, 9, 0.5)], "scores")
    with pytest.raises(DataError, match=r"no column 'score'.*scores"):
        rbdc_tbdc(table, boxes([], "track"), {"a": 1})
    with pytest.raises(ConfigError, match="flat"):
        rbdc_tbdc(NONE, boxes([], "track"), {"a": 1}, endpoint="flatt")
    with pytest.raises(ConfigError, match="iou"):
        rbdc_tbdc(NONE, boxes([], "track"), {"a": 1}, iou=0)


@given(scene=scenes(), endpoint=st.sampled_from(["flat", "to_one", "truncate"]))
@settings(max_examples=25)
def test_each_resample_equals_writing_its_videos_out(scene, endpoint):
    """The draws behind the interval, against RBDC and TBDC of a set in which videos are repeated."""
    found, truth, n_frames = scene
    counts = np.random.default_rng(len(found)).integers(0, 3, (4, len(n_frames))).astype(float)
    seen = []

    def spy(draw, n_videos, value, *args, **keywords):
        seen.append(draw(counts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_bootstrap, "interval", spy)
        bootstrap_regions(found, truth, n_frames, endpoint=endpoint)
    for i, row in enumerate(counts):
        copies = [(v, f"{v}-{k}") for v, times in zip(sorted(n_frames), row, strict=True) for k in range(int(times))]
        tables = [
            pd.concat([t[t["video"] == v].assign(video=name) for v, name in copies] or [t.iloc[:0]])
            for t in (found, truth)
        ]
        slow = rbdc_tbdc(*tables, {name: n_frames[v] for v, name in copies}, endpoint=endpoint)
        for draws, value in zip(seen, (slow.rbdc, slow.tbdc), strict=True):
            assert (math.isnan(draws[i]) and math.isnan(value)) or draws[i] == pytest.approx(value, abs=1e-12)


def test_intervals_hold_the_exact_value_and_survive_coarse_thresholds():
    random = np.random.default_rng(0)
    n_frames = {f"{v:02d}": 40 for v in range(15)}
    truth, found = [], []
    for video in n_frames:
        strength = random.random()
        for t in range(10, 30):
            truth.append((video, t, 10, 10, 30, 30, 0))
            if random.random() < strength:
                found.append((video, t, 12, 12, 32, 32, random.random() + 0.3))
        found += [(video, t, 60, 60, 70, 70, random.random()) for t in range(40) if random.random() < 0.8]
    found, truth = boxes(found, "score"), boxes(truth, "track")
    exact = rbdc_tbdc(found, truth, n_frames)
    fine, coarse = (bootstrap_regions(found, truth, n_frames, resamples=300, n_thresholds=k) for k in (10_000, 40))
    for interval, value in zip(fine, (exact.rbdc, exact.tbdc), strict=True):
        assert interval.value == value
        assert interval.low < value < interval.high or (interval.low, interval.high) == (value, value)
    assert coarse[0].value == exact.rbdc
    assert (coarse[0].low, coarse[0].high) == pytest.approx((fine[0].low, fine[0].high), abs=0.02)
    assert fine[0].high - fine[0].low > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_ends_of_low_values_on_coarse_thresholds_stay_in_the_unit_interval(seed):
    """Draws on coarse thresholds are moved to the exact value, some of them below 0: a TBDC of -0.0007 was printed."""
    random = np.random.default_rng(seed)
    n_frames = {f"{v:02d}": 40 for v in range(8)}
    truth = [(video, t, 10, 10, 30, 30, 0) for video in n_frames for t in range(10, 30)]
    found = [("00", t, 12, 12, 32, 32, random.random()) for t in range(10, 30)]
    found += [(v, t, 60, 60, 70, 70, random.random() + 0.02) for v in n_frames for t in range(40) for _ in range(3)]
    drawn = bootstrap_regions(boxes(found, "score"), boxes(truth, "track"), n_frames, resamples=500, n_thresholds=20)
    for interval in drawn:
        assert 0 <= interval.low < interval.value < interval.high <= 1
        assert 0 <= interval.video_low <= interval.without_low <= interval.without_high <= interval.video_high <= 1


def test_tracks_of_fewer_than_four_videos_have_no_interval():
    n_frames = {f"{v}": 10 for v in range(12)}
    truth = boxes([(f"{v}", t, 0, 0, 9, 9, 0) for v in range(3) for t in range(9)], "track")
    found = boxes([(f"{v}", t, 0, 0, 9, 9, t + v) for v in range(2) for t in range(9)], "score")
    for interval in bootstrap_regions(found, truth, n_frames, resamples=50):
        assert math.isnan(interval.low)
        assert interval.notes == ("no interval: the anomalous frames come from 3 test videos, at least 4 are needed",)


def test_tables_of_other_types_will_do():
    """Objects for numbers, as an empty table or a hand-made one has them; whole floats for frames."""
    truth = boxes([("a", t, 0, 0, 9, 9, 0) for t in range(3)], "track")
    found = truth.rename(columns={"track": "score"}).assign(score=1)
    assert rbdc_tbdc(found.astype(object), truth, {"a": 3}).rbdc == 1.0
    assert rbdc_tbdc(found.astype({"frame": float}), truth.astype(object), {"a": 3}).rbdc == 1.0
    numbered = [t.assign(video=7) for t in (found, truth)]
    assert rbdc_tbdc(*numbered, {7: 3}).rbdc == 1.0
    with pytest.raises(DataError, match=r"frame 0\.5"):
        rbdc_tbdc(found.assign(frame=0.5), truth, {"a": 3})
