"""Regions survive being packed, and boxes that are stored are the boxes that are used."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.models.ai_vad.regions.region_set import (
    RegionSet,
    join,
    on_grid,
    pack,
    unpack_boxes,
    unpack_mask,
    window,
)
from vadbench.store.arrays import lowered


def some_regions(rng: np.random.Generator, n: int, size: tuple[int, int] = (40, 60)) -> RegionSet:
    corner = rng.uniform((0, 0), (size[1] - 8, size[0] - 8), (n, 2))
    boxes = on_grid(np.concatenate([corner, corner + rng.uniform(2, 30, (n, 2))], axis=1), size)
    masks: list[np.ndarray | None] = []
    for box in boxes:
        rows, columns = window(box)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        masks.append(rng.random(shape) < 0.5 if rng.random() < 0.7 else None)
    labels, scores = rng.integers(0, 91, n).astype(np.int16), rng.random(n).astype(np.float32)
    return RegionSet(boxes, labels, scores, tuple(masks))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(0, 4), max_size=6))
def test_packing_loses_nothing(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    sets = [some_regions(rng, n) for n in counts]
    frames = [3 * i for i in range(len(counts))]
    packed = pack(frames, sets)
    flat = join([RegionSet.empty(), *sets])
    np.testing.assert_array_equal(packed["frame"], np.repeat(frames, counts))
    np.testing.assert_array_equal(unpack_boxes(packed), flat.boxes)
    np.testing.assert_array_equal(packed["labels"], flat.labels)
    np.testing.assert_array_equal(packed["scores"], flat.scores)
    for i, mask in enumerate(flat.masks):
        np.testing.assert_array_equal(unpack_mask(packed, i), mask)


def test_half_precision_storage_moves_no_box() -> None:
    regions = some_regions(np.random.default_rng(0), 50, (480, 856))
    packed = pack([0], [regions])
    halved, _ = lowered(packed, "float16")
    np.testing.assert_array_equal(unpack_boxes(halved), regions.boxes)


def test_boxes_on_the_grid_are_clipped_and_stay() -> None:
    boxes = np.array([[-3.3, 1.234567, 70, 39.99999], [5, 6, 7.5, 8.25]], np.float32)
    once = on_grid(boxes, (40, 60))
    np.testing.assert_array_equal(once[0], [0, 1.234375, 60, 40])
    np.testing.assert_array_equal(once[1], boxes[1])
    np.testing.assert_array_equal(on_grid(once, (40, 60)), once)


def test_window_holds_every_pixel_that_a_box_touches() -> None:
    assert window(np.array([1.5, 2.0, 3.0, 4.01])) == (slice(2, 5), slice(1, 3))
