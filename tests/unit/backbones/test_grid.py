"""Cells of a grid and what filter banks do at the start of a video, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.backbones.flow_grid import FlowGrid
from vadbench.backbones.gradient3d import Gradient3d
from vadbench.backbones.grid import cell_index, cell_means, cell_sizes, grid_shape
from vadbench.errors import ConfigError

FLOW = {"cell": 8, "directions": 4, "preset": "medium", "binning": "soft"}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**31))
def test_cell_means_are_the_means_of_the_pixels_of_each_cell(height: int, width: int, cell: int, seed: int) -> None:
    channels = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)
    means = cell_means(channels, cell)
    assert means.shape == (2, *grid_shape((height, width), cell))
    for i in range(means.shape[1]):
        for j in range(means.shape[2]):
            pixels = channels[:, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
            np.testing.assert_allclose(
                means[:, i, j], pixels.astype(np.float64).mean(axis=(1, 2)), rtol=1e-5, atol=1e-6
            )


def test_cells_at_the_edge_count_their_own_pixels() -> None:
    assert grid_shape((5, 7), 3) == (2, 3)
    np.testing.assert_array_equal(cell_sizes((5, 7), 3), [[9, 9, 3], [6, 6, 2]])
    np.testing.assert_array_equal(cell_index((3, 4), 2).reshape(3, 4), [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])


def video(n: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(n)]


@pytest.mark.parametrize("bank", [FlowGrid(FLOW), Gradient3d({"cell": 8, "measure": "energy"})], ids=lambda b: b.name)
def test_the_first_map_of_a_video_takes_the_values_of_the_next(bank: FlowGrid | Gradient3d) -> None:
    frames = video()
    maps = [bank.per_frame(frame, before) for frame, before in zip(frames, [None, *frames[:-1]], strict=True)]
    assert np.isnan(maps[0]).all()
    assert not np.isnan(np.stack(maps[1:])).any()
    features = bank(np.stack([maps[0:3], maps[1:4]]))["grid"]
    assert features.shape == (2, len(bank.channels), 3, 5, 6)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[0, :, 0], maps[1])
    np.testing.assert_array_equal(features[0, :, 1], maps[1])
    np.testing.assert_array_equal(features[1], np.stack(maps[1:4], axis=1))


def test_a_clip_of_nothing_but_the_first_map_is_zero() -> None:
    bank = FlowGrid(FLOW)
    first = bank.per_frame(video(1)[0], None)
    assert (bank(first[None, None])["grid"] == 0).all()


def test_the_stacked_maps_are_left_as_they_were() -> None:
    bank = FlowGrid(FLOW)
    frames = video(2)
    clip = np.stack([bank.per_frame(frames[0], None), bank.per_frame(frames[1], frames[0])])[None]
    before = clip.copy()
    bank(clip)
    np.testing.assert_array_equal(clip, before)


@pytest.mark.parametrize("frame", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8)])
def test_frames_of_another_kind_are_refused(frame: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"uint8 \(H, W, 3\).*backbone.mean"):
        FlowGrid(FLOW).per_frame(frame, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**FLOW, "cell": 0}, r"backbone\.options\.cell=0: .*greater than or equal to 1"),
        ({**FLOW, "cel": 3}, r"backbone\.options\.cel: .*no such option\. Did you mean: cell\?"),
        ({**FLOW, "preset": "slow"}, r"backbone\.options\.preset='slow': .*'ultrafast', 'fast' or 'medium'"),
        ({"cell": 8}, r"(?s)backbone\.options\.directions: missing.*backbone\.options\.preset: missing"),
    ],
)
def test_options_are_checked_and_every_fault_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FlowGrid(options)


def test_a_spec_changes_with_every_option() -> None:
    specs = [
        FlowGrid({**FLOW, **change}).spec("grid")
        for change in ({}, {"cell": 9}, {"binning": "hard"}, {"directions": 5})
    ]
    assert len({str(spec) for spec in specs}) == 4
    assert specs[0] == FlowGrid(FLOW).spec("grid")
