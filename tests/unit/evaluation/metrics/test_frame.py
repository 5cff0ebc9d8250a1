"""AUROC, AP, EER and the ROC curve against pairwise counts, sweeps and scikit-learn; micro and macro."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from tests.baselines import random_scores
from tests.unit.evaluation import inputs, references
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import (
    average_precision,
    equal_error_rate,
    frame_auroc,
    macro,
    micro,
    per_video,
    roc_curve,
    undefined_videos,
)

METRICS = [
    (frame_auroc, references.auroc),
    (average_precision, references.average_precision),
    (equal_error_rate, references.equal_error_rate),
]


@pytest.mark.parametrize(("metric", "reference"), METRICS)
@given(data=inputs.frames())
@settings(max_examples=200)
def test_equals_its_reference(metric, reference, data):
    scores, labels = data
    value, expected = metric(scores, labels), reference(scores.tolist(), labels.tolist())
    assert math.isnan(value) == math.isnan(expected)
    assert math.isnan(value) or value == pytest.approx(expected, abs=1e-14)


@given(data=inputs.frames())
def test_auroc_is_the_correctly_rounded_fraction(data):
    scores, labels = data
    value, expected = frame_auroc(scores, labels), references.auroc(scores.tolist(), labels.tolist())
    assert value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.mark.parametrize("levels", [1, 3, 10, 10**9])
def test_equals_scikit_learn(levels):
    random = np.random.default_rng(levels)
    for _ in range(20):
        scores = random.integers(0, levels, 500) / 7
        labels = random.random(500) < random.uniform(0.05, 0.95)
        assert frame_auroc(scores, labels) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-14)
        assert average_precision(scores, labels) == pytest.approx(
            sklearn_metrics.average_precision_score(labels, scores), abs=1e-13
        )
        ours = roc_curve(scores, labels)
        theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_torchmetrics_agrees_until_it_squashes_raw_scores(scale: float) -> None:
    """Any value outside [0, 1] makes it take a sigmoid of the whole batch, in which large raw scores become equal."""
    rng = np.random.default_rng(0)
    labels = rng.random(2000) < 0.3
    scores = scale * (0.2 * rng.random(2000) + 0.8 * np.where(labels, rng.random(2000), rng.random(2000) ** 2))
    theirs = [
        f(torch.from_numpy(scores), torch.from_numpy(labels).int()) for f in (binary_auroc, binary_average_precision)
    ]
    ours = [frame_auroc(scores, labels), average_precision(scores, labels)]
    np.testing.assert_allclose(
        ours, [frame_auroc(scores / scale, labels), average_precision(scores / scale, labels)], rtol=1e-9
    )
    if scale == 1.0:
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    else:
        assert abs(float(theirs[0]) - ours[0]) > 0.05


def test_hand_computed():
    labels = [0, 1, 0, 1, 1]
    assert frame_auroc([1, 2, 3, 4, 5], labels) == 5 / 6
    assert frame_auroc([1, 3, 3, 4, 5], labels) == 5.5 / 6
    assert average_precision([1, 2, 3, 4, 5], labels) == pytest.approx((1 + 1 + 3 / 4) / 3)
    # The ROC has corners (0, 2/3), (1/2, 2/3), (1/2, 1): it meets FPR = 1 - TPR at FPR 1/3.
    assert equal_error_rate([1, 2, 3, 4, 5], labels) == pytest.approx(1 / 3)


def test_constant_scores():
    labels = np.array([True] * 3 + [False] * 7)
    assert frame_auroc(np.ones(10), labels) == 0.5
    assert average_precision(np.ones(10), labels) == pytest.approx(0.3)
    assert equal_error_rate(np.ones(10), labels) == 0.5


@pytest.mark.parametrize("metric", [m for m, _ in METRICS])
@pytest.mark.parametrize("labels", [[], [True], [False], [True] * 4, [False] * 4])
def test_one_class_is_undefined(metric, labels):
    assert math.isnan(metric(np.arange(len(labels), dtype=float), np.array(labels, dtype=bool)))


def test_signed_zeros_tie():
    assert frame_auroc([0.0, -0.0], [True, False]) == 0.5
    assert frame_auroc([-0.0, 0.0], [True, False]) == 0.5


def test_float64_is_kept():
    scores = 1 + np.arange(100) * 1e-10
    labels = np.arange(100) >= 50
    assert frame_auroc(scores, labels) == 1.0
    assert frame_auroc(scores.astype(np.float32), labels) == 0.5  # what a detour over float32 would have made of it


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("metric", [m for m, _ in METRICS])
def test_scores_that_are_not_finite_are_refused(metric, value):
    with pytest.raises(DataError, match=r"frame 2 is (nan|inf|-inf)"):
        metric([0.0, 1.0, value, 2.0], [False, True, False, True])
    with pytest.raises(DataError, match=r"video 'b' at frame 1"):
        micro(metric, {"a": [0.0], "b": [0.0, value]}, {"a": [True], "b": [True, False]})


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[1.0, 2.0]], [True, False], "shape"),
        (["a", "b"], [True, False], "type"),
        ([1.0, 2.0], [True], "2 scores"),
        ([1.0, 2.0], [0, 2], "frame 1 is 2"),
        ([1.0, 2.0], [0.0, float("nan")], "frame 1 is nan"),
    ],
)
def test_other_wrong_inputs_are_refused(scores, labels, message):
    with pytest.raises(DataError, match=message):
        frame_auroc(scores, labels)


@given(data=inputs.frames())
def test_inputs_are_left_alone_and_any_type_will_do(data):
    scores, labels = data
    before = scores.copy(), labels.copy()
    scores.flags.writeable = labels.flags.writeable = False
    value = frame_auroc(scores, labels)
    average_precision(scores, labels)
    equal_error_rate(scores, labels)
    roc_curve(scores, labels)
    macro(frame_auroc, {"a": scores}, {"a": labels}, "pad_all")
    assert scores.tobytes() == before[0].tobytes()
    assert labels.tobytes() == before[1].tobytes()
    again = frame_auroc(scores.tolist(), labels.astype(np.uint8))
    assert again == value or (math.isnan(again) and math.isnan(value))


@given(data=inputs.videos())
def test_micro_is_the_metric_of_all_frames(data):
    scores, labels = data
    value = micro(frame_auroc, scores, labels)
    every = np.concatenate(list(scores.values())), np.concatenate(list(labels.values()))
    expected = references.auroc(every[0].tolist(), every[1].tolist())
    assert value == expected or (math.isnan(value) and math.isnan(expected))


@given(data=inputs.videos())
def test_macro_skips_videos_of_one_class(data):
    scores, labels = data
    values = [references.auroc(scores[v].tolist(), labels[v].tolist()) for v in scores]
    defined = [v for v in values if not math.isnan(v)]
    assert len(undefined_videos(labels)) == len(values) - len(defined)
    value = macro(frame_auroc, scores, labels)
    assert (not defined and math.isnan(value)) or value == pytest.approx(sum(defined) / len(defined), abs=1e-14)


@given(data=inputs.videos())
def test_macro_does_not_depend_on_the_order_of_videos(data):
    scores, labels = data
    backwards = dict(reversed(list(scores.items())))
    for rule in ("skip", "pad_all", "one"):
        a, b = macro(frame_auroc, scores, labels, rule), macro(frame_auroc, backwards, labels, rule)
        assert a == b or (math.isnan(a) and math.isnan(b))


@given(data=inputs.frames(min_size=2))
def test_padding_with_extremes_has_its_closed_form(data):
    scores, labels = data
    p, n = int(labels.sum()), int((~labels).sum())
    own = references.auroc(scores.tolist(), labels.tolist()) if p and n else 0.0
    expected = (own * p * n + n + p + 1) / ((p + 1) * (n + 1))
    assert macro(frame_auroc, {"a": scores}, {"a": labels}, "pad_all") == pytest.approx(expected, abs=1e-14)


def test_the_rules_for_single_class_videos():
    scores = {"two": [0.2, 0.4, 0.3], "all": [0.1, 0.9], "none": [0.5, 0.2]}
    labels = {"two": [False, True, True], "all": [True, True], "none": [False, False]}
    own = [1.0, 1.0, 1.0]
    assert per_video(frame_auroc, scores, labels)["two"] == 1.0
    assert undefined_videos(labels) == ["all", "none"]
    assert macro(frame_auroc, scores, labels, "one") == 1.0
    assert macro(frame_auroc, scores, labels, "pad_needed") == sum(own) / 3
    # 0 lies below every score and 1 above: the same as extremes.
    assert macro(frame_auroc, scores, labels, "pad_0_1") == macro(frame_auroc, scores, labels, "pad_all")
    bad = {"two": [0.4, 0.2, 0.3], "all": [0.1, 0.9], "none": [0.5, 0.2]}
    assert macro(frame_auroc, bad, labels, "skip") == 0.0
    assert macro(frame_auroc, bad, labels, "one") == pytest.approx(2 / 3)
    assert macro(frame_auroc, bad, labels, "pad_needed") == pytest.approx(2 / 3)
    assert macro(frame_auroc, bad, labels, "pad_all") == pytest.approx((4 / 6 + 1 + 1) / 3)


def test_published_sentinels_are_literal():
    """Scores outside (0, 1) reach beyond a sentinel of 0 or 1, and the published padding then means something else."""
    scores, labels = {"a": [-5.0, 7.0, 8.0]}, {"a": [False, True, True]}
    literal = references.auroc([0, -5, 7, 8, 1], [False, False, True, True, True])
    assert macro(frame_auroc, scores, labels, "pad_0_1") == literal == 1.0
    inverted = {"a": [-5.0, -7.0, -8.0]}
    assert macro(frame_auroc, inverted, labels, "pad_0_1") == references.auroc(
        [0, -5, -7, -8, 1], [False, False, True, True, True]
    )
    assert macro(frame_auroc, inverted, labels, "pad_0_max") == references.auroc(
        [0, -5, -7, -8, sys.float_info.max], [False, False, True, True, True]
    )


def test_padding_reaches_beyond_the_largest_float():
    largest = sys.float_info.max
    scores, labels = {"a": [largest, -largest, largest]}, {"a": [False, True, True]}
    expected = references.auroc([-2, 1, -1, 1, 2], [False, False, True, True, True])
    assert macro(frame_auroc, scores, labels, "pad_all") == pytest.approx(expected)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ConfigError, match="pad_all"):
        macro(frame_auroc, {"a": [1.0]}, {"a": [True]}, "pad_al")


def test_videos_must_match():
    with pytest.raises(DataError, match=r"'01' has no labels.*Test001"):
        micro(frame_auroc, {"01": [1.0]}, {"Test001": [True]})
    with pytest.raises(DataError, match="'02' has no scores"):
        macro(frame_auroc, {"01": [1.0]}, {"01": [True], "02": [False]})


def test_nothing_at_all_is_undefined():
    assert math.isnan(micro(frame_auroc, {}, {}))
    assert math.isnan(macro(frame_auroc, {}, {}))


def test_padded_macro_of_random_scores_on_ped2_like_clips():
    """Two-thirds of the videos two-class, the others all anomalous: the padding alone lifts chance."""
    labels = {f"{i:02d}": np.arange(180) >= (60 if i < 8 else 0) for i in range(12)}
    values = [macro(frame_auroc, random_scores(labels, seed), labels, "pad_all") for seed in range(40)]
    assert np.mean(values) == pytest.approx((8 * (0.5 * 120 * 60 + 181) / (121 * 61) + 4) / 12, abs=0.005)
    assert np.mean([macro(frame_auroc, random_scores(labels, s), labels) for s in range(40)]) == pytest.approx(
        0.5, abs=0.01
    )
