"""Run folders that were made by the code of commit bf60e53 (tests/old_runs) can still be read, shown and drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from vadbench.cli.table import run
from vadbench.config.schema import check
from vadbench.experiment.run import draw_missing, prepare
from vadbench.report.pages import page
from vadbench.report.rows import rows
from vadbench.report.tables import find_runs
from vadbench.tracking.run_entry import read_entry

OLD = Path(__file__).parents[2] / "old_runs"


@pytest.fixture
def old_run(tmp_path) -> Path:
    """A copy of the one whose folder is whole but for its pictures."""
    folder = tmp_path / "runs" / "synthetic" / "fuvas" / "4aa321d991bf1f09"
    shutil.copytree(OLD / "runs" / "synthetic" / "fuvas" / folder.name, folder)
    return folder


def test_three_old_runs_of_fuvas_repeat_one_and_two_random_ones_are_a_spread(capsys):
    """layer null and grid with seed 0, layer grid with seed 1; FUVAS on all clips does not use its seed."""
    fuvas, random = rows(find_runs(OLD))
    assert len(fuvas.seeds) == 1 and len(fuvas.left_out) == 2
    assert random.seeds == (0, 1) and random.left_out == ()
    assert run([str(OLD)]) == 0
    out = capsys.readouterr().out
    assert "0.7909 [0.000, 0.961]" in out
    assert "0.5201 ± 0.0166" in out
    assert "± 0.0000" not in out
    assert "2 runs are not counted" in out


def test_an_old_run_has_a_page(old_run):
    text = page(old_run)
    assert "frame_auroc_micro" in text and "0.79" in text


def test_an_old_run_has_an_entry_in_mlflow(old_run):
    entry = read_entry(old_run)
    assert entry.experiment == "synthetic"
    assert entry.name == "fuvas flow_grid grid pca 0.98 seed 0"
    assert entry.metrics["frame_auroc_micro"] == pytest.approx(0.7908653846)


def test_the_configuration_of_an_old_run_is_understood_and_its_heat_maps_are_drawn(old_run, tmp_path):
    values = yaml.safe_load((old_run / "config.yaml").read_text())
    values["model"]["heatmap_frames"] = 2
    values["dataset"]["root"] = str(tmp_path / "data")
    config = check(values)
    draw_missing(config, *prepare(config), old_run)
    drawn = [path.name for path in (old_run / "pictures").glob("heat_*.png")]
    assert sorted({name.rpartition("_")[0] for name in drawn}) == [f"heat_test_0{n}" for n in range(1, 6)]
    assert len(drawn) == 10
