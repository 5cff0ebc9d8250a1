"""What made a run beside its key: recorded, said where it differs, marked in tables, and recomputed on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vadbench.config.compose import compose
from vadbench.experiment.run import run
from vadbench.report.rows import rows
from vadbench.report.tables import format_rows
from vadbench.runs.provenance import differences, made_by, same_source, source_version

WORDS = ["model=random", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24"]
WORDS += ["dataset.size=[48,64]", "tracking=none", "model.visualizer=false", "runtime.device=cpu"]


def edited(folder: Path, **changes: Any) -> None:
    """The record of a run as another source or machine would have written it."""
    record = json.loads((folder / "run.json").read_text())
    record["provenance"] |= changes
    (folder / "run.json").write_text(json.dumps(record))


def test_a_record_says_what_made_it(tmp_path: Path) -> None:
    made = run(compose([*WORDS, f"results={tmp_path}", "runtime.batch_size=3"])).record["provenance"]
    assert made["batch_size"] == 3 and made["device"] == "cpu" and made["threads"] >= 1 and made["cpu"]
    assert made["decoders"] == ["array-1"]
    assert {"torch", "numpy", "av", "opencv-python-headless"} <= made["packages"].keys()
    assert len(made["source_digest"]) == 16


def test_the_manifest_of_a_stored_entry_says_what_made_it(tmp_path: Path) -> None:
    run(compose([*WORDS, "model=frame_difference", f"results={tmp_path}", "runtime.batch_size=3"]))
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("cache/??/*.json")]
    made = [note["made_by"] for note in notes if note["output"] == "energy"]
    assert made and all(one["device"] == "cpu" and one["batch_size"] == 3 and one["threads"] >= 1 for one in made)
    assert all(one["packages"]["numpy"] and one["source_digest"] for one in made)


def test_a_state_of_the_source_is_its_files_and_in_older_records_its_clean_commit() -> None:
    one = {"git_sha": "a", "git_dirty": False}
    assert same_source(one, one)
    assert not same_source(one, {"git_sha": "b", "git_dirty": False})
    assert not same_source({**one, "git_dirty": True}, {**one, "git_dirty": True}), "nobody knows what was changed"
    assert same_source({**one, "source_digest": "1"}, {"git_sha": "b", "git_dirty": True, "source_digest": "1"})
    assert not same_source({**one, "source_digest": "1"}, {**one, "source_digest": "2"})


def test_what_differs_is_named_on_both_sides() -> None:
    now = made_by("cpu", 1, 2)
    assert differences(now, now) == ""
    then = {**now, "source_digest": "0" * 16, "git_sha": "abcdef0123", "git_dirty": False, "threads": 7}
    then["packages"] = {**now["packages"], "numpy": "0.1"}
    said = differences(then, now)
    assert said.startswith("made by commit abcdef0, threads 7, numpy 0.1; this is ")
    assert said.endswith(f"threads 2, numpy {now['packages']['numpy']}")


def test_a_skip_says_it_and_same_code_makes_the_run_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [*WORDS, f"results={tmp_path}"]
    folder = run(compose(words)).folder.path
    caplog.clear()
    assert run(compose(words)).existed and "made by" not in caplog.text
    assert run(compose([*words, "on_existing=same_code"])).existed
    edited(folder, source_digest="0" * 16, git_sha="abcdef0123", git_dirty=False)
    assert run(compose(words)).existed
    assert "this run exists, made by commit abcdef0; this is " in caplog.text
    again = run(compose([*words, "on_existing=same_code"]))
    assert not again.existed and again.folder.path == folder
    assert again.record["provenance"]["source_digest"] == source_version()["source_digest"]


def test_a_row_whose_seeds_are_of_several_sources_is_marked(tmp_path: Path) -> None:
    folders = [run(compose([*WORDS, f"results={tmp_path}", f"seed={seed}"])).folder.path for seed in (0, 1)]
    assert "*" not in format_rows(rows(folders), "markdown", None)
    edited(folders[1], source_digest="0" * 16)
    text = format_rows(rows(folders), "markdown", None)
    assert "| 2† " in text and "† seeds from several states of the source" in text and "source 00000000" in text
    assert "source 00000000" in format_rows(rows(folders), "csv", None)
