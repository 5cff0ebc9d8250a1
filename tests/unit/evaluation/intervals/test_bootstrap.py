"""Intervals over videos: equal to writing every resample out, fast, and covering what they say."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from scipy.signal import lfilter

from tests.unit.evaluation import inputs
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import (
    average_precision,
    bootstrap,
    equal_error_rate,
    frame_auroc,
    macro,
    micro,
    paired_bootstrap,
)
from vadbench.evaluation.intervals import interval as interval_module
from vadbench.evaluation.intervals.bootstrap import _resampler
from vadbench.evaluation.intervals.interval import FEW_NOTE, WIDE_NOTE, degrees_of_freedom, interval, video_counts
from vadbench.evaluation.intervals.pixel_bins import centred
from vadbench.evaluation.intervals.resampled import pair_auroc, pair_counts

METRICS = [frame_auroc, average_precision, equal_error_rate]


def autocorrelated(random, n_videos, frames=150, shift=1.0, inverted=False):
    """Videos whose frames hang together: AR(1) noise, a level and an anomaly strength of their own, one event each.

    ``inverted``: each with a chance of one in twelve.
    """
    scores, labels = {}, {}
    for v in range(n_videos):
        n = int(random.integers(frames // 2, frames * 3 // 2))
        steps, level = random.normal(size=n), random.normal() * 0.5
        steps[1:] *= math.sqrt(1 - 0.95**2)
        noise = lfilter([1.0], [1.0, -0.95], steps)  # each frame 0.95 of the one before, and something new
        length = int(n * random.beta(2, 2))
        start = int(random.integers(0, n - length + 1))
        y = np.zeros(n, bool)
        y[start : start + length] = True
        strength = shift + 0.5 * random.normal()
        if inverted and random.random() < 1 / 12:
            strength -= 2 * shift
        scores[f"{v:03d}"], labels[f"{v:03d}"] = noise + level + y * strength, y
    return scores, labels


def written_out(metric, scores, labels, counts):
    """The metric of one resample, its videos concatenated as often as they were drawn."""
    drawn = [v for v, times in zip(scores, counts, strict=True) for _ in range(int(times))]
    return metric(np.concatenate([scores[v] for v in drawn]), np.concatenate([labels[v] for v in drawn]))


@pytest.mark.parametrize("metric", METRICS)
@given(data=inputs.videos(max_videos=5))
@settings(max_examples=30)
def test_each_resample_equals_writing_it_out(metric, data):
    scores, labels = data
    counts = video_counts(len(scores), 12, seed=1)
    fast = _resampler(metric, scores, labels, "micro", "skip")(counts)
    slow = np.array([written_out(metric, scores, labels, row) for row in counts])
    np.testing.assert_allclose(fast, slow, atol=1e-12)


@pytest.mark.parametrize("rule", ["skip", "pad_all", "one"])
def test_macro_resamples_average_the_drawn_videos(rule):
    scores, labels = autocorrelated(np.random.default_rng(0), 6, 30)
    labels["000"][:] = True
    counts = video_counts(6, 10, seed=1)
    fast = _resampler(frame_auroc, scores, labels, "macro", rule)(counts)
    for value, row in zip(fast, counts, strict=True):
        drawn = {f"{v}-{i}": v for v, times in zip(scores, row, strict=True) for i in range(int(times))}
        slow = macro(
            frame_auroc, {k: scores[v] for k, v in drawn.items()}, {k: labels[v] for k, v in drawn.items()}, rule
        )
        assert value == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_value_is_the_metric_itself_and_the_interval_is_seeded(metric):
    scores, labels = autocorrelated(np.random.default_rng(0), 12)
    found = bootstrap(metric, scores, labels, resamples=300)
    assert found.value == micro(metric, scores, labels)
    assert found.low < found.value < found.high
    assert found == bootstrap(metric, dict(reversed(scores.items())), labels, resamples=300)
    assert found != bootstrap(metric, scores, labels, resamples=300, seed=1)
    assert (found.n_videos, found.resamples, found.undefined) == (12, 300, 0)


def test_any_other_metric_works_too():
    scores, labels = autocorrelated(np.random.default_rng(0), 8, 40)
    found = bootstrap(lambda s, y: float(s[y].mean() - s[~y].mean()), scores, labels, resamples=100)
    assert found.low < found.value < found.high
    assert found.value - found.low == pytest.approx(found.high - found.value)  # on its own scale, which has no ends


def test_a_wider_level_is_wider():
    scores, labels = autocorrelated(np.random.default_rng(0), 12)
    wide, narrow = (bootstrap(frame_auroc, scores, labels, level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_video_and_one_class_have_no_interval():
    one = bootstrap(frame_auroc, {"a": [0.1, 0.2, 0.3]}, {"a": [False, True, False]}, resamples=10)
    assert (one.value, math.isnan(one.low), one.method) == (0.5, True, "none")
    none = bootstrap(frame_auroc, {"a": [0.1], "b": [0.2]}, {"a": [True], "b": [True]}, resamples=10)
    assert math.isnan(none.value) and math.isnan(none.low) and none.undefined == 10


def test_a_video_without_frames_is_no_video():
    scores, labels = autocorrelated(np.random.default_rng(0), 5, 40)
    expected = bootstrap(frame_auroc, scores, labels, resamples=50)
    empty = {**scores, "zzz": np.zeros(0)}, {**labels, "zzz": np.zeros(0, bool)}
    assert bootstrap(frame_auroc, *empty, resamples=50) == expected
    one = bootstrap(frame_auroc, {"a": [0.1, 0.2], "b": []}, {"a": [True, False], "b": []}, resamples=50)
    assert (one.n_videos, one.method) == (1, "none")
    nothing = bootstrap(frame_auroc, {"a": []}, {"a": []}, resamples=5)
    assert math.isnan(nothing.value) and nothing.method == "none"


def test_resamples_of_one_class_are_counted_and_left_out():
    scores = {"a": [0.1, 0.4], "b": [0.3, 0.2], "c": [0.9, 0.8]}
    labels = {"a": [False, False], "b": [False, False], "c": [True, True]}
    found = bootstrap(frame_auroc, scores, labels, resamples=500)
    # Without c there are no positives, with c alone no negatives: (2/3)^3 + (1/3)^3 of the draws.
    assert found.undefined == pytest.approx(500 * (8 + 1) / 27, abs=40)
    assert found.value == 1.0 and math.isnan(found.low)


def test_a_perfect_score_has_no_interval_of_no_width():
    scores = {str(v): [0.0, 1.0] for v in range(10)}
    found = bootstrap(frame_auroc, scores, {v: [False, True] for v in scores})
    assert found.value == 1.0 and math.isnan(found.low) and math.isnan(found.high)
    assert (found.method, found.notes) == ("none", ("no interval: the videos show no spread",))
    assert (found.video_low, found.video_high, found.without_low, found.without_high) == (1, 1, 1, 1)


@pytest.mark.parametrize(("n", "has"), [(1, False), (2, False), (4, False), (5, True), (11, True), (12, True)])
def test_fewer_than_five_videos_have_no_interval_and_fewer_than_twelve_say_what_it_lacks(n, has):
    scores, labels = autocorrelated(np.random.default_rng(3), n, 60)
    for metric in METRICS:
        found = bootstrap(metric, scores, labels, resamples=200)
        assert (not math.isnan(found.low), found.method != "none") == (has, has)
        if not has:
            videos = "1 test video" if n == 1 else f"{n} test videos"
            assert found.notes == (f"no interval: {videos} with a value, at least 5 are needed",)
        assert (FEW_NOTE in found.notes) == (has and n < 12)
    assert math.isnan(paired_bootstrap(frame_auroc, scores, scores, labels, 50).low) == (not has)


@pytest.mark.parametrize("name", ["normal", "anomalous"])
def test_a_class_that_fewer_than_four_videos_hold_has_no_interval(name):
    scores, labels = autocorrelated(np.random.default_rng(3), 15, 60)
    rare = name == "anomalous"
    for holders in (3, 4):
        for i, y in enumerate(labels.values()):
            y[:] = not rare
            y[:5] = rare if i < holders else not rare
        found = bootstrap(frame_auroc, scores, labels, resamples=200)
        assert math.isnan(found.low) == (holders == 3)
        if holders == 3:
            assert found.notes == (f"no interval: the {name} frames come from 3 test videos, at least 4 are needed",)


def test_a_macro_average_counts_the_videos_that_have_a_value():
    scores, labels = autocorrelated(np.random.default_rng(3), 12, 60)
    for y in list(labels.values())[4:]:
        y[:] = False
    found = bootstrap(frame_auroc, scores, labels, resamples=50, average="macro")
    assert found.n_videos == 4 and math.isnan(found.low) and not math.isnan(found.value)
    padded = bootstrap(frame_auroc, scores, labels, resamples=50, average="macro", single_class="one")
    assert padded.n_videos == 12 and not math.isnan(padded.low)


def test_a_wide_interval_says_that_the_number_means_little():
    scores, labels = autocorrelated(np.random.default_rng(0), 12)
    assert bootstrap(frame_auroc, scores, labels).notes == ()
    scores["000"] = 100.0 * ~labels["000"]
    wide = bootstrap(frame_auroc, scores, labels)
    assert wide.high - wide.low > 0.3 and wide.notes == (WIDE_NOTE,)


@pytest.mark.parametrize("metric", METRICS)
def test_ranges_of_single_videos_and_with_one_left_out(metric):
    """Against writing them out; a video of one class has no value of its own, but is left out in its turn."""
    scores, labels = autocorrelated(np.random.default_rng(5), 7, 60)
    labels["002"][:] = False
    found = bootstrap(metric, scores, labels, resamples=20)
    alone = [metric(scores[v], labels[v]) for v in scores if v != "002"]
    left = [micro(metric, *({w: part[w] for w in scores if w != v} for part in (scores, labels))) for v in scores]
    assert (found.video_low, found.video_high) == pytest.approx((min(alone), max(alone)))
    assert (found.without_low, found.without_high) == pytest.approx((min(left), max(left)))


@given(seed=inputs.st.integers(0, 10**6), n=inputs.st.integers(5, 14), size=inputs.st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_ends_of_a_share_stay_inside_zero_and_one_around_the_value(seed, n, size):
    """Also where binned draws had to be moved to the exact value (see ``centred``): a TBDC of -0.0007 was printed."""
    random = np.random.default_rng(seed)
    values = random.random(n) ** (4.0**size)
    values = values if seed % 2 else 1 - values
    binned, value = np.round(values, 1), float(values.mean())
    draw = centred(lambda counts: counts @ binned / counts.sum(axis=1), value, n)
    found = interval(draw, n, value, 200, seed)
    assert 0 <= found.video_low <= found.video_high <= 1 and 0 <= found.without_low <= found.without_high <= 1
    if np.ptp(binned) > 0:
        assert 0 <= found.low < value < found.high <= 1
    else:
        assert math.isnan(found.low)


def test_error_and_degrees_of_freedom_by_hand():
    """A mean of values: the resamples' standard deviation is the population's by √V, and so on down to the ends."""
    values = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 2.0])
    found = interval(lambda c: c @ values / c.sum(axis=1), 6, 3.0, 60_000, share=False)
    pull = (values - 3) / 5  # left out, a value moves the mean of the others by a fifth of its deviation
    freedom = 1.75 * 5 / 6 * (pull**2).sum() ** 2 / (pull**4).sum()
    assert degrees_of_freedom(3 - pull) == pytest.approx(freedom)
    half = scipy.stats.t.ppf(0.975, freedom) * values.std(ddof=1) / math.sqrt(6)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=0.01)


def test_degrees_of_freedom_count_the_videos_that_make_the_error():
    assert degrees_of_freedom(np.array([0.9] * 6 + [0.7] * 6)) == 11  # all alike: no more than V - 1
    assert degrees_of_freedom(np.array([0.9] * 99 + [0.1])) == pytest.approx(1.75, abs=0.05)  # one of a hundred
    assert degrees_of_freedom(np.full(8, 0.5)) == 7
    few, many = (degrees_of_freedom(np.random.default_rng(0).normal(size=n)) for n in (12, 2000))
    assert 4 < few < 11 and many == pytest.approx(1.75 * 2000 / 3, rel=0.1)


def test_paired_differences_are_those_of_the_same_resamples():
    random = np.random.default_rng(0)
    first, labels = autocorrelated(random, 10)
    second = {v: s + 0.3 * labels[v] for v, s in first.items()}
    found = paired_bootstrap(frame_auroc, first, second, labels)
    assert found.value == micro(frame_auroc, second, labels) - micro(frame_auroc, first, labels)
    assert 0 < found.low < found.value < found.high
    assert found.share_above_zero == 1.0
    alone = [bootstrap(frame_auroc, s, labels) for s in (first, second)]
    assert alone[0].high > alone[1].low  # apart the two could not be told from each other
    same = paired_bootstrap(frame_auroc, first, first, labels)
    assert (same.value, same.low, same.high, same.share_above_zero) == (0, 0, 0, 0)
    with pytest.raises(DataError, match="second scores"):
        paired_bootstrap(frame_auroc, first, {"x": [1.0]}, labels)


def test_options_are_checked():
    scores, labels = {"a": [0.1, 0.2]}, {"a": [True, False]}
    with pytest.raises(ConfigError, match="resamples"):
        bootstrap(frame_auroc, scores, labels, resamples=0)
    with pytest.raises(ConfigError, match="average"):
        bootstrap(frame_auroc, scores, labels, average="mean")
    with pytest.raises(ConfigError, match="level"):
        bootstrap(frame_auroc, scores, labels, level=95)
    with pytest.raises(DataError, match="no videos"):
        bootstrap(frame_auroc, {}, {})


def over_frames(scores, labels, resamples, seed):
    """The bootstrap that one must not use here: single frames with replacement, plain percentiles."""
    s, y = np.concatenate(list(scores.values())), np.concatenate(list(labels.values()))
    random = np.random.default_rng(seed)
    drawn = [random.integers(0, s.size, s.size) for _ in range(resamples)]
    values = [frame_auroc(s[i], y[i]) for i in drawn]
    return np.quantile(values, [0.025, 0.975])


def test_coverage_on_autocorrelated_videos():
    """95% intervals hold what they say when whole videos vary; single frames as units would cover a third of it."""
    random = np.random.default_rng(11)
    truth = micro(frame_auroc, *autocorrelated(random, 3000))
    runs, hits, frame_hits, frame_runs = 400, 0, 0, 60
    for run in range(runs):
        scores, labels = autocorrelated(random, 30)
        found = bootstrap(frame_auroc, scores, labels, resamples=1000, seed=run)
        hits += found.low <= truth <= found.high
        if run < frame_runs:
            low, high = over_frames(scores, labels, 60, run)
            frame_hits += low <= truth <= high
    assert 0.92 <= hits / runs <= 0.97
    assert frame_hits / frame_runs < 0.7


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("n_videos", "shift", "inverted"),
    [(12, 1.0, False), (24, 2.0, False), (60, 1.0, False), (12, 2.0, True), (36, 2.0, True)],
)
def test_coverage_for_other_numbers_of_videos(n_videos, shift, inverted):
    """Also where one video in twelve is inverted: the anomaly lowers its scores."""
    random = np.random.default_rng(n_videos)
    truth = micro(frame_auroc, *autocorrelated(random, 6000, shift=shift, inverted=inverted))
    hits = 0
    for run in range(1000):
        scores, labels = autocorrelated(random, n_videos, shift=shift, inverted=inverted)
        found = bootstrap(frame_auroc, scores, labels, resamples=1000, seed=run)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 1000 <= 0.97


@pytest.mark.bench
def test_two_thousand_resamples_of_a_large_set_take_seconds():
    """107 videos with 40,791 frames, as ShanghaiTech has: all metrics of a run together."""
    random = np.random.default_rng(0)
    lengths = np.diff(np.concatenate([[0], np.sort(random.choice(np.arange(1, 40_791), 106, replace=False)), [40_791]]))
    labels = {f"{i:03d}": random.random(n) < 0.42 for i, n in enumerate(lengths)}
    scores = {v: random.normal(size=y.size) + y for v, y in labels.items()}
    start = time.process_time()
    for metric in METRICS:
        bootstrap(metric, scores, labels)
    bootstrap(frame_auroc, scores, labels, average="macro")
    assert time.process_time() - start < 10  # CPU seconds; two cores have ten of them in five


def test_interval_of_a_plain_mean_agrees_with_student():
    """Where the answer is known: the mean of normal values has Student's interval."""
    random, hits = np.random.default_rng(4), 0
    for run in range(300):
        values = random.normal(size=10)
        draw = lambda counts, v=values: counts @ v / counts.sum(axis=1)  # noqa: E731
        found = interval(draw, 10, values.mean(), 1000, run, share=False)
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 300 <= 0.98


def test_equal_resamples_are_computed_once_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six videos there are 462 different resamples."""
    rng = np.random.default_rng(0)
    scores = {f"v{i}": rng.normal(size=50) + 0.1 * i for i in range(6)}
    labels = {video: rng.random(50) < 0.4 for video in scores}
    asked: list[int] = []

    def counted(rows):
        draw = pair_auroc(*pair_counts(rows))

        def of(counts):
            asked.append(len(counts))
            return draw(counts)

        return of

    rows = [(scores[v], labels[v]) for v in scores]
    once = interval(counted(rows), 6, 0.6)
    assert sum(asked) <= 462 + 6 + 6
    monkeypatch.setattr(interval_module, "_each_once", lambda draw: draw)
    each = interval(counted(rows), 6, 0.6)
    assert sum(asked) >= 2000
    assert (once.low, once.high) == pytest.approx((each.low, each.high), rel=1e-9)
