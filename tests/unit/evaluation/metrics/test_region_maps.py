"""RBDC and TBDC of score maps against the definition with flood-filled components."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation import references
from tests.unit.evaluation.references import boxes
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import detections_from_maps, rbdc_tbdc, rbdc_tbdc_from_maps


def reference(maps, truth, thresholds, shape, endpoint):
    """(RBDC, TBDC) by counting components at each threshold from high to low, until FPR reaches 1."""
    n_frames = sum(len(m) for m in maps.values())
    rows = [(r.video, r.frame, (int(r.x1), int(r.y1), int(r.x2), int(r.y2)), r.track) for r in truth.itertuples()]
    curve = [(Fraction(0), Fraction(0), Fraction(0))]
    for threshold in sorted(set(thresholds), reverse=True):
        false, hit = 0, [False] * len(rows)
        for video, frames in maps.items():
            for t, values in enumerate(frames):
                for region in references.regions_of(values >= threshold):
                    matched = False
                    for i, (v, frame, box, _) in enumerate(rows):
                        if (v, frame) == (video, t) and overlap(region, box, shape) >= Fraction("0.1"):
                            hit[i] = matched = True
                    false += not matched
        tracks = {}
        for (video, _, _, track), h in zip(rows, hit, strict=True):
            tracks.setdefault((video, track), []).append(h)
        found = sum(1 for h in tracks.values() if Fraction(sum(h), len(h)) >= Fraction("0.1"))
        curve.append((Fraction(false, n_frames), Fraction(sum(hit), len(rows)), Fraction(found, len(tracks))))
    return references._area(curve, 1, endpoint), references._area(curve, 2, endpoint)


def overlap(region, box, shape):
    if shape == "box":
        ys, xs = [y for y, _ in region], [x for _, x in region]
        return references.iou((min(xs), min(ys), max(xs), max(ys)), box)
    inside = sum(1 for y, x in region if box[0] <= x <= box[2] and box[1] <= y <= box[3])
    area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    return Fraction(inside, len(region) + area - inside)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from(["component", "box"]),
    endpoint=st.sampled_from(["flat", "to_one", "truncate"]),
)
def test_equals_the_definition(seed, shape, endpoint):
    random = np.random.default_rng(seed)
    maps = {f"v{i}": random.integers(0, 6, (random.integers(1, 4), 6, 7)) / 5 for i in range(2)}
    rows = []
    for video, frames in maps.items():
        for t in range(len(frames)):
            for track in range(2):
                if random.random() < 0.6:
                    x, y = random.integers(0, 5), random.integers(0, 4)
                    rows.append((video, t, x, y, x + random.integers(0, 7 - x), y + random.integers(0, 6 - y), track))
    truth = boxes(rows, "track")
    thresholds = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    result = rbdc_tbdc_from_maps(maps, truth, thresholds=thresholds, shape=shape, endpoint=endpoint)
    if not rows:
        assert math.isnan(result.rbdc)
        return
    expected = reference(maps, truth, thresholds, shape, endpoint)
    assert (result.rbdc, result.tbdc) == pytest.approx(expected, abs=1e-12)


def test_a_map_that_knows_the_answer():
    maps, rows = np.zeros((10, 20, 30)), []
    for t in range(10):
        maps[t, 5:10, t : t + 6] = 1
        rows.append(("a", t, t, 5, t + 5, 9, 0))
    result = rbdc_tbdc_from_maps({"a": maps}, boxes(rows, "track"))
    assert (result.rbdc, result.tbdc) == (1.0, 1.0)
    edges = boxes([(v, t, x1, y1, x2 + 1, y2 + 1, k) for v, t, x1, y1, x2, y2, k in rows], "track")
    assert rbdc_tbdc_from_maps({"a": maps}, edges, inclusive_pixels=False, iou=1.0).rbdc == 1.0


@pytest.mark.parametrize("spacing", ["linear", "quantile"])
def test_a_constant_map_detects_nothing(spacing):
    truth = boxes([("a", 0, 0, 0, 7, 7, 0)], "track")
    result = rbdc_tbdc_from_maps({"a": np.full((2, 8, 8), 0.3)}, truth, spacing=spacing)
    assert (result.rbdc, result.tbdc, result.n_detections) == (0.0, 0.0, 0)


def test_spacing_and_connectivity_change_the_sweep():
    random = np.random.default_rng(0)
    maps = {"a": random.random((6, 12, 12)) ** 8}
    truth = boxes([("a", t, 3, 3, 8, 8, 0) for t in range(6)], "track")
    few = rbdc_tbdc_from_maps(maps, truth, thresholds=5)
    many = rbdc_tbdc_from_maps(maps, truth, thresholds=400)
    linear, quantile = (rbdc_tbdc_from_maps(maps, truth, thresholds=40, spacing=s) for s in ("linear", "quantile"))
    assert len(few.curve) < len(linear.curve) < len(quantile.curve)
    assert len(linear.curve) < len(many.curve)
    assert (quantile.curve["threshold"].iloc[1:] > maps["a"].min()).all()
    diagonal = np.zeros((1, 4, 4))
    diagonal[0][[0, 1], [0, 1]] = 1
    pair = boxes([("a", 0, 3, 3, 3, 3, 0)], "track")
    assert rbdc_tbdc_from_maps({"a": diagonal}, pair, thresholds=[1.0]).curve["fpr"].iloc[-1] == 1
    assert rbdc_tbdc_from_maps({"a": diagonal}, pair, thresholds=[1.0], connectivity=4).curve["fpr"].iloc[-1] == 2


def test_the_sweep_stops_after_the_first_crossing():
    """Below it components merge and the FPR falls again: those points must not count."""
    maps = np.zeros((1, 9, 9))
    maps[0, ::2, ::2] = 1.0  # 25 components, then one
    truth = boxes([("a", 0, 0, 0, 8, 8, 0)], "track")
    result = rbdc_tbdc_from_maps({"a": maps}, truth, thresholds=[1.0, 0.0])
    assert result.curve["threshold"].tolist() == [np.inf, 1.0]
    assert result.fpr_reached == 1.0


def test_fixed_cut_gives_boxes_with_their_peaks():
    maps = np.zeros((2, 6, 8))
    maps[1, 1:3, 2:5] = 0.5
    maps[1, 2, 3] = 0.9
    maps[1, 5, 7] = 0.6
    table = detections_from_maps({"a": maps}, threshold=0.5)
    assert table.to_numpy().tolist() == [["a", 1, 2, 1, 4, 2, 0.9], ["a", 1, 7, 5, 7, 5, 0.6]]
    truth = boxes([("a", 1, 2, 1, 4, 2, 0)], "track")
    assert rbdc_tbdc(table, truth, {"a": 2}).rbdc == 1.0
    assert len(detections_from_maps({"a": maps}, threshold=2.0)) == 0


def test_options_and_maps_are_checked():
    truth = boxes([("a", 0, 0, 0, 1, 1, 0)], "track")
    with pytest.raises(ConfigError, match="linear"):
        rbdc_tbdc_from_maps({"a": np.zeros((1, 2, 2))}, truth, spacing="log")
    with pytest.raises(DataError, match="'a', frame 0"):
        rbdc_tbdc_from_maps({"a": np.full((1, 2, 2), np.nan)}, truth)
    with pytest.raises(DataError, match="frame 0 of video 'a', which has 0 frames"):
        rbdc_tbdc_from_maps({"a": np.zeros((0, 2, 2))}, truth)
