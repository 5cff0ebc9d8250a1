"""From clips to frames, on cases small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.to_frames import ClipMaps, clip_weights

PLAN = ClipPlan(length=3, step=1, stride=4)
STARTS = np.array([0, 4])
CLIP_SCORES = np.array([10.0, 20.0])


def scores(target: str, fill: str, n_frames: int = 9) -> tuple[list[float], list[int]]:
    weights, filled = clip_weights(STARTS, PLAN, n_frames, target, fill)
    return [round(float(s), 6) for s in weights @ CLIP_SCORES], np.flatnonzero(~filled).tolist()


def test_each_target_frame() -> None:
    assert scores("first", "nearest")[1] == [0, 4]
    assert scores("mid", "nearest")[1] == [1, 5]
    assert scores("last", "nearest")[1] == [2, 6]
    assert scores("all", "nearest")[1] == [0, 1, 2, 4, 5, 6]


def test_each_way_to_fill() -> None:
    assert scores("mid", "nearest")[0] == [10, 10, 10, 10, 20, 20, 20, 20, 20]
    assert scores("mid", "linear")[0] == [10, 10, 12.5, 15, 17.5, 20, 20, 20, 20]
    assert scores("mid", "hold")[0] == [10, 10, 10, 10, 10, 20, 20, 20, 20]


def test_all_takes_the_mean_where_clips_overlap() -> None:
    weights, filled = clip_weights(np.array([0, 1]), ClipPlan(3, 1, 1), 4, "all", "nearest")
    assert (weights @ CLIP_SCORES).tolist() == [10, 15, 15, 20]
    assert not filled.any()


def test_frame_step_moves_the_targets() -> None:
    _, filled = clip_weights(np.array([0]), ClipPlan(3, 6, 4), 13, "mid", "nearest")
    assert np.flatnonzero(~filled).tolist() == [6]
    _, filled = clip_weights(np.array([0]), ClipPlan(3, 6, 4), 13, "last", "nearest")
    assert np.flatnonzero(~filled).tolist() == [12]


@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 60),
    st.sampled_from(["first", "mid", "last", "all"]),
    st.sampled_from(["nearest", "linear", "hold"]),
)
def test_every_frame_gets_exactly_one_score_within_those_of_the_clips(
    length: int, step: int, stride: int, extra: int, target: str, fill: str
) -> None:
    plan = ClipPlan(length, step, stride)
    n_frames = plan.span + extra
    starts = plan.starts(n_frames)
    weights, filled = clip_weights(starts, plan, n_frames, target, fill)
    assert weights.shape == (n_frames, len(starts)) and filled.shape == (n_frames,)
    assert (weights.toarray() >= 0).all()
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1.0)
    if target != "all":
        assert (~filled).sum() == len(starts)
    if stride == 1 and target == "all":
        assert not filled.any()


def test_the_sum_of_a_map_is_the_frame_score() -> None:
    values = np.random.default_rng(0).random((2, 3, 4)).astype(np.float32)
    weights, _ = clip_weights(STARTS, PLAN, 9, "mid", "linear")
    maps = ClipMaps(values, weights)
    frame_scores = weights @ values.sum(axis=(1, 2))
    assert len(maps) == 9
    for frame in range(9):
        assert maps[frame].sum() == pytest.approx(frame_scores[frame], rel=1e-5)


def test_upsampling_is_bilinear_between_cell_centres() -> None:
    weights, _ = clip_weights(np.array([0]), ClipPlan(1, 1, 1), 1, "first", "nearest")
    maps = ClipMaps(np.array([[[0.0, 1.0]]], np.float32), weights)
    np.testing.assert_allclose(maps.at_size(0, (1, 8))[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)
