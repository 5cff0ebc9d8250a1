"""Regions of frames and of videos against a flood fill, and tracks derived from them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation import references
from vadbench.evaluation import tracks_from_masks
from vadbench.evaluation.metrics.components import RegionLabels


@given(
    seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.05, 0.2, 0.5, 0.9]), kind=st.sampled_from(["2d", "3d"])
)
def test_same_regions_as_a_flood_fill(seed, density, kind):
    random = np.random.default_rng(seed)
    masks = random.random((random.integers(1, 7), random.integers(1, 8), random.integers(1, 8))) < density
    labels = RegionLabels(kind)
    pieces = [labels.add(mask) for mask in masks]
    roots = labels.roots()
    found: dict[int, set] = {}
    for t, (numbers, (rows, columns)) in enumerate(pieces):
        for y, x in np.argwhere(numbers):
            found.setdefault(int(roots[numbers[y, x]]), set()).add((t, y + rows.start, x + columns.start))
    if kind == "3d":
        expected = [set(region) for region in references.volumes_of(masks)]
    else:
        expected = [
            {(t, *at) for at in region} for t in range(len(masks)) for region in references.regions_of(masks[t])
        ]
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected))


@given(seed=st.integers(0, 2**32 - 1))
def test_a_derived_track_is_a_region_with_a_box_a_frame(seed):
    random = np.random.default_rng(seed)
    masks = random.random((6, 7, 8)) < 0.15
    table = tracks_from_masks({"a": masks})
    expected = set()
    for region in references.volumes_of(masks):
        for t in {at[0] for at in region}:
            ys, xs = [at[1] for at in region if at[0] == t], [at[2] for at in region if at[0] == t]
            expected.add((t, min(xs), min(ys), max(xs), max(ys), min(region)))
    keyed = {}
    for row in table.itertuples():
        keyed.setdefault(row.track, set()).add((row.frame, row.x1, row.y1, row.x2, row.y2))
    by_region: dict = {}
    for *box, region in expected:
        by_region.setdefault(region, set()).add(tuple(box))
    assert sorted(map(sorted, keyed.values())) == sorted(map(sorted, by_region.values()))
    assert not table.duplicated(["video", "frame", "track"]).any()


def test_no_anomaly_no_track():
    table = tracks_from_masks({"a": np.zeros((3, 4, 4), bool), "b": np.zeros((0, 4, 4), bool)})
    assert len(table) == 0
    assert list(table.columns) == ["video", "frame", "track", "x1", "y1", "x2", "y2"]
