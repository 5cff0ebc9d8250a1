"""The protocol card says for every protocol what the metrics say, and keeps the oracles apart."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.baselines import position_scores, random_scores
from vadbench.evaluation import (
    apply,
    average_precision,
    bootstrap,
    equal_error_rate,
    format_card,
    frame_auroc,
    load_protocol,
    load_protocols,
    macro,
    micro,
    protocol_card,
    protocol_names,
)


@pytest.fixture
def run():
    random = np.random.default_rng(0)
    labels = {f"{i:02d}": (np.arange(90) // 30) % 2 == 1 for i in range(6)}
    labels["05"][:] = True
    return {v: random.normal(size=90) + y + 9 for v, y in labels.items()}, labels


def test_each_row_is_what_the_metrics_say(run):
    scores, labels = run
    rows = protocol_card(scores, labels, "avenue", resamples=200)
    assert [row["protocol"] for row in rows] == protocol_names()
    raw = micro(frame_auroc, scores, labels)
    for row in rows:
        protocol = load_protocol(row["protocol"])
        found = apply(protocol, scores, labels, "avenue")
        expected = bootstrap(frame_auroc, found.scores, found.labels, 200)
        assert (row["auroc_micro"], row["ci_low"], row["ci_high"]) == (expected.value, expected.low, expected.high)
        assert row["auroc_macro"] == macro(frame_auroc, found.scores, found.labels, protocol.macro)
        assert row["ap"] == micro(average_precision, found.scores, found.labels)
        assert row["eer"] == micro(equal_error_rate, found.scores, found.labels)
        assert row["gain_over_raw"] == row["auroc_micro"] - raw
        assert row["n_frames"] == sum(s.size for s in found.scores.values())
        assert row["share_kept"] == row["n_frames"] / 540
        assert row["oracle"] == protocol.uses_test_labels
    assert rows[0]["protocol"] == "raw" and rows[0]["gain_over_raw"] == 0
    json.dumps(rows, allow_nan=True)


def test_oracles_come_last_and_are_called_so(run):
    rows = protocol_card(*run, resamples=50)
    assert [row["oracle"] for row in rows] == sorted(row["oracle"] for row in rows)
    text = format_card(rows)
    honest, oracles = text.split("Tuned on the test labels")
    assert "oracle_sigma" not in honest and "videopatchcore" not in honest
    assert "oracle_sigma" in oracles and "sigma=" in oracles
    assert max(r["auroc_micro"] for r in rows if r["protocol"] in ("raw", "gaussian")) <= max(
        r["auroc_micro"] for r in rows if r["protocol"] == "oracle_sigma"
    )


def test_protocols_that_assume_clips_say_so_below_the_table(run):
    rows = protocol_card(*run, protocols=load_protocols(["raw", "anomalib_fuvas"]), resamples=10)
    assert rows[0]["assumes"] is None
    assert rows[1]["assumes"] == {"clip_length": 13, "frame_step": 1, "clip_stride": 10, "target_frame": "last"}
    last = format_card(rows).splitlines()[-1]
    assert last == "anomalib_fuvas assumes clip_length=13, frame_step=1, clip_stride=10, target_frame=last"


def test_a_chosen_few_and_undefined_values(run):
    rows = protocol_card(*run, protocols=load_protocols(["hf2vad", "raw"]), resamples=50)
    assert [row["protocol"] for row in rows] == ["hf2vad", "raw"]
    one = protocol_card({"a": [0.1, 0.2]}, {"a": [True, True]}, resamples=10)
    assert math.isnan(one[0]["auroc_micro"])
    assert "n/a" in format_card(one)


def test_random_scores_depend_on_seed_and_video_alone():
    labels = {"a": np.zeros(50, bool), "b": np.zeros(50, bool)}
    first, alone = random_scores(labels, 3), random_scores({"b": labels["b"]}, 3)
    assert np.array_equal(first["b"], alone["b"])
    assert not np.array_equal(first["a"], first["b"])
    assert not np.array_equal(first["a"], random_scores(labels, 4)["a"])


def test_position():
    labels = {"a": np.array([False, True, True, True]), "b": np.zeros(0, bool)}
    assert position_scores(labels)["a"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert position_scores(labels)["b"].size == 0
