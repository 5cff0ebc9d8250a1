"""Intervals where they are read: the printed result, the page, tables, comparisons and the exam, of old records too."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.tracking.run_folders import write_run
from vadbench.cli import evaluate
from vadbench.evaluation import bootstrap, frame_auroc
from vadbench.evaluation.intervals.interval import FEW_NOTE, WIDE, WIDE_NOTE
from vadbench.evaluation.intervals.metric_entry import RANGES, entry, interval_cells, note_lines
from vadbench.report.comparison import compare, format_comparison
from vadbench.report.pages import page
from vadbench.report.result import format_result
from vadbench.report.rows import TOO_WIDE, rows
from vadbench.report.tables import format_rows
from vadbench.runs.run_folder import plain

OLD = {"value": 0.8, "ci_low": 0.156, "ci_high": 0.953, "n_videos": 12, "protocol": "raw", "undefined_videos": []}
NAMES = {"model": "m", "backbone": None, "layer": None, "dataset": "d", "protocol": "raw"}


def videos(n: int, spread: float = 1.0):
    """Scores and labels of ``n`` videos that differ in how well their second half is found."""
    random = np.random.default_rng(0)
    labels = {f"v{i:02d}": np.arange(40) >= 20 for i in range(n)}
    scores = {v: random.normal(size=40) + y * (1.5 + spread * random.normal()) for v, y in labels.items()}
    return scores, labels


def metric(n: int, spread: float = 1.0):
    """The entry of a record, as it is read back."""
    return plain(entry(bootstrap(frame_auroc, *videos(n, spread)), n, "raw"))


def printed(tmp_path, found) -> str:
    record = {
        "names": NAMES,
        "seed": 0,
        "dataset": dict.fromkeys(("train_videos", "train_frames", "test_videos", "test_frames"), 1)
        | {"anomalous_frames": 1},
        "coverage": {"filled": 0, "frames": 1},
        "weights": [],
        "metrics": {"frame_auroc_micro": found, "frame_ap": found},
        "baselines": {},
        "warnings": [],
    }
    return format_result(record, tmp_path, False, None)


def test_a_record_holds_interval_ranges_and_notes():
    found = bootstrap(frame_auroc, *videos(12))
    held = entry(found, 12, "raw", unit="x")
    assert {name: held[name] for name in RANGES} == {name: getattr(found, name) for name in RANGES}
    assert found.video_low < found.without_low < found.value < found.without_high < found.video_high
    assert (held["ci_notes"], held["unit"]) == (list(found.notes), "x")
    assert "ci_notes" not in entry(0.5, 12, "raw")


def test_the_printed_result_has_the_ranges_beside_the_interval(tmp_path):
    found = metric(12)
    lines = printed(tmp_path, found).splitlines()
    head = next(line for line in lines if "95% interval" in line)
    row = next(line for line in lines if "frame AUROC, micro" in line)
    for name, cell in zip(("95% interval", "single videos", "one left out"), interval_cells(found), strict=True):
        assert row.index(cell) == head.index(name) and cell.startswith("[0.")
    assert row.split()[-1] == "12"


@pytest.mark.parametrize(
    ("n", "spread", "says"),
    [
        (4, 1.0, "no interval: 4 test videos with a value, at least 5 are needed"),
        (6, 0.1, FEW_NOTE),
        (7, 4.0, WIDE_NOTE),
    ],
)
def test_what_an_interval_lacks_is_said_once_in_words(tmp_path, n, spread, says):
    found = metric(n, spread)
    text = printed(tmp_path, found)
    assert text.count(f"! frame AUROC, micro; frame AP: {says}") == 1
    assert interval_cells(found)[1].startswith("[") and interval_cells(found)[2].startswith("[")


def test_an_old_record_is_read_and_its_wide_interval_said(tmp_path):
    assert interval_cells(OLD) == ("[0.156, 0.953]", "", "")
    assert note_lines({"a": OLD, "b": {"value": 0.5}}) == [f"a: {WIDE_NOTE}"]
    assert f"frame AUROC, micro; frame AP: {WIDE_NOTE}" in printed(tmp_path, OLD)
    assert interval_cells({**OLD, "ci_low": None, "ci_high": None}) == ("", "", "")


@pytest.mark.parametrize("found", [OLD, metric(12), metric(4)], ids=["old", "interval", "none"])
def test_the_page_shows_what_the_record_has(tmp_path, found):
    folder = write_run(tmp_path, metrics={"frame_auroc_micro": found}, coverage={"frames": 4, "filled": 0}, names=NAMES)
    (folder / "state.json").write_text(json.dumps({"state": "complete"}))
    text = page(folder)
    assert all(cell in text for cell in interval_cells(found, 4))
    for line in note_lines({"frame_auroc_micro": found}):
        assert line.replace("'", "&#39;") in text
    assert "single videos" in text and "one left out" in text


def test_tables_say_when_an_interval_is_too_wide_and_csv_has_the_ranges(tmp_path):
    assert TOO_WIDE == WIDE
    found = rows([write_run(tmp_path, metrics={"frame_auroc_micro": OLD, "frame_ap": metric(12)})])
    assert "[0.156, 0.953] (too wide to mean much)" in format_rows(found, "markdown", None)
    header, cells = csv.reader(io.StringIO(format_rows(found, "csv", None)))
    shown = dict(zip(header, cells, strict=True))
    for name in RANGES:
        assert float(shown[f"frame_ap.{name}"]) == metric(12)[name]
        assert shown[f"frame_auroc_micro.{name}"] == ""


@pytest.mark.parametrize("n", [2, 12])
def test_a_comparison_of_few_videos_has_no_interval_and_no_verdict(tmp_path, n):
    scores, labels = videos(n)
    folders = []
    for i in range(2):
        folder = write_run(tmp_path / str(i))
        (folder / "state.json").write_text(json.dumps({"state": "complete"}))
        parts = [
            pd.DataFrame({"video": v, "frame": range(40), "score": s + i * np.sin(s), "label": labels[v]})
            for v, s in scores.items()
        ]
        pd.concat(parts).to_parquet(folder / "scores.parquet")
        folders.append(folder)
    text = format_comparison(compare(*folders, resamples=100))
    assert ("no verdict" in text) == (n == 2) and "nan" not in text
    assert "single videos" in text and "one left out" in text
    assert ("no interval: 2 test videos" in text) == (n == 2)
    assert ("can't be told from zero" in text or "holds" in text) == (n == 12)


def test_the_exam_prints_ranges_and_notes(tmp_path, capsys):
    for name, arrays in zip(("s", "l"), videos(7, 4.0), strict=True):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert evaluate.run([str(tmp_path / "s.npz"), "--labels", str(tmp_path / "l.npz")]) == 0
    text = capsys.readouterr().out
    found = entry(bootstrap(frame_auroc, *videos(7, 4.0)), 7, "raw")
    row = next(line for line in text.splitlines() if "frame_auroc_micro" in line)
    assert all(cell in row for cell in interval_cells(found, 4))
    assert WIDE_NOTE in text and FEW_NOTE in text


def test_a_bound_stands_in_place_of_an_interval():
    assert interval_cells(entry(0.9, 3, "raw", bound=1.21e-4)) == ("value ± 1.3e-4", "", "")
    assert interval_cells(entry(0.9, 3, "raw")) == ("", "", "")
