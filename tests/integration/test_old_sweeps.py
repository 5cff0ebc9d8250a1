"""Sweeps made by earlier commits (tests/old_sweeps): done, or with the reason why their points are run again.

The sweep of FUVAS is of commit 7dfeaf6, that of random scores of commit bf60e53, before random scores changed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import files_of
from vadbench import registry
from vadbench.cli.main import main
from vadbench.config.defaults import without_written_out
from vadbench.density.pca import Pca

OLD = Path(__file__).parents[1] / "old_sweeps"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "plugins"
COMMON = ["dataset=folder", "dataset.root=data", "tracking=none", "results=results"]
FUVAS = ["-m", "model=fuvas", "backbone=flow_grid", "backbone.clip_length=2", "backbone.clip_stride=1"]
FUVAS += ["model.pca_level=0.9,0.95", "model.visualizer=false", *COMMON]
RANDOM = ["-m", "model=random", "seed=0,1", "model.visualizer=false", *COMMON]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def test_a_sweep_whose_density_has_another_result_version_is_made_again(
    results: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(results / "runs")
    with caplog.at_level("INFO"):
        assert main(FUVAS) == 0
    assert (
        "2 complete runs of an earlier start don't count, because numbers changed: result version 2 in place of 1 "
        "(pca: directions and residuals are float32 where they are large, scores changed by up to 1e-6); they stay: "
        "model.pca_level=0.9, model.pca_level=0.95"
    ) in caplog.text
    after = files_of(results / "runs")
    assert {name: after[name] for name in before} == before, "the old runs stay as they are"
    assert "| 0.95" in capsys.readouterr().out
    caplog.clear()
    with caplog.at_level("INFO"):
        assert main(FUVAS) == 0
    assert "2 points: 2 complete, 0 to do" in caplog.text and "don't count" not in caplog.text


def test_a_sweep_of_an_earlier_commit_is_done_where_versions_are_the_same(
    results: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Pca, "result_version", 1)  # as it was at that commit
    before = files_of(results / "runs")
    with caplog.at_level("INFO"):
        assert main(FUVAS) == 0
    assert "2 points: 2 complete, 0 to do" in caplog.text and "don't count" not in caplog.text
    after = files_of(results / "runs")
    assert {name: after[name] for name in before} == before and {Path(name).suffix for name in after} <= {
        *(Path(name).suffix for name in before),
        ".lock",
    }


def test_runs_whose_scores_changed_are_made_again_and_it_is_said(
    results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = {path.name for path in results.glob("runs/folder/random/*")}
    assert main(RANDOM) == 0
    assert (
        "2 complete runs of an earlier start don't count, because numbers changed: result version 2 in place of 1 (the "
        "scores are now those of the baseline of this name under every run); they stay: seed=0, seed=1"
    ) in caplog.text
    new = {path.parent.name for path in results.glob("runs/folder/random/*/run.json")}
    assert old < new and len(new) == 4
    caplog.clear()
    assert main(RANDOM) == 0  # done now, so nothing is said
    assert "don't count" not in caplog.text


def test_another_schema_version_is_said(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in results.glob("runs/folder/random/*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 0}))
    assert main(RANDOM) == 0
    assert "don't count, their records have schema version 0 and today's 1" in caplog.text


def test_other_labels_are_said(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    (results.parent / "data" / "labels.csv").write_text("video,start,end\nb,1,4\nc,2,4\n")
    assert main(FUVAS) == 0
    assert "don't count, because of what differs: labels; they stay: model.pca_level=0.9, model" in caplog.text


@pytest.mark.usefixtures("own_registry")
def test_a_plug_in_that_changed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "density.py"
    shutil.copy(EXAMPLES / "density.py", path)
    words = ["-m", "model=brightness", "dataset=squares", "seed=0", "tracking=none", f"results={tmp_path / 'results'}"]
    words += ["--plugin", str(path)]
    words += [word for name in ("model", "dataset") for word in ("--plugin", str(EXAMPLES / f"{name}.py"))]
    assert main(words) == 0
    path.write_text(path.read_text() + "# changed\n")
    del registry._parts["density", "diagonal"], registry._loaded[str(path)]
    assert main(words) == 0
    assert "don't count, because of what differs: plug-in density diagonal" in caplog.text


def test_a_stream_with_its_documented_density_is_the_configuration_of_older_records() -> None:
    old = {"model": {"name": "ai_vad"}, "density": {"name": "attributes", "bank_pose": "all"}}
    new = {**old, "density": {**old["density"], "velocity": None, "pose": None, "deep": None}}
    assert without_written_out(new) == without_written_out(old)
    assert without_written_out({"density": {**new["density"], "pose": {"name": "knn"}}}) != without_written_out(new)
