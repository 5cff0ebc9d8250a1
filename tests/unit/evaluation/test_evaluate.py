"""One call that a run needs: what it reports is what the single metrics say."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import (
    apply,
    aupro,
    average_precision,
    bootstrap,
    detection_delay,
    equal_error_rate,
    evaluate,
    f1_at,
    frame_auroc,
    load_protocol,
    macro,
    micro,
    pixel_auroc,
    pixel_criterion,
    rbdc_tbdc,
    rbdc_tbdc_from_maps,
    tracks_from_masks,
    training_threshold,
)
from vadbench.evaluation.map_metrics import pixel_metric_entries
from vadbench.runs.run_folder import plain


@pytest.fixture(scope="module")
def run():
    random = np.random.default_rng(0)
    masks, maps = {}, {}
    for i in range(6):
        frames = int(random.integers(20, 40))
        masks[f"{i:02d}"] = np.zeros((frames, 24, 32), bool)
        if i != 2:
            masks[f"{i:02d}"][frames // 2 :, 5:12, 6:15] = True
        maps[f"{i:02d}"] = random.random((frames, 24, 32)).astype(np.float32) + 0.2 * masks[f"{i:02d}"]
    return (
        {v: m.mean(axis=(1, 2)).astype(np.float64) for v, m in maps.items()},
        {v: m.any(axis=(1, 2)) for v, m in masks.items()},
        maps,
        masks,
    )


@pytest.mark.parametrize("name", ["raw", "gaussian", "ai_vad", "liu2018"])
def test_frame_metrics_are_those_of_the_protocol(run, name):
    scores, labels, _, _ = run
    found = evaluate(scores, labels, primary=name, protocols=[], resamples=100)
    protocol = load_protocol(name)
    applied = apply(protocol, scores, labels)
    expected = {
        "frame_auroc_micro": micro(frame_auroc, applied.scores, applied.labels),
        "frame_auroc_macro": macro(frame_auroc, applied.scores, applied.labels, protocol.macro),
        "frame_ap": micro(average_precision, applied.scores, applied.labels),
        "frame_eer": micro(equal_error_rate, applied.scores, applied.labels),
    }
    delay = detection_delay(applied.scores, applied.labels, 0.01)
    entry = found.metrics.pop("detection_delay")
    assert repr((entry["value"], entry["detected"], entry["n_events"])) == repr(
        (delay.mean, delay.detected, delay.n_events)
    )
    assert {k: v["value"] for k, v in found.metrics.items()} == expected
    assert {v["protocol"] for v in found.metrics.values()} == {name}
    interval = bootstrap(frame_auroc, applied.scores, applied.labels, 100)
    entry = found.metrics["frame_auroc_micro"]
    assert (entry["ci_low"], entry["ci_high"]) == (interval.low, interval.high)
    skipped = found.metrics["frame_auroc_macro"]["undefined_videos"]
    assert skipped == (["02"] if protocol.macro == "skip" else [])
    assert found.metrics["frame_auroc_macro"]["n_videos"] == 6 - len(skipped)
    assert found.card == []


def test_all_means_raw_and_the_card(run):
    scores, labels, _, _ = run
    found = evaluate(scores, labels, primary="all", resamples=50)
    assert found.metrics["frame_auroc_micro"]["protocol"] == "raw"
    assert found.card[0]["protocol"] == "raw"
    assert found.card[0]["auroc_micro"] == found.metrics["frame_auroc_micro"]["value"]
    assert len(found.card) >= 12


def test_per_video_table(run):
    scores, labels, _, _ = run
    table = evaluate(scores, labels, protocols=[], resamples=20).per_video.set_index("video")
    for video in scores:
        row = table.loc[video]
        assert (row["n_frames"], row["n_anomalous"]) == (scores[video].size, labels[video].sum())
        expected = frame_auroc(scores[video], labels[video])
        assert row["auroc"] == expected or (math.isnan(expected) and math.isnan(row["auroc"]))
    assert math.isnan(table.loc["02", "ap"])


def test_baselines_and_coverage(run):
    scores, labels, _, _ = run
    energy = {v: np.arange(s.size, dtype=float) for v, s in scores.items()}
    filled = {v: np.arange(s.size) < 3 for v, s in scores.items()}
    found = evaluate(
        scores, labels, protocols=[], frame_baselines={"frame_difference": energy}, filled_by_video=filled, resamples=20
    )
    assert set(found.baselines) == {"random", "position", "frame_difference"}
    assert found.baselines["frame_difference"]["value"] == micro(frame_auroc, energy, labels)
    frames = sum(s.size for s in scores.values())
    assert found.coverage == {"frames": frames, "filled": 18, "kept": frames}
    smoothed = evaluate(scores, labels, primary="liu2018", protocols=[], resamples=20)
    assert smoothed.baselines["random"]["protocol"] == "liu2018"
    assert smoothed.coverage["kept"] == frames - 24


def test_pixel_metrics_are_raw_and_have_intervals(run):
    scores, labels, maps, masks = run
    found = evaluate(
        scores, labels, primary="gaussian", protocols=[], maps_by_video=maps, masks_by_video=masks, resamples=200
    ).metrics
    assert found["pixel_auroc"]["value"] == pixel_auroc(maps, masks)
    assert found["aupro"]["value"] == aupro(maps, masks)
    criterion = pixel_criterion(maps, masks)
    assert found["pixel_criterion_auroc"]["value"] == criterion.auroc
    assert found["pixel_criterion_eer"]["value"] == criterion.eer
    for name in ("pixel_auroc", "pixel_ap", "pixel_eer", "aupro"):
        entry = found[name]
        assert entry["protocol"] == "raw"
        assert entry["ci_low"] < entry["value"] < entry["ci_high"]
    assert found["pixel_f1_oracle"]["oracle"]
    assert "rbdc" not in found


def test_videos_without_masks_are_left_out_and_counted(run):
    scores, labels, maps, masks = run
    some = {v: m for v, m in masks.items() if v != "01"}
    found = evaluate(scores, labels, protocols=[], maps_by_video=maps, masks_by_video=some, resamples=20).metrics
    assert found["pixel_auroc"]["n_videos"] == 5
    assert found["pixel_auroc"]["value"] == pixel_auroc({v: maps[v] for v in some}, some)


def test_regions_from_boxes_with_tracks_or_derived_ones(run):
    scores, labels, _, masks = run
    derived = tracks_from_masks(masks)
    edges = derived.assign(x2=derived["x2"] + 1, y2=derived["y2"] + 1)
    detections = edges.rename(columns={"track": "score"}).assign(score=1.0)[::2]
    n_frames = {v: s.size for v, s in scores.items()}
    expected = rbdc_tbdc(detections, edges, n_frames, inclusive_pixels=False)
    with_tracks = evaluate(scores, labels, protocols=[], detections=detections, tracks=edges, resamples=20)
    from_masks = evaluate(scores, labels, protocols=[], detections=detections, masks_by_video=masks, resamples=20)
    for found, source in ((with_tracks, "tracks"), (from_masks, "derived from masks (3-D components)")):
        assert found.metrics["rbdc"]["value"] == expected.rbdc
        assert found.metrics["tbdc"]["value"] == expected.tbdc
        assert found.metrics["rbdc"]["ground_truth"] == source
        pd.testing.assert_frame_equal(found.regions.curve, expected.curve)
    assert with_tracks.metrics["rbdc"]["fpr_reached"] == expected.fpr_reached


def test_boxes_without_area_do_not_lose_a_run(run):
    scores, labels, _, masks = run
    edges = tracks_from_masks(masks).assign(x2=lambda t: t["x2"] + 1, y2=lambda t: t["y2"] + 1)
    detections = edges.rename(columns={"track": "score"}).assign(score=1.0)
    flat = detections.assign(x2=detections["x1"])[:3]
    keywords = {"protocols": [], "masks_by_video": masks, "resamples": 20}
    clean = evaluate(scores, labels, detections=detections, **keywords).metrics["rbdc"]
    found = evaluate(scores, labels, detections=pd.concat([detections, flat]), **keywords).metrics["rbdc"]
    assert found["value"] == clean["value"]
    assert "3 boxes without area" in found["regions"]
    unknown = pd.concat([edges, edges.assign(video="not labelled")])
    assert evaluate(scores, labels, detections=detections, tracks=unknown, **keywords).metrics["rbdc"]["value"] == 1.0


def test_regions_from_maps_only_when_asked(run):
    scores, labels, maps, masks = run
    found = evaluate(
        scores, labels, protocols=[], maps_by_video=maps, masks_by_video=masks, regions_from_maps=True, resamples=20
    )
    expected = rbdc_tbdc_from_maps(maps, tracks_from_masks(masks))
    assert (found.metrics["rbdc"]["value"], found.metrics["tbdc"]["value"]) == (expected.rbdc, expected.tbdc)
    assert "threshold sweep" in found.metrics["rbdc"]["regions"]


def test_honest_f1_and_its_oracle(run):
    scores, labels, _, _ = run
    training = np.concatenate([s[~labels[v]] for v, s in scores.items()])
    found = evaluate(scores, labels, protocols=[], training_scores=training, resamples=20).metrics
    every = np.concatenate(list(scores.values())), np.concatenate(list(labels.values()))
    assert found["frame_f1"]["value"] == f1_at(*every, training_threshold(training))
    assert found["frame_f1_oracle"]["oracle"] and found["frame_f1_oracle"]["value"] >= found["frame_f1"]["value"]
    smoothed = evaluate(scores, labels, primary="gaussian", protocols=[], training_scores=training, resamples=20)
    assert "frame_f1" not in smoothed.metrics


def test_an_oracle_as_primary_is_marked(run):
    scores, labels, _, _ = run
    found = evaluate(scores, labels, primary="oracle_sigma", protocols=[], resamples=20)
    assert all(entry["oracle"] for name, entry in found.metrics.items() if name.startswith("frame_"))


def test_everything_is_json_able_and_reproducible(run):
    scores, labels, maps, masks = run
    results = []
    for order in (list(scores), list(reversed(list(scores)))):
        found = evaluate(
            {v: scores[v] for v in order},
            {v: labels[v] for v in order},
            maps_by_video=maps,
            masks_by_video=masks,
            resamples=50,
        )
        results.append(json.dumps(plain([found.metrics, found.baselines, found.coverage, found.frame_label_digest])))
    assert results[0] == results[1]


def test_inputs_are_left_alone(run):
    scores, labels, maps, masks = run
    before = [a.tobytes() for group in run for a in group.values()]
    evaluate(scores, labels, maps_by_video=maps, masks_by_video=masks, resamples=20)
    assert [a.tobytes() for group in (scores, labels, maps, masks) for a in group.values()] == before


def test_nothing_labelled_and_bad_scores():
    empty = evaluate({}, {})
    assert empty.metrics == {} and len(empty.per_video) == 0
    with pytest.raises(DataError, match="video 'a' at frame 1"):
        evaluate({"a": [0.0, float("nan")]}, {"a": [True, False]})


def test_one_class_everywhere_is_undefined_not_a_number():
    found = evaluate({"a": [0.1, 0.2], "b": [0.3]}, {"a": [True, True], "b": [True]}, resamples=20)
    assert all(math.isnan(entry["value"]) for entry in found.metrics.values())
    assert found.metrics["frame_auroc_macro"]["undefined_videos"] == ["a", "b"]
    assert found.metrics["frame_auroc_macro"]["n_videos"] == 0


def test_pixel_metrics_by_histogram_or_not_at_all(run):
    scores, labels, maps, masks = run
    given = {"protocols": [], "maps_by_video": maps, "masks_by_video": masks, "resamples": 20}
    exact = evaluate(scores, labels, **given)
    binned = evaluate(scores, labels, **given, pixels="histogram")
    off = evaluate(scores, labels, **given, pixels="off")
    pixel = {name for name in exact.metrics if name.startswith(("pixel", "aupro"))}
    assert set(off.metrics) == set(exact.metrics) - pixel
    assert set(exact.metrics) - set(binned.metrics) == {"pixel_eer", "pixel_f1_oracle"}
    for name in ("pixel_auroc", "pixel_ap", "aupro"):
        found = binned.metrics[name]
        assert abs(found["value"] - exact.metrics[name]["value"]) <= found["bound"] < 0.01
    assert [found.pixels["method"] for found in (exact, binned, off)] == ["exact", "histogram", "off"]
    assert off.pixels["reason"] == "evaluation.pixels=off"
    with pytest.raises(ConfigError, match="Did you mean: histogram"):
        evaluate(scores, labels, **given, pixels="histgram")


def test_too_many_anomalous_pixels_fall_back_to_a_bound(run):
    _, _, maps, masks = run
    (exact, how), (binned, instead) = (
        pixel_metric_entries(maps, masks, "exact", 20, 0, limit) for limit in (10**9, 100)
    )
    assert (how, instead["method"]) == ({"method": "exact", "reason": "evaluation.pixels=exact"}, "histogram")
    assert "too many" in instead["reason"]
    assert "bound" not in exact["pixel_auroc"]
    for name in ("pixel_auroc", "pixel_ap", "aupro"):
        entry = binned[name]
        assert 0 < entry["bound"] < 0.01
        assert abs(entry["value"] - exact[name]["value"]) <= entry["bound"]
    assert binned["pixel_criterion_auroc"] == exact["pixel_criterion_auroc"]
