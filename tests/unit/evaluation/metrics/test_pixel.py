"""Pixel AUROC, AP, EER, AUPRO and F1: equal to slow references, whatever the blocks, the order and the container."""

from __future__ import annotations

import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.unit.evaluation import inputs, references
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import aupro, pixel_auroc, pixel_average_precision, pixel_f1, pixel_metrics
from vadbench.evaluation.metrics import ranks
from vadbench.evaluation.metrics.pixel_table import pixel_table, pixel_table_by_video


class Lazy:
    """A video whose frames exist only while they are looked at, and that counts the looks."""

    def __init__(self, array):
        self._array = array
        self.looks = [0] * len(array)

    def __len__(self):
        return len(self._array)

    def __getitem__(self, frame):
        self.looks[frame] += 1
        return self._array[frame].copy()


def pooled(maps, masks):
    return (
        np.concatenate([m.ravel() for m in maps.values()]).tolist(),
        np.concatenate([m.ravel() > 0 for m in masks.values()]).tolist(),
    )


def same(value, expected, tolerance=1e-12):
    return (math.isnan(value) and math.isnan(expected)) or value == pytest.approx(expected, abs=tolerance)


@given(data=inputs.maps(), block=st.sampled_from([1, 3, 1000]))
def test_pooled_metrics_equal_their_references(data, block):
    maps, masks = data
    scores, labels = pooled(maps, masks)
    found = pixel_metrics(maps, masks, block_pixels=block)
    assert found.auroc == (expected := references.auroc(scores, labels)) or math.isnan(expected)
    assert same(found.average_precision, references.average_precision(scores, labels))
    assert same(found.eer, references.equal_error_rate(scores, labels))
    assert same(found.oracle_f1, references.best_f1(scores, labels))
    assert (found.n_anomalous, found.n_normal) == (sum(labels), len(labels) - sum(labels))
    assert same(pixel_auroc(maps, masks), found.auroc, 0)
    assert same(pixel_average_precision(maps, masks), found.average_precision, 0)


@given(data=inputs.maps(), limit=st.sampled_from([0.3, 0.05, 1.0, 0.5]), components=st.sampled_from(["2d", "3d"]))
def test_aupro_equals_the_curve_drawn_vertex_by_vertex(data, limit, components):
    maps, masks = data
    assert same(aupro(maps, masks, limit, components), references.aupro(maps, masks, limit, components))


@given(data=inputs.maps(), order=st.randoms(), block=st.sampled_from([1, 2, 7, 50]), components=st.sampled_from(["2d"]))
def test_blocks_and_order_do_not_change_a_bit(data, order, block, components):
    """Videos shuffled, frames cut into videos of their own, any block size: the same table to the bit."""
    maps, masks = data
    pieces = [(f"{v}-{t}", maps[v][t : t + 1], masks[v][t : t + 1]) for v in maps for t in range(len(maps[v]))]
    order.shuffle(pieces)
    whole = pixel_table(maps, masks, components)
    parts = pixel_table(
        {name: m for name, m, _ in pieces}, {name: k for name, _, k in pieces}, components, block_pixels=block
    )
    for name in ("score", "positives", "above", "equal", "weight"):
        a, b = getattr(whole, name), getattr(parts, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert np.array_equal(a, b) if name == "score" else a.tobytes() == b.tobytes()
    for metric in (ranks.auroc, ranks.average_precision, ranks.equal_error_rate, ranks.aupro):
        assert same(metric(whole), metric(parts), 0)


@given(data=inputs.maps())
def test_lazy_frames_and_other_mask_types_change_nothing(data):
    maps, masks = data
    lazy = {v: Lazy(m) for v, m in maps.items()}
    painted = {v: Lazy(m.astype(np.uint8) * 255) for v, m in masks.items()}
    assert repr(pixel_metrics(lazy, painted)) == repr(pixel_metrics(maps, masks))
    for video, frames in lazy.items():
        assert frames.looks == [1 + bool(mask.any()) for mask in masks[video]]


@given(data=inputs.maps())
def test_inputs_are_left_alone(data):
    maps, masks = data
    before = {v: (maps[v].tobytes(), masks[v].tobytes()) for v in maps}
    for array in [*maps.values(), *masks.values()]:
        array.flags.writeable = False
    pixel_metrics(maps, masks)
    pixel_auroc(maps, masks, mode="per_frame_mean")
    assert {v: (maps[v].tobytes(), masks[v].tobytes()) for v in maps} == before


@given(data=inputs.maps())
def test_per_frame_mean(data):
    maps, masks = data
    values = [
        references.auroc(m.ravel().tolist(), k.ravel().tolist())
        for v in maps
        for m, k in zip(maps[v], masks[v], strict=True)
    ]
    defined = [v for v in values if not math.isnan(v)]
    assert same(pixel_auroc(maps, masks, "per_frame_mean"), float(np.mean(defined)) if defined else math.nan)


def test_a_mixture_of_types_is_compared_exactly():
    """A float64 score between two neighbouring float32 ones must not be rounded onto either."""
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    between = (float(low) + float(high)) / 2
    maps = {"a": np.array([[[low, high]]], np.float32), "b": np.array([[[between, between]]], np.float64)}
    masks = {"a": np.array([[[True, True]]]), "b": np.array([[[False, False]]])}
    assert pixel_auroc(maps, masks) == 0.5
    assert pixel_auroc({"b": maps["b"], "a": maps["a"]}, {"b": ~masks["b"], "a": ~masks["a"]}) == 0.5


def test_constant_map_has_half_the_limit():
    masks = {"a": np.zeros((3, 8, 8), bool)}
    masks["a"][1, 2:5, 2:5] = True
    assert aupro({"a": np.full((3, 8, 8), 0.7)}, masks) == pytest.approx(0.15)
    assert aupro({"a": np.full((3, 8, 8), 0.7)}, masks, fpr_limit=1.0) == pytest.approx(0.5)


def test_all_anomalous_frame_counts_as_a_region():
    """One public implementation loses such a frame and takes its pixels for background."""
    masks = {"a": np.stack([np.ones((2, 2), bool), np.zeros((2, 2), bool)])}
    maps = {"a": np.stack([np.full((2, 2), 0.2), np.full((2, 2), 0.1)])}
    assert aupro(maps, masks) == 1.0


def test_regions_touch_at_corners_and_may_have_holes():
    diagonal = np.array([[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]], bool)
    maps = {"a": np.where(diagonal, [[[0.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]], 0.5)}
    # Two regions: the pair on the diagonal (missed below every normal pixel) and the single pixel (found first).
    assert aupro(maps, {"a": diagonal}, fpr_limit=1.0) == pytest.approx(0.5)
    ring = np.ones((1, 3, 3), bool)
    ring[0, 1, 1] = False
    assert aupro({"a": ring.astype(float)}, {"a": ring}) == 1.0


def test_an_event_counts_once_in_3d_and_once_a_frame_in_2d():
    masks = np.zeros((11, 4, 4), bool)
    masks[:10, 0, 0] = True
    masks[10, 3, 3] = True
    maps = np.where(masks, 1.0, 0.5)
    maps[10, 3, 3] = 0.0
    assert aupro({"a": maps}, {"a": masks}, 1.0, "2d") == pytest.approx(10 / 11)
    assert aupro({"a": maps}, {"a": masks}, 1.0, "3d") == pytest.approx(1 / 2)


def test_nothing_anomalous_or_nothing_normal_is_undefined():
    maps = {"a": np.random.default_rng(0).random((2, 3, 3))}
    for masks in (np.zeros((2, 3, 3), bool), np.ones((2, 3, 3), bool)):
        found = pixel_metrics(maps, {"a": masks})
        assert all(math.isnan(v) for v in (found.auroc, found.average_precision, found.eer, found.aupro))
        assert math.isnan(pixel_auroc(maps, {"a": masks}, "per_frame_mean"))


@given(data=inputs.maps(), threshold=st.sampled_from([0.0, 0.5, -1.0, 2.0]))
def test_f1_at_a_threshold(data, threshold):
    maps, masks = data
    scores, labels = pooled(maps, masks)
    hits, alarms = references.confusion(scores, labels, threshold)
    expected = 2 * hits / (hits + alarms + sum(labels)) if sum(labels) else math.nan
    assert same(pixel_f1(maps, masks, threshold), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_refused(value):
    maps = {"a": np.zeros((3, 4, 4)), "b": np.zeros((3, 4, 4))}
    masks = {"a": np.zeros((3, 4, 4), bool), "b": np.ones((3, 4, 4), bool)}
    maps["a"][2, 1, 3] = value
    with pytest.raises(DataError, match=r"'a', frame 2.*row 1, column 3"):
        pixel_auroc(maps, masks)


def test_shapes_and_options_are_checked():
    maps, masks = {"a": np.zeros((2, 3, 3))}, {"a": np.zeros((2, 3, 3), bool)}
    with pytest.raises(DataError, match=r"frame 0.*\(3, 3\).*\(4, 3\)"):
        pixel_auroc(maps, {"a": np.zeros((2, 4, 3), bool)})
    with pytest.raises(DataError, match="2 score maps, but 3 masks"):
        pixel_auroc(maps, {"a": np.zeros((3, 3, 3), bool)})
    with pytest.raises(DataError, match="'a' has no masks"):
        pixel_auroc(maps, {"b": masks["a"]})
    with pytest.raises(ConfigError, match="pooled"):
        pixel_auroc(maps, masks, mode="pool")
    with pytest.raises(ConfigError, match="2d"):
        aupro(maps, masks, components="2D")
    with pytest.raises(ConfigError, match=r"\(0, 1\]"):
        aupro(maps, masks, fpr_limit=0)


def synthetic(n_pixels, seed=0):
    """Maps like those of a real set: 40% of the frames hold an anomaly, about 1% of all pixels."""
    random = np.random.default_rng(seed)
    frames = max(n_pixels // (360 * 640), 5)
    maps, masks = random.random((frames, 360, 640), dtype=np.float32), np.zeros((frames, 360, 640), bool)
    for t in range(frames):
        if t % 5 < 2:
            y, x = random.integers(0, 300), random.integers(0, 540)
            masks[t, y : y + 54, x : x + 100] = True
    maps[masks] = np.sqrt(maps[masks])
    return maps, masks


def memory_at_most(extra_bytes, maps, masks, **keywords):
    """The pixel table, made within ``extra_bytes`` beside the maps and masks."""
    tracemalloc.start()
    table = pixel_table({"a": maps}, {"a": masks}, "2d", **keywords)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= extra_bytes
    return table


def costs_at_most_a_tenth(n_pixels, extra_bytes, **keywords):
    """Exact AUROC, AP and AUPRO against scikit-learn's AUROC alone, in CPU seconds of this process, and memory."""
    maps, masks = synthetic(n_pixels)
    memory_at_most(extra_bytes, maps, masks, **keywords)
    start = time.process_time()
    table = pixel_table({"a": maps}, {"a": masks}, "2d", **keywords)
    ours = ranks.auroc(table), ranks.average_precision(table), ranks.aupro(table)
    own = time.process_time() - start
    start = time.process_time()
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    theirs = time.process_time() - start
    assert ours[0] == pytest.approx(expected, abs=1e-12)
    assert own <= theirs / 10, f"{own:.2f} CPU s against {theirs:.2f}"
    return maps, masks, ours


def test_a_few_million_pixels_are_exact_in_little_memory():
    maps, masks = synthetic(4_000_000)
    table = memory_at_most(60e6, maps, masks)
    assert ranks.auroc(table) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)
    assert ranks.average_precision(table) == pytest.approx(
        average_precision_score(masks.ravel(), maps.ravel()), abs=1e-12
    )


def test_memory_of_many_anomalous_pixels():
    """At most 16 MB of tables and 50 bytes an anomalous pixel: 64 MB at a hundred million pixels, 1% of them."""
    maps, masks = synthetic(8_000_000)
    tracemalloc.start()
    pixel_metrics({"a": maps}, {"a": masks})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 20e6 + 50 * np.count_nonzero(masks)


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_cpu_seconds_and_memory_of_a_hundred_million_pixels():
    maps, masks = synthetic(100_000_000)
    spent = []
    for _ in range(3):
        start = time.process_time()
        found = pixel_metrics({"a": maps}, {"a": masks})
        spent.append(time.process_time() - start)
    assert min(spent) <= 3.0
    tracemalloc.start()
    assert pixel_metrics({"a": maps}, {"a": masks}, block_pixels=1_000_003 // 64) == found
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64e6


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_cost_of_a_hundred_million_pixels():
    maps, masks, ours = costs_at_most_a_tenth(100_000_000, 0.5e9)
    # Other blocks, and the frames backwards as videos of their own: the same bits.
    videos = {str(t): (maps[t : t + 1], masks[t : t + 1]) for t in reversed(range(len(maps)))}
    table = pixel_table(
        {t: m for t, (m, _) in videos.items()}, {t: k for t, (_, k) in videos.items()}, "2d", block_pixels=3_000_001
    )
    assert (ranks.auroc(table), ranks.average_precision(table), ranks.aupro(table)) == ours


def test_memory_does_not_grow_with_the_number_of_frames():
    """Frames made on demand, ten times as many of the same scores: hardly more memory than anomalous pixels need."""

    class Made:
        def __init__(self, frames, mask):
            self.frames, self.mask = frames, mask

        def __len__(self):
            return self.frames

        def __getitem__(self, t):
            if self.mask:
                found = np.zeros((200, 200), bool)
                found[: 10 * (t % 50 == 0), :10] = True
                return found
            return np.random.default_rng(t % 50).random((200, 200), dtype=np.float32)

    peaks = []
    for frames in (50, 500):
        tracemalloc.start()
        pixel_metrics({"a": Made(frames, False)}, {"a": Made(frames, True)}, block_pixels=1_000_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= peaks[0] + 1e6


@given(data=inputs.maps())
def test_bins_by_video_hold_every_pixel(data):
    maps, masks = data
    table, bins = pixel_table_by_video(maps, masks, "2d", n_edges=5)
    assert bins.anomalous.sum() == table.n_positive
    assert bins.normal.sum() == table.n_negative
    for v, video in enumerate(maps):
        assert bins.anomalous[v].sum() == masks[video].sum()
        assert bins.normal[v].sum() == (~masks[video]).sum()
