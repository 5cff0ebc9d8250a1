"""Every protocol does what its file says: each step against a plain reference, each claim against its deeds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation import inputs
from vadbench.config.compose import options
from vadbench.errors import ConfigError
from vadbench.evaluation import (
    apply,
    average_precision,
    frame_auroc,
    load_protocol,
    load_protocols,
    macro,
    micro,
    protocol_names,
)
from vadbench.evaluation.protocols.protocol import blank_reason, frames_ahead, parse_protocol
from vadbench.evaluation.protocols.steps import (
    DropStep,
    GaussianStep,
    GaussianTapsStep,
    MedianStep,
    MinMaxStep,
    SubsampleStep,
)

NAMES = protocol_names()
RAW = {
    "name": "x",
    "version": 1,
    "source": "test",
    "steps": [],
    "macro": "skip",
    "causal": True,
    "looks_at_whole_video": False,
    "uses_test_labels": False,
}


def made_of(*steps, **claims):
    return parse_protocol(RAW | {"steps": list(steps)} | claims)


def one(protocol, scores, dataset=None):
    labels = np.arange(len(scores)) % 3 == 0
    return apply(protocol, {"a": scores}, {"a": labels}, dataset).scores["a"]


def test_all_published_protocols_are_there_and_say_where_they_are_from():
    wanted = {"raw", "gaussian", "liu2018", "hf2vad", "ai_vad", "aed_mae", "stg_nf", "anomalib"}
    assert wanted <= set(NAMES)
    assert NAMES[0] == "raw"
    assert set(options("protocol")) == {*NAMES, "all"}
    for protocol in load_protocols("all"):
        assert protocol.version >= 1
        assert len(protocol.source) > 5
    assert [p.uses_test_labels for p in load_protocols("all")] == sorted(
        p.uses_test_labels for p in load_protocols("all")
    )
    assert load_protocol("all").card and not load_protocol("all").steps


@pytest.mark.parametrize("name", NAMES)
def test_yaml_is_loadable_through_the_command_line_too(name):
    from vadbench.config.compose import compose_values

    composed = compose_values(["dataset=synthetic", "backbone=flow_grid", f"protocol={name}"])["protocol"]
    assert parse_protocol(composed) == load_protocol(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", ["default", "ucsd_ped2", "avenue", "shanghaitech"])
def test_what_a_protocol_says_of_itself_is_what_it_does(name, dataset):
    """Change the future: a causal protocol's scores stay, another's may change only as far ahead as it says."""
    protocol = load_protocol(name)
    random = np.random.default_rng(0)
    n, at = 400, 250
    labels = {"a": random.random(n) < 0.4, "b": random.random(50) < 0.4}
    scores = {"a": random.random(n), "b": random.random(50)}
    changed = {"a": scores["a"].copy(), "b": scores["b"]}
    changed["a"][at:] = random.random(n - at) * 5
    before, after = (apply(protocol, s, labels, dataset) for s in (scores, changed))
    if protocol.uses_test_labels:
        return  # its choice depends on everything
    frames = before.frames["a"]
    assert np.array_equal(frames, after.frames["a"])
    differ = frames[before.scores["a"] != after.scores["a"]]
    ahead = frames_ahead(protocol, dataset)
    assert protocol.causal <= (ahead == 0)
    if ahead >= 0:
        assert differ.min() >= at - ahead
        if ahead:
            assert differ.min() < at
    else:
        assert protocol.looks_at_whole_video
        assert differ.min() == frames.min() or (differ < at - 100).any()


@pytest.mark.parametrize("name", NAMES)
@given(data=inputs.videos())
@settings(max_examples=20)
def test_nothing_is_changed_in_place_and_what_is_kept_is_aligned(name, data):
    scores, labels = data
    before = {v: (scores[v].tobytes(), labels[v].tobytes()) for v in scores}
    for array in [*scores.values(), *labels.values()]:
        array.flags.writeable = False
    found = apply(load_protocol(name), scores, labels)
    assert {v: (scores[v].tobytes(), labels[v].tobytes()) for v in scores} == before
    for video in scores:
        assert np.array_equal(found.labels[video], labels[video][found.frames[video]])
        assert found.scores[video].shape == found.labels[video].shape
        assert found.scores[video].dtype == np.float64


def test_labels_are_read_by_oracles_only():
    random = np.random.default_rng(0)
    scores = {"a": random.random(60), "b": random.random(60)}
    truths = [{v: random.random(60) < 0.4 for v in scores} for _ in range(2)]
    for protocol in load_protocols("all"):
        first, second = (apply(protocol, scores, y).scores for y in truths)
        if not protocol.uses_test_labels:
            assert all(np.array_equal(first[v], second[v]) for v in scores), protocol.name


def metrics_under(protocol, scores, labels, dataset):
    """Every number that the protocol could give, by the average that it is taken over."""
    found = apply(protocol, scores, labels, dataset)
    pooled = [micro(metric, found.scores, found.labels) for metric in (frame_auroc, average_precision)]
    return pooled, macro(frame_auroc, found.scores, found.labels, protocol.macro)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", ["default", "shanghaitech"])
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([-40.0, -0.5, 3.0]))
@settings(max_examples=10, deadline=None)
def test_an_added_constant_changes_nothing_unless_the_protocol_says_so(name, dataset, seed, shift):
    protocol = load_protocol(name)
    random = np.random.default_rng(seed)
    labels = {v: np.arange(n) % 50 >= 30 for v, n in (("a", 60), ("b", 75))} | {"c": np.zeros(40, bool)}
    scores = {v: random.random(y.size) + 0.3 * y for v, y in labels.items()}
    moved = {v: s + shift for v, s in scores.items()}
    (before, macro_before), (after, macro_after) = (
        metrics_under(protocol, s, labels, dataset) for s in (scores, moved)
    )
    averages = {average: blank_reason(protocol, {"a": [-1.0]}, average) is None for average in ("micro", "macro")}
    pairs = {"micro": (before, after), "macro": (macro_before, macro_after)}
    for average, (old, new) in pairs.items():
        if averages[average]:
            assert new == pytest.approx(old, abs=1e-9)
        elif shift == -40:  # below every fixed score
            assert new != pytest.approx(old, abs=1e-9)
    assert protocol.shift_invariant == all(averages.values())


def test_which_published_protocols_depend_on_zero():
    assert {p.name for p in load_protocols("all") if not p.shift_invariant} == {"aed_mae", "ai_vad", "hf2vad", "sspcab"}
    assert blank_reason(load_protocol("aed_mae"), {"a": [0.0, 1.0]}, "micro") is None
    assert blank_reason(load_protocol("sspcab"), {"a": [-1.0]}, "micro") is None
    reason = blank_reason(load_protocol("sspcab"), {"a": [3.0], "b": [-0.25]}, "macro")
    assert "sspcab" in reason and "-0.25" in reason


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ({"steps": [{"kind": "median", "size": 3}], "causal": False}, False),
        ({"steps": [{"kind": "gaussian_taps", "taps": 5, "sigma": 2}], "causal": False}, False),
        ({"macro": "pad_0_1"}, False),
        ({"macro": "pad_0_max"}, False),
        ({"macro": "pad_all"}, True),
        ({"steps": [{"kind": "gaussian", "sigma": 2}], "causal": False}, True),
    ],
)
def test_shift_invariance_cannot_be_claimed_either(change, truth):
    assert made_of(**(change | {"shift_invariant": truth})).shift_invariant == truth
    with pytest.raises(ConfigError, match=f"shift_invariant={not truth}"):
        made_of(**(change | {"shift_invariant": not truth}))


@pytest.mark.parametrize("claim", ["causal", "looks_at_whole_video", "uses_test_labels"])
def test_a_protocol_cannot_claim_what_it_does_not_do(claim):
    steps = [
        {"kind": "minmax", "over": "video"},
        {"kind": "oracle_gaussian", "sigmas": [0, 1]},
    ]
    truth = {"causal": False, "looks_at_whole_video": True, "uses_test_labels": True}
    made_of(*steps, **truth)
    with pytest.raises(ConfigError, match=f"{claim}={not truth[claim]}"):
        made_of(*steps, **(truth | {claim: not truth[claim]}))


def test_gaussian_is_a_mirrored_window_of_four_sigma():
    scores, sigma = np.random.default_rng(0).random(50), 3.0
    radius = 12
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    mirrored = np.concatenate([scores[::-1][-radius:], scores, scores[::-1][:radius]])
    expected = [mirrored[t : t + 2 * radius + 1] @ weight / weight.sum() for t in range(50)]
    protocol = made_of({"kind": "gaussian", "sigma": sigma}, causal=False)
    np.testing.assert_allclose(one(protocol, scores), expected, atol=1e-12)


def _slowly_smoothed(scores, sigma, past):
    """One frame after the other: neighbours up to 4 sigma away, mirrored at the ends, or only those before."""
    reach, n = int(4 * sigma + 0.5), len(scores)
    mirrored = [*range(n), *range(n - 1, -1, -1)]
    smoothed = []
    for t in range(n):
        offsets = range(-min(reach, t), 1) if past else range(-reach, reach + 1)
        weights = [np.exp(-0.5 * (k / sigma) ** 2) for k in offsets]
        values = [scores[mirrored[(t + k) % (2 * n)]] for k in offsets]
        smoothed.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return smoothed


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("window", ["both", "past"])
def test_a_window_of_one_frame_and_less_smooths_too(sigma, window):
    scores = np.random.default_rng(4).random(12)
    step = {"kind": "gaussian", "sigma": sigma, "window": window}
    smoothed = one(made_of(step, causal=window == "past"), scores)
    assert np.allclose(smoothed, _slowly_smoothed(scores, sigma, window == "past"), rtol=0, atol=1e-12)
    assert np.abs(smoothed - scores).max() > (0.2 if sigma >= 1 else 1e-4)


def test_past_window_sees_no_future_and_keeps_constants():
    protocol = load_protocol("gaussian_causal")
    scores = np.random.default_rng(0).random(30)
    weight = np.exp(-0.5 * (np.arange(13) / 3.0) ** 2)
    expected = []
    for t in range(30):
        seen = scores[max(t - 12, 0) : t + 1][::-1]
        expected.append(seen @ weight[: seen.size] / weight[: seen.size].sum())
    np.testing.assert_allclose(one(protocol, scores), expected, atol=1e-12)
    np.testing.assert_allclose(one(protocol, np.full(30, 0.7)), 0.7)


@pytest.mark.parametrize("name", ["gaussian", "gaussian_causal", "stg_nf", "aed_mae"])
def test_smoothing_keeps_huge_scores_finite(name):
    scores = np.where(np.arange(60) % 7 < 3, 1.7e308, -1.7e308)
    found = one(load_protocol(name), scores)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found / 1e308, one(load_protocol(name), scores / 1e308), atol=1e-12)


def test_data_sets_have_their_own_values_and_a_default():
    scores = np.random.default_rng(0).random(80)
    named = {d: one(load_protocol("gaussian"), scores, d) for d in ("ucsd_ped2", "avenue", "shanghaitech", "my_own")}
    assert np.array_equal(named["ucsd_ped2"], named["my_own"])
    assert not np.array_equal(named["ucsd_ped2"], named["shanghaitech"])
    seven = made_of({"kind": "gaussian", "sigma": 7}, causal=False)
    assert np.array_equal(named["shanghaitech"], one(seven, scores))
    with pytest.raises(ConfigError, match="default"):
        made_of({"kind": "gaussian", "sigma": {"avenue": 3}}, causal=False)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_hf2vad_is_scipys_median_filter_after_four_frames(n, seed):
    scores = np.random.default_rng(seed).normal(size=n)
    found = one(load_protocol("hf2vad"), scores)
    kept = scores[4:]
    if kept.size == 0:
        assert found.size == 0
        return
    padded = np.concatenate([np.zeros(8), kept, np.zeros(8)])
    expected = [np.median(padded[t : t + 17]) for t in range(kept.size)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    if kept.size >= 17:
        np.testing.assert_allclose(found, scipy.signal.medfilt(kept, 17), atol=1e-12)


def test_liu2018_scales_each_video_after_its_first_four_frames():
    scores = {"a": np.array([9.0, 9, 9, 9, 2, 4, 3]), "b": np.array([0.0, 0, 0, 0, 100, 300]), "c": np.full(6, 5.0)}
    found = apply(load_protocol("liu2018"), scores, {v: np.zeros(s.size, bool) for v, s in scores.items()})
    assert {v: s.tolist() for v, s in found.scores.items()} == {"a": [0, 1, 0.5], "b": [0, 1], "c": [0, 0]}
    assert found.frames["a"].tolist() == [4, 5, 6]
    assert np.concatenate(list(scores.values())).max() == 300


def test_stg_nf_is_a_cascade_like_one_wide_gaussian():
    impulse = np.zeros(301)
    impulse[150] = 1
    found = one(load_protocol("stg_nf"), impulse)
    deviation = np.sqrt(((np.arange(301) - 150) ** 2 * found).sum())
    assert deviation == pytest.approx(9.5, abs=0.1)


def test_aed_mae_sags_at_the_ends_and_scales_shanghaitech_only():
    flat = np.ones(100)
    avenue = one(load_protocol("aed_mae"), flat, "avenue")
    assert avenue[50] == pytest.approx(1) and avenue[0] < 0.6 and avenue[-1] < 0.6
    scores = np.random.default_rng(0).random(100) + 3
    assert one(load_protocol("aed_mae"), scores, "avenue").min() > 0
    scaled = one(load_protocol("aed_mae"), scores, "shanghaitech")
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert scaled.size == 100
    taps = np.exp(-0.5 * (np.arange(-18, 19) / 11) ** 2)
    padded = np.concatenate([np.zeros(18), scores, np.zeros(18)])
    expected = [padded[t : t + 37] @ taps / taps.sum() for t in range(100)]
    np.testing.assert_allclose(one(load_protocol("aed_mae"), scores, "avenue"), expected, atol=1e-12)


def test_anomalib_keeps_201_and_189_frames_of_ped2():
    lengths = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
    first = [61, 95, 1, 31, 1, 1, 46, 1, 1, 1, 1, 88]
    last = [180, 180, 146, 180, 129, 159, 180, 180, 120, 150, 180, 180]
    labels = {}
    for i, (n, a, b) in enumerate(zip(lengths, first, last, strict=True)):
        labels[f"{i:02d}"] = (np.arange(1, n + 1) >= a) & (np.arange(1, n + 1) <= b)
    assert sum(y.sum() for y in labels.values()) == 1648
    scores = {v: np.arange(y.size, dtype=float) for v, y in labels.items()}
    for name, frames, anomalous in (("anomalib", 201, 164), ("anomalib_fuvas", 189, 157)):
        found = apply(load_protocol(name), scores, labels)
        assert sum(s.size for s in found.scores.values()) == frames
        assert sum(y.sum() for y in found.labels.values()) == anomalous


def test_oracle_takes_the_sigma_that_is_best_on_the_test_labels():
    random = np.random.default_rng(0)
    labels = {v: (np.arange(120) // 30) % 2 == 1 for v in "ab"}
    scores = {v: random.normal(size=120) + 0.7 * y for v, y in labels.items()}
    found = apply(load_protocol("oracle_sigma"), scores, labels)
    tried = {}
    for sigma in range(20):
        protocol = made_of({"kind": "gaussian", "sigma": sigma}, causal=sigma == 0)
        tried[sigma] = micro(frame_auroc, apply(protocol, scores, labels).scores, labels)
    assert found.chosen["sigma"] == max(tried, key=tried.get)
    assert micro(frame_auroc, found.scores, labels) == max(tried.values())


def test_smoothing_across_videos_mixes_them():
    labels = {v: np.zeros(20, bool) for v in "ab"}
    scores = {"a": np.zeros(20), "b": np.ones(20)}
    across = made_of({"kind": "gaussian", "sigma": 2, "over": "all_videos"}, causal=False, looks_at_whole_video=True)
    found = apply(across, scores, labels).scores
    assert found["a"][-1] > 0.3 and found["b"][0] < 0.7
    alone = made_of({"kind": "gaussian", "sigma": 2}, causal=False)
    assert apply(alone, scores, labels).scores["a"].max() == 0


def test_steps_that_drop_frames_mean_frame_numbers():
    """Scores that lack their first four frames are not robbed of four more."""
    labels, scores = {"a": np.zeros(6, bool)}, {"a": np.arange(6.0)}
    frames = {"a": np.arange(4, 10)}
    assert apply(load_protocol("liu2018"), scores, labels, None, frames).frames["a"].tolist() == [4, 5, 6, 7, 8, 9]
    every = made_of({"kind": "subsample", "start": 1, "every": 3})
    assert apply(every, scores, labels, None, frames).frames["a"].tolist() == [4, 7]
    ends = made_of({"kind": "drop", "first": 5, "last": 2})
    assert apply(ends, scores, labels, None, frames).frames["a"].tolist() == [5, 6, 7]


def test_videos_shorter_than_what_is_dropped_are_empty_not_wrong():
    found = apply(load_protocol("liu2018"), {"a": np.arange(3.0)}, {"a": np.zeros(3, bool)})
    assert found.scores["a"].size == found.labels["a"].size == found.frames["a"].size == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "x", "steps": [{"kind": "gausian", "sigma": 3}]}, "gausian"),
        ({"steps": [{"kind": "gaussian", "sigma": -1}]}, "greater than or equal to 0"),
        ({"steps": [{"kind": "gaussian", "sigma": float("nan")}]}, "steps"),
        ({"steps": [{"kind": "median", "size": 4}]}, "odd"),
        ({"steps": [{"kind": "subsample", "start": 0, "every": 0}]}, "every"),
        ({"steps": [{"kind": "gaussian", "sigma": 1, "sgima": 2}]}, "sgima"),
        ({"macro": "padded"}, "macro"),
        ({"version": 0}, "version"),
    ],
)
def test_wrong_files_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_protocol(RAW | change, "mine.yaml")


def test_an_unknown_protocol_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Did you mean: gaussian"):
        load_protocol("gausian")


def test_step_types_have_their_bounds():
    assert GaussianStep(kind="gaussian", sigma=0).sigma == 0
    assert MedianStep(kind="median", size=17).size == 17
    assert DropStep(kind="drop").last == 0
    assert SubsampleStep(kind="subsample", start=0, every=1).every == 1
    assert MinMaxStep(kind="minmax", over="video").datasets is None
    assert GaussianTapsStep(kind="gaussian_taps", taps=3, sigma=1).taps == 3
