"""The exam on a published method's dump: inverted scores, inverted labels, missing frames, odd shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vadbench.cli.evaluate import run
from vadbench.errors import DataError

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def scores(shared):
    return shared / "published_scores"


@pytest.fixture(scope="module")
def expected(scores):
    return json.loads((scores / "expected_auroc.json").read_text())["dmad_ped2"]


def exam(tmp_path, *words):
    out = tmp_path / "out.json"
    assert run([*map(str, words), "--json", str(out), "--resamples", "200"]) == 0
    return json.loads(out.read_text())


def check(result, expected):
    metrics = result["metrics"]
    assert metrics["frame_auroc_micro"]["value"] == pytest.approx(expected["micro_auroc"], abs=1e-9)
    assert metrics["frame_ap"]["value"] == pytest.approx(expected["average_precision"], abs=1e-9)
    macro, clips = expected["macro_auroc_two_class_clips"]
    assert metrics["frame_auroc_macro"]["value"] == pytest.approx(macro, abs=1e-9)
    assert metrics["frame_auroc_macro"]["n_videos"] == clips


@pytest.mark.parametrize("name", ["arr_0", "arr_1", "arr_2", "arr_3", "arr_4"])
def test_every_list_with_official_labels(tmp_path, capsys, scores, expected, name):
    """The labels of all 2,010 frames, of which the dump lacks four a clip."""
    result = exam(
        tmp_path,
        scores / "dmad/res_list_ped2.npz",
        *("--array", name, "--labels", scores / "mnad_labels/frame_labels_ped2.npy"),
        *("--offset", "4", "--direction", "lower", "--protocol", "all"),
    )
    check(result, expected[name])
    text = capsys.readouterr().out
    assert "12 of 12 clips lack their first 4 frames" in text
    assert "1962 of 2010 labelled frames scored (97.61%)" in text
    assert result["labels"]["recognised"].startswith("the official labels of UCSD Ped2")
    assert result["coverage"]["partial"]
    rows = {row["protocol"]: row for row in result["card"]}
    assert rows["liu2018"]["n_frames"] == 1962  # its four frames are those that are missing already


def test_the_labels_inside_the_dump_are_upside_down(tmp_path, capsys, scores, expected):
    words = [scores / "dmad/res_list_ped2.npz:arr_4", "--labels", scores / "dmad/res_list_ped2.npz:arr_5"]
    right = exam(tmp_path, *words, "--anomalous-label", "0", "--direction", "lower")
    check(right, expected["arr_4"])
    assert "WARNING" not in capsys.readouterr().out
    # Both upside down: AUROC is the same and AP is another method's.
    twice = exam(tmp_path, *words)
    assert twice["metrics"]["frame_auroc_micro"]["value"] == pytest.approx(expected["arr_4"]["micro_auroc"], abs=1e-9)
    assert twice["metrics"]["frame_ap"]["value"] < 0.8
    assert "these labels are upside down" in capsys.readouterr().out


def test_flat_labels_without_the_first_frames_and_given_lengths(tmp_path, capsys, scores, expected):
    result = exam(
        tmp_path,
        scores / "dmad/res_list_ped2.npz:arr_1",
        *("--labels", scores / "dmad/frame_labels_ped2.npy", "--direction", "lower"),
        *("--lengths", f"{scores / 'expected_auroc.json'}:dmad_ped2.clip_lengths"),
    )
    check(result, expected["arr_1"])
    assert "each without its first 4 frames" in capsys.readouterr().out


def test_the_wrong_direction_is_warned_about(tmp_path, capsys, scores, expected):
    result = exam(tmp_path, scores / "dmad/res_list_ped2.npz:arr_4", "--labels", scores / "dmad/frame_labels_ped2.npy")
    assert result["metrics"]["frame_auroc_micro"]["value"] == pytest.approx(1 - expected["arr_4"]["micro_auroc"])
    assert result["orientation"]["auroc_opposite"] == pytest.approx(expected["arr_4"]["micro_auroc"])
    assert "--direction lower" in capsys.readouterr().out


def test_a_forgotten_offset_is_answered_with_the_offset(scores):
    words = [scores / "dmad/res_list_ped2.npz:arr_4", "--labels", scores / "mnad_labels/frame_labels_ped2.npy"]
    with pytest.raises(DataError, match="--offset 4"):
        run([str(word) for word in words])
    with pytest.raises(DataError, match="--array"):
        run([str(scores / "dmad/res_list_ped2.npz"), "--labels", str(scores / "mnad_labels/frame_labels_ped2.npy")])


@pytest.mark.parametrize(
    ("name", "recognised"),
    [
        ("ped2", "the official labels of UCSD Ped2"),
        ("avenue", "the redistributed labels of Avenue (3,867 frames"),
        ("shanghai", "the official labels of ShanghaiTech"),
    ],
)
def test_circulating_label_files_are_recognised(tmp_path, scores, name, recognised):
    """Shapes (1, N) and (N,), three types; scores made up."""
    file = scores / f"mnad_labels/frame_labels_{name}.npy"
    total = np.load(file).size
    np.save(tmp_path / "made_up.npy", np.random.default_rng(0).random(total))
    result = exam(tmp_path, tmp_path / "made_up.npy", "--labels", file)
    assert result["labels"]["recognised"].startswith(recognised)
    assert result["coverage"]["frames_scored"] == total
    assert result["metrics"]["frame_auroc_micro"]["value"] == pytest.approx(0.5, abs=0.05)
