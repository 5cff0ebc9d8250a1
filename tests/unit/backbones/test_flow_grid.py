"""Flow magnitude by direction: hand-made flows, a slow reference, and true motion."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.backbones.flow_grid import FlowGrid, dense_flow, pooled_by_direction
from vadbench.backbones.grid import grid_shape


def uniform(u: float, v: float, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.broadcast_to(np.array([u, v], np.float32), (*size, 2))


def slow(flow: np.ndarray, cell: int, directions: int, binning: str) -> np.ndarray:
    """The definition, pixel by pixel."""
    h, w = grid_shape(flow.shape[:2], cell)
    sums, counts = np.zeros((directions, h, w)), np.zeros((h, w))
    for y in range(flow.shape[0]):
        for x in range(flow.shape[1]):
            u, v = map(float, flow[y, x])
            magnitude = math.hypot(u, v)
            angle = math.atan2(v, u) % (2 * math.pi)
            counts[y // cell, x // cell] += 1
            for k in range(directions):
                centre = 2 * math.pi * k / directions
                away = abs((angle - centre + math.pi) % (2 * math.pi) - math.pi) / (2 * math.pi / directions)
                if directions == 1:
                    share = 1.0
                elif binning == "soft":
                    share = max(0.0, 1 - away)
                else:
                    share = float(away < 0.5)
                sums[k, y // cell, x // cell] += magnitude * share
    return sums / counts


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 9), st.sampled_from(["soft", "hard"]),
    st.integers(0, 2**31),
)  # fmt: skip
def test_pooling_agrees_with_the_definition(
    height: int, width: int, cell: int, directions: int, binning: str, seed: int
) -> None:
    flow = np.random.default_rng(seed).normal(scale=3, size=(height, width, 2)).astype(np.float32)
    got = pooled_by_direction(flow, cell, directions, binning)
    np.testing.assert_allclose(got, slow(flow, cell, directions, binning), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("binning", ["soft", "hard"])
@pytest.mark.parametrize(("u", "v", "direction"), [(3, 0, 0), (0, 3, 1), (-3, 0, 2), (0, -3, 3)])
def test_a_motion_along_an_axis_falls_into_one_direction(u: float, v: float, direction: int, binning: str) -> None:
    got = pooled_by_direction(uniform(u, v), 2, 4, binning)
    assert got.shape == (4, 2, 3)
    expected = np.zeros((4, 2, 3))
    expected[direction] = 3
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_soft_binning_shares_a_diagonal_motion_in_halves() -> None:
    got = pooled_by_direction(uniform(1, 1), 2, 4, "soft")[:, 0, 0]
    np.testing.assert_allclose(got, [math.sqrt(2) / 2, math.sqrt(2) / 2, 0, 0], atol=1e-6)


@pytest.mark.parametrize("binning", ["soft", "hard"])
def test_the_directions_add_up_to_the_mean_magnitude(binning: str) -> None:
    flow = np.random.default_rng(1).normal(size=(12, 12, 2)).astype(np.float32)
    total = pooled_by_direction(flow, 12, 6, binning).sum()
    assert total == pytest.approx(np.hypot(flow[..., 0], flow[..., 1]).mean(), rel=1e-5)


def test_soft_binning_is_continuous_where_hard_binning_jumps() -> None:
    def step(binning: str) -> float:
        edge, tilt = math.pi / 4, 1e-3
        flows = [uniform(math.cos(a), math.sin(a)) for a in (edge - tilt, edge + tilt)]
        a, b = (pooled_by_direction(flow, 4, 4, binning) for flow in flows)
        return float(np.abs(a - b).max())

    assert step("soft") < 0.01
    assert step("hard") > 0.9


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (height, width)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize(("u", "v"), [(2, 0), (0, -3), (-1, 2)])
def test_flow_is_where_the_picture_went(u: int, v: int) -> None:
    wide = texture(120, 140)
    before, after = wide[10:110, 10:130], wide[10 - v : 110 - v, 10 - u : 130 - u]
    inner = dense_flow(before, after, "medium")[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), [u, v], atol=0.1)


@pytest.mark.parametrize("size", [(8, 8), (5, 60), (31, 33)])
def test_small_frames_have_a_flow_too(size: tuple[int, int]) -> None:
    flow = dense_flow(texture(*size), texture(*size), "fast")
    assert flow.shape == (*size, 2)
    assert np.isfinite(flow).all()


def test_the_same_pair_gives_the_same_map_whatever_came_before_and_on_any_number_of_threads() -> None:
    bank = FlowGrid({"cell": 12, "directions": 4, "preset": "medium", "binning": "soft"})
    frames = [np.repeat(texture(100, 124)[:, s : s + 120, None], 3, axis=2) for s in (0, 1, 4)]
    expected = bank.per_frame(frames[1], frames[0])
    threads = cv2.getNumThreads()
    try:
        for n in (1, 2, 3):
            cv2.setNumThreads(n)
            bank.per_frame(frames[2], frames[1])
            np.testing.assert_array_equal(bank.per_frame(frames[1], frames[0]), expected)
    finally:
        cv2.setNumThreads(threads)


def test_motion_to_the_right_raises_the_first_direction() -> None:
    bank = FlowGrid({"cell": 20, "directions": 4, "preset": "medium", "binning": "soft"})
    wide = np.repeat(texture(100, 140)[:, :, None], 3, axis=2)
    got = bank.per_frame(wide[:, 10:130], wide[:, 12:132])[:, 1:-1, 1:-1]
    assert got[0].mean() == pytest.approx(2, abs=0.2)
    assert got[1:].max() < 0.5
