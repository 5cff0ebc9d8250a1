"""The exam from files: the same numbers whatever the form, and every trap said aloud."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.io

from vadbench.cli.evaluate import run
from vadbench.errors import ConfigError, DataError
from vadbench.evaluation import evaluate, frame_auroc, micro
from vadbench.evaluation.score_files.known_sets import KNOWN, recognise, same_lengths, same_total
from vadbench.runs.run_folder import plain

LENGTHS = [30, 40, 25]


@pytest.fixture
def case(tmp_path):
    """Scores and labels of three clips, as arrays and as flat files."""
    random = np.random.default_rng(0)
    labels = {f"{i:02d}": (np.arange(n) > n // 2) for i, n in enumerate(LENGTHS, 1)}
    scores = {v: random.random(y.size) + 0.5 * y for v, y in labels.items()}
    np.save(tmp_path / "labels.npy", np.concatenate(list(labels.values())).astype(np.int8)[None])
    np.save(tmp_path / "scores.npy", np.concatenate(list(scores.values())))
    return scores, labels, tmp_path


def exam(capsys, *words):
    """The JSON that a command writes, and what it prints."""
    out = words[0].parent / "out.json"
    assert run([*map(str, words), "--json", str(out), "--resamples", "100"]) == 0
    return json.loads(out.read_text()), capsys.readouterr().out


def value(result, name="frame_auroc_micro"):
    return result["metrics"][name]["value"]


def long_table(scores, labels):
    rows = [(v, t, s, bool(labels[v][t])) for v in scores for t, s in enumerate(scores[v])]
    return pd.DataFrame(rows, columns=["video", "frame", "score", "label"])


def test_every_form_of_file_gives_the_same_numbers_to_the_bit(case, capsys):
    scores, labels, folder = case
    expected = evaluate(scores, labels, resamples=100).metrics
    table = long_table(scores, labels)
    table.to_parquet(folder / "run.parquet")
    (folder / "run").mkdir()
    table.to_parquet(folder / "run" / "scores.parquet")
    table.drop(columns="label").to_csv(folder / "s.csv", index=False)
    table.drop(columns="score").to_csv(folder / "l.csv", index=False)
    np.savez(folder / "s.npz", **scores)
    for name, values in (("s", scores), ("l", labels)):
        (folder / name).mkdir()
        for video, array in values.items():
            np.save(folder / name / f"{video}.npy", array)
    lengths = ",".join(map(str, LENGTHS))
    for words in (
        [folder / "run.parquet"],
        [folder / "run"],
        [folder / "s.csv", "--labels", folder / "l.csv"],
        [folder / "s.npz", "--labels", folder / "l"],
        [folder / "s", "--labels", folder / "l.csv"],
        [folder / "s", "--labels", folder / "labels.npy"],
        [folder / "scores.npy", "--labels", folder / "l"],
        [folder / "scores.npy", "--labels", folder / "labels.npy", "--lengths", lengths],
    ):
        result, text = exam(capsys, *words)
        assert {k: v["value"] for k, v in result["metrics"].items()} == {k: v["value"] for k, v in expected.items()}
        assert result["metrics"]["frame_auroc_micro"] == plain(expected["frame_auroc_micro"])
        assert not result["coverage"]["partial"]
        assert "PARTIAL" not in text


def test_avenues_folder_of_masks_gives_the_labels_of_each_clip(case, capsys):
    scores, labels, folder = case
    by_clip, masks = folder / "scores", folder / "testing_label_mask"
    by_clip.mkdir()
    masks.mkdir()
    for number, (video, anomalous) in enumerate(labels.items(), 1):
        np.save(by_clip / f"{video}.npy", scores[video])
        cell = np.empty((1, anomalous.size), object)
        for t, marked in enumerate(anomalous):
            cell[0, t] = np.full((4, 6), marked, np.uint8)
        scipy.io.savemat(masks / f"{number}_label.mat", {"volLabel": cell})
    expected = exam(capsys, folder / "scores.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25")[0]
    for given in (by_clip, folder / "scores.npy"):
        found = exam(capsys, given, "--labels", masks)[0]
        assert found["metrics"] == expected["metrics"] and found["labels"]["digest"] == expected["labels"]["digest"]
    (masks / "notes").mkdir()
    with pytest.raises(DataError, match=r"notes: no \.npy files in it; labels in a folder are .*N_label\.mat"):
        exam(capsys, by_clip, "--labels", masks / "notes")


def test_a_table_of_a_run_says_which_scores_were_filled_in(case, capsys):
    scores, labels, folder = case
    table = long_table(scores, labels)
    table.assign(filled=table["frame"] < 3).to_parquet(folder / "run.parquet")
    result, _ = exam(capsys, folder / "run.parquet")
    assert result["coverage"]["frames_filled"] == 9
    assert result["coverage"]["frames_scored"] == sum(LENGTHS) - 9


@pytest.mark.parametrize("form", ["flat", "folder"])
def test_missing_first_frames_are_asked_for_aligned_and_said(case, capsys, form):
    scores, labels, folder = case
    short = {v: s[4:] for v, s in scores.items()}
    np.save(folder / "short.npy", np.concatenate(list(short.values())))
    (folder / "short").mkdir()
    for video, array in short.items():
        np.save(folder / "short" / f"{video}.npy", array)
    file = folder / ("short.npy" if form == "flat" else "short")
    words = [file, "--labels", folder / "labels.npy", "--lengths", ",".join(map(str, LENGTHS))]
    with pytest.raises(DataError, match=r"--offset 4"):
        run(list(map(str, words)))
    result, text = exam(capsys, *words, "--offset", "4")
    expected = micro(frame_auroc, short, {v: y[4:] for v, y in labels.items()})
    assert value(result) == expected
    assert "12 labelled frames of the scored clips have no score: dropped" in text
    assert "3 of 3 clips lack their first 4 frames" in text
    assert result["coverage"]["partial"] and "PARTIAL" in text
    filled, text = exam(capsys, *words, "--offset", "4", "--missing", "fill")
    full = {v: np.concatenate([np.full(4, s[0]), s]) for v, s in short.items()}
    assert value(filled) == micro(frame_auroc, full, labels)
    assert filled["coverage"]["frames_filled"] == 12
    assert "filled with the nearest score" in text


def test_a_protocol_does_not_drop_the_missing_frames_again(case, capsys):
    scores, _, folder = case
    np.save(folder / "short.npy", np.concatenate([s[4:] for s in scores.values()]))
    words = [folder / "short.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25", "--offset", "4"]
    dropped, _ = exam(capsys, *words, "--protocol", "liu2018")
    whole, _ = exam(
        capsys,
        folder / "scores.npy",
        "--labels",
        folder / "labels.npy",
        "--lengths",
        "30,40,25",
        "--protocol",
        "liu2018",
    )
    assert dropped["metrics"] == whole["metrics"]


def test_holes_in_a_table_are_dropped_or_filled_from_the_nearest(case, capsys):
    scores, labels, folder = case
    table = long_table(scores, labels)
    keep = ~table["frame"].isin([10, 11, 12])
    table[keep].drop(columns="label").to_csv(folder / "s.csv", index=False)
    table.drop(columns="score").to_csv(folder / "l.csv", index=False)
    result, _ = exam(capsys, folder / "s.csv", "--labels", folder / "l.csv")
    assert value(result) == frame_auroc(table[keep]["score"], table[keep]["label"])
    result, _ = exam(capsys, folder / "s.csv", "--labels", folder / "l.csv", "--missing", "fill")
    filled = {v: s.copy() for v, s in scores.items()}
    for s in filled.values():
        s[10], s[11], s[12] = s[9], s[13], s[13]  # the middle one is as near to both: the later one
    assert value(result) == micro(frame_auroc, filled, labels)


def test_orientation_is_warned_about_and_never_flipped(case, capsys):
    scores, _, folder = case
    words = [folder / "scores.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25"]
    right, text = exam(capsys, *words)
    assert "WARNING" not in text and right["orientation"]["warning"] is None
    wrong, text = exam(capsys, *words, "--direction", "lower")
    assert value(wrong) == pytest.approx(1 - value(right))
    assert value(wrong) < 0.5
    assert "WARNING" in text and "--direction higher" in text and "Nothing was flipped" in text
    inverted, text = exam(capsys, *words, "--anomalous-label", "0")
    assert value(inverted) == pytest.approx(1 - value(right))
    both, text = exam(capsys, *words, "--anomalous-label", "0", "--direction", "lower")
    assert value(both) == value(right)
    assert np.concatenate(list(scores.values())).max() > 1 and "max - s" in text


@pytest.mark.parametrize("protocol", ["aed_mae", "sspcab", "ai_vad"])
def test_turned_scores_do_not_depend_on_an_added_constant(protocol, case, capsys):
    """The same dump gave another number for every constant: it was turned by 1 - s or -s."""
    scores, _, folder = case
    flat = np.round(np.concatenate(list(scores.values())) * 2**20) / 2**22  # exact sums, all in [0, 1]
    words = ["--labels", folder / "labels.npy", "--lengths", "30,40,25", "--direction", "lower", "--protocol", protocol]
    found = []
    for shift in (0, 5, -5):
        np.save(folder / "s.npy", flat + shift)
        result, text = exam(capsys, folder / "s.npy", *words)
        assert "max - s" in text and "blank" not in text
        found.append(result["metrics"])
    assert found[0] == found[1] == found[2]
    np.save(folder / "s.npy", flat.max() - flat)
    assert exam(capsys, folder / "s.npy", *words[:4], "--protocol", protocol)[0]["metrics"] == found[0]


def test_scores_that_turning_makes_equal_are_counted(case, capsys):
    _, _, folder = case
    tiny = np.where(np.arange(95) == 3, 1.0, 1e-30 * np.arange(1, 96))
    np.save(folder / "tiny.npy", tiny)
    words = [folder / "tiny.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25"]
    _, text = exam(capsys, *words, "--direction", "lower")
    assert "95 different scores became 2" in text and "logarithm" in text


def test_negative_scores_are_blank_where_zero_has_a_meaning(case, capsys):
    scores, _, folder = case
    np.save(folder / "low.npy", np.concatenate(list(scores.values())) - 1)
    words = [folder / "low.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25"]
    result, text = exam(capsys, *words, "--protocol", "aed_mae")
    for name in ("frame_auroc_micro", "frame_auroc_macro", "frame_ap", "frame_eer", "detection_delay"):
        entry = result["metrics"][name]
        assert (entry["value"], entry["ci_low"], entry["ci_high"]) == (None, None, None), name
        assert "aed_mae" in entry["blank"]
    assert all(row["auroc"] is None and row["ap"] is None for row in result["per_video"])
    assert result["baselines"]["random"]["value"] is not None
    assert text.count("an added constant would change") == 1

    result, text = exam(capsys, *words, "--protocol", "sspcab")
    assert result["metrics"]["frame_auroc_micro"]["value"] is not None
    assert result["metrics"]["frame_auroc_macro"]["value"] is None

    result, text = exam(capsys, *words, "--protocol", "all")
    rows = {row["protocol"]: row for row in result["card"]}
    assert rows["aed_mae"]["auroc_micro"] is None and "aed_mae" in rows["aed_mae"]["blank"]
    assert rows["ai_vad"]["auroc_micro"] is not None and rows["ai_vad"]["auroc_macro"] is None
    assert rows["raw"]["auroc_macro"] is not None and rows["raw"]["blank"] is None
    assert text.count("an added constant would change") == 4


def test_clips_without_scores_are_named_and_partial(case, capsys):
    scores, labels, folder = case
    table = long_table(scores, labels)
    table[table["video"] != "02"].drop(columns="label").to_csv(folder / "s.csv", index=False)
    table.drop(columns="score").to_csv(folder / "l.csv", index=False)
    result, text = exam(capsys, folder / "s.csv", "--labels", folder / "l.csv")
    assert result["coverage"]["clips_absent"] == ["02"]
    assert result["coverage"]["frames_labelled"] == sum(LENGTHS)
    assert "clips without scores: 02" in text and "PARTIAL" in text
    table[table["video"] != "02"].drop(columns="score").to_csv(folder / "few.csv", index=False)
    table.drop(columns="label").to_csv(folder / "all.csv", index=False)
    with pytest.raises(DataError, match=r"clip '02' has scores, but no labels.*01"):
        run([str(folder / "all.csv"), "--labels", str(folder / "few.csv")])


def test_the_card_and_the_primary_protocol(case, capsys):
    _, _, folder = case
    words = [folder / "scores.npy", "--labels", folder / "labels.npy", "--lengths", "30,40,25"]
    result, text = exam(capsys, *words, "--protocol", "all")
    assert result["primary"] == "raw"
    assert {row["protocol"] for row in result["card"]} >= {"raw", "gaussian", "hf2vad", "oracle_sigma"}
    assert "Tuned on the test labels" in text
    result, text = exam(capsys, *words, "--protocol", "gaussian")
    assert result["primary"] == "gaussian" and result["card"] == []
    assert result["baselines"]["random"]["protocol"] == "gaussian"


def test_unknown_clip_lengths_are_one_clip_and_said(case, capsys):
    scores, labels, folder = case
    result, text = exam(capsys, folder / "scores.npy", "--labels", folder / "labels.npy", "--protocol", "all")
    assert value(result) == micro(frame_auroc, scores, labels)
    assert result["metrics"]["frame_auroc_micro"]["ci_low"] is None
    assert "clip lengths unknown" in text and result["card"] == []


def test_lengths_from_files(case, capsys):
    _, _, folder = case
    (folder / "l.json").write_text(json.dumps({"set": {"lengths": LENGTHS}}))
    np.save(folder / "l.npy", LENGTHS)
    (folder / "l.txt").write_text("30\n40 25\n")
    values = set()
    for text in ("30,40,25", f"{folder / 'l.json'}:set.lengths", str(folder / "l.npy"), str(folder / "l.txt")):
        result, _ = exam(capsys, folder / "scores.npy", "--labels", folder / "labels.npy", "--lengths", text)
        values.add(value(result, "frame_auroc_macro"))
    assert len(values) == 1
    for text in ("30,forty", f"{folder / 'l.json'}:set.length", "none.json", "30,40"):
        with pytest.raises((ConfigError, DataError), match="--lengths"):
            run([str(folder / "scores.npy"), "--labels", str(folder / "labels.npy"), "--lengths", text])


def test_lists_that_do_not_fit_are_refused(case):
    _, _, folder = case
    np.save(folder / "odd.npy", np.zeros(94))
    for words in (["odd.npy"], ["odd.npy", "--lengths", "30,40,25"]):
        with pytest.raises(DataError):
            run([str(folder / words[0]), "--labels", str(folder / "labels.npy"), *words[1:]])
    np.savez(folder / "lists.npz", np.zeros(95), np.ones(95))
    with pytest.raises(DataError, match="--array arr_0"):
        run([str(folder / "lists.npz"), "--labels", str(folder / "labels.npy")])


def test_scores_that_are_not_finite_are_named(case):
    scores, labels, folder = case
    table = long_table(scores, labels)
    table.loc[(table["video"] == "02") & (table["frame"] == 7), "score"] = np.inf
    table.to_parquet(folder / "run.parquet")
    with pytest.raises(DataError, match="video '02' at frame 7 is inf"):
        run([str(folder / "run.parquet")])


def test_words_are_checked(case):
    _, _, folder = case
    for words, message in (
        ([], "required"),
        ([str(folder / "scores.npy")], "--labels is needed"),
        (["a", "--labels", "b", "--direction", "up"], "higher"),
        (["a", "--labels", "b", "--offset", "-1"], "--offset -1"),
        (["a", "--labels", "b", "--protocol", "gausian"], "there is no|Did you mean: gaussian"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            run(words)


def test_known_sets_are_recognised_by_their_lengths():
    for known in KNOWN:
        assert len(known.clips) == len(known.lengths) == len(set(known.clips))
        assert len(known.digests) == 17
        assert same_lengths(known.lengths)[0].dataset == known.dataset
        found, lacking = same_lengths([n - 4 for n in known.lengths])
        assert (found.dataset, lacking) == (known.dataset, 4)
        assert same_total(sum(known.lengths))[1] == 0
    assert {known.dataset: sum(known.lengths) for known in KNOWN} == {
        "ucsd_ped1": 7200,
        "ucsd_ped2": 2010,
        "avenue": 15324,
        "shanghaitech": 40791,
    }
    assert same_lengths([1, 2, 3]) is None and same_total(17) is None


def test_labels_of_ped2_are_recognised_upside_down_too():
    lengths = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
    ranges = [(61, 180), (95, 180), (1, 146), (31, 180), (1, 129), (1, 159), (46, 180), (1, 180), (1, 120), (1, 150)]
    ranges += [(1, 180), (88, 180)]
    labels = [
        (np.arange(1, n + 1) >= a) & (np.arange(1, n + 1) <= b) for n, (a, b) in zip(lengths, ranges, strict=True)
    ]
    assert recognise(labels) == "the official labels of UCSD Ped2 (1,648 of 2,010 frames)"
    assert recognise([~y[4:] for y in labels]).endswith(
        "without the first 4 frames of every clip, inverted (1 is normal)"
    )
    labels[0][0] = True
    assert "not its official labels" in recognise(labels)
