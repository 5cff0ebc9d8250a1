"""`evaluate` understands the tables that a folder of one's own does: semicolons, intervals, frames from 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vadbench.cli.main import main

T = 30
CLIPS = ("a", "b", "c")
FIRST, END = 20, 26  # the anomaly of each clip, from 0, half-open


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {clip: rng.uniform(size=T).round(3) for clip in CLIPS}


def truth(first: int = FIRST, end: int = END) -> np.ndarray:
    return (np.arange(T) >= first) & (np.arange(T) < end)


def auroc(scores: dict[str, np.ndarray], clips=CLIPS, labels: dict[str, np.ndarray] | None = None) -> float:
    """By counting pairs."""
    labels = labels or {clip: truth() for clip in clips}
    s, y = (np.concatenate([table[clip] for clip in clips]) for table in (scores, labels))
    high, low = s[y][:, None], s[~y][None]
    return float(((high > low) + (high == low) / 2).mean())


def table(path: Path, scores: dict[str, np.ndarray], start: int = 0, separator: str = ",") -> Path:
    """Scores with frames from ``start``; after semicolons numbers are written with a comma."""
    point = "," if separator == ";" else "."
    lines = [separator.join(("video", "frame", "score"))]
    lines += [
        separator.join((clip, str(start + n), str(v).replace(".", point)))
        for clip in scores
        for n, v in enumerate(scores[clip])
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig" if separator == ";" else "utf-8")
    return path


def frame_labels(path: Path, start: int = 0, separator: str = ",", yes: str = "1", no: str = "0") -> Path:
    lines = [separator.join(("Video", "Frame", "Label"))]
    lines += [separator.join((clip, str(start + n), yes if y else no)) for clip in CLIPS for n, y in enumerate(truth())]
    path.write_text("\n".join(lines) + "\n")
    return path


def found(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: object) -> dict:
    """The JSON of an exam."""
    out = tmp_path / "out.json"
    status = main(["evaluate", *map(str, words), "--resamples", "20", "--json", str(out)])
    assert status == 0, capsys.readouterr().err
    return json.loads(out.read_text())


def value(result: dict) -> float:
    return result["metrics"]["frame_auroc_micro"]["value"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_cells_may_be_apart_by_comma_semicolon_or_tab(tmp_path, capsys, scores, separator: str) -> None:
    given = table(tmp_path / "s.csv", scores, separator=separator)
    labels = frame_labels(tmp_path / "l.csv", separator=separator)
    assert value(found(capsys, tmp_path, given, "--labels", labels)) == pytest.approx(auroc(scores))


def test_semicolons_with_decimal_points_are_read_too(tmp_path, capsys, scores) -> None:
    given = table(tmp_path / "s.csv", scores)
    given.write_text(given.read_text().replace(",", ";"))
    result = found(capsys, tmp_path, given, "--labels", frame_labels(tmp_path / "l.csv"))
    assert value(result) == pytest.approx(auroc(scores))


def test_labels_may_be_true_and_false(tmp_path, capsys, scores) -> None:
    labels = frame_labels(tmp_path / "l.csv", yes="true", no="0")
    assert value(found(capsys, tmp_path, table(tmp_path / "s.csv", scores), "--labels", labels)) == pytest.approx(
        auroc(scores)
    )


@pytest.mark.parametrize("score_start", [0, 1])
@pytest.mark.parametrize("label_start", [0, 1])
def test_frames_may_count_from_1_in_either_table(tmp_path, capsys, scores, score_start: int, label_start: int) -> None:
    given = table(tmp_path / "s.csv", scores, score_start)
    result = found(capsys, tmp_path, given, "--labels", frame_labels(tmp_path / "l.csv", label_start))
    assert value(result) == pytest.approx(auroc(scores))
    assert result["coverage"]["frames_scored"] == len(CLIPS) * T
    assert sum("counts frames from 1" in note for note in result["notes"]) == score_start + label_start


def test_scores_from_1_fit_labels_without_numbers(tmp_path, capsys, scores) -> None:
    given = table(tmp_path / "s.csv", scores, 1)
    np.savez(tmp_path / "l.npz", **{clip: truth().astype(int) for clip in CLIPS})
    np.save(tmp_path / "flat.npy", np.concatenate([truth()] * len(CLIPS)))
    for labels in ("l.npz", "flat.npy"):
        result = found(capsys, tmp_path, given, "--labels", tmp_path / labels)
        assert value(result) == pytest.approx(auroc(scores)) and result["coverage"]["frames_scored"] == len(CLIPS) * T


def test_scores_that_lack_the_first_frame_are_not_taken_for_counted_from_1(tmp_path, capsys, scores) -> None:
    given = table(tmp_path / "s.csv", {clip: s[1:] for clip, s in scores.items()}, 1)
    result = found(capsys, tmp_path, given, "--labels", frame_labels(tmp_path / "l.csv"))
    cut = {clip: s[1:] for clip, s in scores.items()}
    assert value(result) == pytest.approx(auroc(cut, labels=dict.fromkeys(CLIPS, truth()[1:])))
    assert not any("counts frames from 1" in note for note in result["notes"])
    flat = tmp_path / "flat.npy"
    np.save(flat, np.concatenate([truth()] * len(CLIPS)))
    assert value(found(capsys, tmp_path, given, "--labels", flat, "--offset", 1)) == value(result)


@pytest.mark.parametrize(
    ("rows", "words", "score_start"),
    [
        (f"{FIRST};{END}", [], 0),
        (f"{FIRST + 1};{END}", ["--intervals", "from_1_inclusive"], 0),
        (f"{FIRST + 1};{END}", ["--intervals", "from_1_inclusive"], 1),
    ],
)
def test_intervals_mean_what_they_mean_in_a_folder(tmp_path, capsys, scores, rows, words, score_start) -> None:
    labels = tmp_path / "l.csv"
    labels.write_text("video;start;end\n" + "".join(f"{clip};{rows}\n" for clip in CLIPS))
    given = table(tmp_path / "s.csv", scores, score_start, ";")
    result = found(capsys, tmp_path, given, "--labels", labels, *words)
    assert value(result) == pytest.approx(auroc(scores))
    assert result["labels"]["n_anomalous"] == len(CLIPS) * (END - FIRST)


def test_intervals_for_scores_without_numbers(tmp_path, capsys, scores) -> None:
    np.savez(tmp_path / "s.npz", **{clip: s[4:] for clip, s in scores.items()})
    (tmp_path / "l.csv").write_text("video,start,end\n" + "".join(f"{clip},{FIRST},{END}\n" for clip in CLIPS))
    result = found(capsys, tmp_path, tmp_path / "s.npz", "--labels", tmp_path / "l.csv", "--offset", 4)
    cut = {clip: s[4:] for clip, s in scores.items()}
    assert value(result) == pytest.approx(auroc(cut, labels=dict.fromkeys(CLIPS, truth()[4:])))


def test_a_clip_without_a_row_is_left_out_and_one_with_a_blank_row_is_normal(tmp_path, capsys, scores) -> None:
    given, labels = table(tmp_path / "s.csv", scores), tmp_path / "l.csv"
    labels.write_text(f"video,start,end\na,{FIRST},{END}\n")
    result = found(capsys, tmp_path, given, "--labels", labels)
    assert value(result) == pytest.approx(auroc(scores, ("a",)))
    assert any("has no row of b, c: left out; a row such as 'b,,'" in note for note in result["notes"])
    labels.write_text(f"video,start,end\na,{FIRST},{END}\nb,,\nc,,\nd,3,4\n")
    result = found(capsys, tmp_path, given, "--labels", labels)
    known = {"a": truth(), "b": truth(0, 0), "c": truth(0, 0)}
    assert value(result) == pytest.approx(auroc(scores, labels=known))
    assert result["coverage"]["clips_absent"] == ["d"] and result["coverage"]["partial"]


def test_what_does_not_fit_intervals_is_said(tmp_path, capsys, scores) -> None:
    labels = tmp_path / "l.csv"
    labels.write_text("video,start,end\n" + "".join(f"{clip},{FIRST},{T + 5}\n" for clip in CLIPS))
    result = found(capsys, tmp_path, table(tmp_path / "s.csv", scores), "--labels", labels)
    assert any(f"a has {T} frames with a score" in note for note in result["notes"])
    np.save(tmp_path / "flat.npy", np.concatenate(list(scores.values())))
    assert main(["evaluate", str(tmp_path / "flat.npy"), "--labels", str(labels)]) == 2
    assert "intervals name clips" in capsys.readouterr().err
    result = found(capsys, tmp_path, table(tmp_path / "s1.csv", scores, 1), "--labels", labels)
    assert any("--intervals from_1_inclusive" in note for note in result["notes"])
