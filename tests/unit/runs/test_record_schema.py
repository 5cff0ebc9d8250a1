"""The schema of run.json: old records keep to theirs, and it notices what is missing, wrong or unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.records import faults, smallest
from vadbench.runs.run_folder import SCHEMA_VERSION, RunFolder

OLD = sorted((Path(__file__).parents[2] / "old_runs").rglob("run.json"))


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.parent.name)
def test_records_of_commit_bf60e53_are_valid_under_their_version(path: Path) -> None:
    record = json.loads(path.read_text())
    assert record["schema_version"] == 1
    assert faults(record) == []


def record(**changes: Any) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "status": "complete", **smallest(), **changes}


NUMBER = {"value": 0.5, "ci_low": None, "ci_high": None, "n_videos": 2, "protocol": "raw", "undefined_videos": []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "short"}, "$.fingerprint"),
        ({"seed": "0"}, "$.seed"),
        ({"mood": "good"}, "mood"),
        ({"names": {"model": "random"}}, "'backbone' is a required property"),
        ({"coverage": {"frames": 1, "filled": 0, "share": 1.0, "kept": 1}}, "kept"),
        ({"metrics": {"frame_ap": 0.5}}, "$.metrics.frame_ap"),
        ({"scenes": {"01": {"frame_ap": NUMBER | {"n_videos": -1}}}}, "frame_ap.n_videos: -1"),
    ],
)
def test_what_does_not_keep_to_it_is_named(changes: dict[str, Any], message: str) -> None:
    found = faults(record(**changes))
    assert any(message in fault for fault in found), found


def test_a_metric_may_add_keys() -> None:
    assert faults(record(metrics={"frame_ap": NUMBER | {"unit": "frames", "n_events": 3}})) == []


def test_a_record_that_is_not_valid_fails_the_test_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="'names' is a required property"):
        RunFolder(tmp_path).finish({"metrics": {}})
