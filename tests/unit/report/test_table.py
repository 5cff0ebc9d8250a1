"""Tables: seeds pooled, weights named, partial data marked, every number where it belongs, in every format."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path

import pytest
import yaml

from vadbench.errors import DataError
from vadbench.report.rows import rows
from vadbench.report.table import find_runs, format_rows, run, sweep_table
from vadbench.run_folder import RunFolder


def _write(results: Path, key: str, seed: int = 0, level: float = 0.9, auroc=0.9, **changes) -> Path:
    """A complete run folder with what a table reads."""
    folder = results / "runs" / "ucsd_ped2" / "fuvas" / key
    folder.mkdir(parents=True)
    record = {
        "names": {
            "dataset": "ucsd_ped2",
            "model": "fuvas",
            "backbone": "x3d_s",
            "layer": "blocks.4",
            "protocol": "raw",
        },
        "seed": seed,
        "metrics": {
            "frame_auroc_micro": {"value": auroc, "ci_low": 0.8, "ci_high": 0.95},
            "frame_auroc_macro": {"value": None},
            "delay": {"value": 3.0},
        },
        "weights": [{"part": "backbone", "name": "pretrained"}],
        "dataset": {
            "partial": True,
            "test_videos": 6,
            "expected": {"test_videos": 12},
            "digest": "d",
            "comparable": False,
        },
        **changes,
    }
    config = {"model": {"name": "fuvas", "pca_level": level, "visualizer": seed == 0}, "runtime": {"threads": seed + 1}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def _table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_seeds_are_one_row_with_mean_spread_and_n(tmp_path):
    values = [0.90, 0.92, 0.97]
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=value) for seed, value in enumerate(values)]
    (row,) = rows(folders)
    assert row.seeds == (0, 1, 2)
    spread = row.metrics["frame_auroc_micro"]
    assert spread.mean == pytest.approx(sum(values) / 3)
    assert spread.sd == pytest.approx(statistics.stdev(values))
    assert spread.n == 3
    assert math.isnan(spread.ci_low)
    header, cells = _table(format_rows([row], "markdown", None))
    shown = dict(zip(header, cells, strict=True))
    assert shown["frame auroc micro"] == "0.9300 ± 0.0361"
    assert shown["n"] == "3"
    assert shown["data"] == "6/12"
    assert shown["weights"] == "pretrained"


def test_a_single_run_shows_its_interval(tmp_path):
    header, cells = _table(format_rows(rows([_write(tmp_path, "a")]), "markdown", None))
    shown = dict(zip(header, cells, strict=True))
    assert shown["frame auroc micro"] == "0.9000 [0.800, 0.950]"
    assert shown["frame auroc macro"] == "-"


def test_a_metric_that_some_seeds_lack_says_for_how_many_it_counts(tmp_path):
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=value) for seed, value in enumerate([0.9, None, 0.8])]
    table = _table(format_rows(rows(folders), "markdown", None))
    assert "0.8500 ± 0.0707 (n=2)" in table[1]


def test_settings_that_differ_are_columns_and_others_are_not(tmp_path):
    folders = [_write(tmp_path, f"k{level}", level=level) for level in (0.98, 0.9, 20)]
    header, *cells = _table(format_rows(rows(folders), "markdown", None))
    assert "pca_level" in header
    assert "visualizer" not in header
    at = header.index("pca_level")
    assert [row[at] for row in cells] == ["0.9", "0.98", "20"]


@pytest.mark.parametrize("change", [{"weights": [{"part": "b", "name": "random"}]}, {"dataset": {"digest": "other"}}])
def test_runs_on_other_weights_or_data_are_never_pooled(tmp_path, change):
    folders = [_write(tmp_path, "a", 0), _write(tmp_path, "b", 1, **change)]
    assert len(rows(folders)) == 2


def test_random_weights_are_shouted_and_own_data_is_named(tmp_path):
    weights = [{"part": "backbone", "name": "random"}]
    text = format_rows(rows([_write(tmp_path, "a", weights=weights, dataset={"expected": {}})]), "markdown", None)
    assert "RANDOM" in text
    assert "| own" in text


def test_the_data_column():
    from vadbench.report.rows import _data

    official = {"expected": {"test_videos": 12}, "test_videos": 12}
    assert _data({**official, "partial": False, "comparable": True}) == "full"
    assert _data({**official, "partial": False, "comparable": False}) == "subset"
    assert _data({**official, "test_videos": 6, "partial": True}) == "6/12"
    assert _data({"expected": {}}) == "own"


def test_csv_has_every_metric_unrounded(tmp_path):
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=value) for seed, value in enumerate([1 / 3, 2 / 3])]
    header, cells = csv.reader(io.StringIO(format_rows(rows(folders), "csv", None)))
    shown = dict(zip(header, cells, strict=True))
    assert float(shown["frame_auroc_micro.mean"]) == 0.5
    assert float(shown["frame_auroc_micro.sd"]) == statistics.stdev([1 / 3, 2 / 3])
    assert shown["frame_auroc_micro.n"] == "2"
    assert shown["frame_auroc_macro.mean"] == ""
    assert shown["delay.mean"] == "3.0"
    assert shown["seeds"] == "0 1"


def test_latex_escapes_what_latex_would_read(tmp_path):
    text = format_rows(rows([_write(tmp_path, "a")]), "latex", ["frame_auroc_micro"])
    assert r"ucsd\_ped2" in text
    assert r"\begin{tabular}{" in text
    body = text.replace(r"\_", "")
    assert "_" not in body


def test_an_unknown_metric_gets_its_neighbours(tmp_path):
    with pytest.raises(DataError, match="Did you mean: frame_auroc_micro"):
        format_rows(rows([_write(tmp_path, "a")]), "markdown", ["frame_auroc_mikro"])


def test_which_folders_are_meant(tmp_path):
    one, two = _write(tmp_path, "a"), _write(tmp_path, "b", 1)
    (tmp_path / "runs" / "ucsd_ped2" / "fuvas" / "unfinished").mkdir()
    sweep = tmp_path / "sweeps" / "s"
    sweep.mkdir(parents=True)
    (sweep / "sweep.json").write_text(json.dumps({"points": [{"fingerprint": "b"}]}))
    assert (
        find_runs(tmp_path) == find_runs(tmp_path / "runs") == find_runs(tmp_path / "runs" / "ucsd_ped2") == [one, two]
    )
    assert find_runs(one) == [one]
    assert find_runs(sweep) == [two]
    with pytest.raises(DataError, match="there is no such folder"):
        find_runs(tmp_path / "none")


def test_the_verb(tmp_path, capsys):
    assert run([str(tmp_path)]) == 0
    assert "no complete run" in capsys.readouterr().out
    _write(tmp_path, "a")
    assert run([str(tmp_path), "--format", "csv", "--metrics", "delay"]) == 0
    header, _ = csv.reader(io.StringIO(capsys.readouterr().out))
    assert "delay.mean" in header
    assert "frame_auroc_micro.mean" not in header


def test_a_sweep_lists_what_is_not_complete(tmp_path):
    folder = RunFolder(_write(tmp_path, "a"))
    points = [
        {"state": "complete", "label": "seed=0"},
        {"state": "failed", "label": "seed=1", "reason": "ValueError: a\n b | c", "log": "/x/log.txt"},
    ]
    text = sweep_table([folder, RunFolder(tmp_path / "none")], points)
    assert "1 of 2 points are not complete" in text
    assert r"| failed | seed=1 | ValueError: a b \| c | /x/log.txt |" in text
    assert "0.9000" in text


def test_reading_rows_imports_no_torch_and_no_mlflow():
    import subprocess
    import sys

    code = "import sys, vadbench.report.table; assert not {'torch', 'mlflow', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_differs_because_the_backbone_does_is_no_column(tmp_path):
    first = _write(tmp_path, "a")
    names = {"dataset": "ucsd_ped2", "model": "fuvas", "backbone": "flow_grid", "layer": "grid", "protocol": "raw"}
    second = _write(tmp_path, "b", names=names)
    for folder, length in ((first, 13), (second, 4)):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "backbone": {"clip_length": length}}))
    assert [row.settings for row in rows([first, second])] == [{}, {}]


def test_storage_precision_is_a_setting_and_never_pooled(tmp_path):
    folders = [_write(tmp_path, "a", 0), _write(tmp_path, "b", 1)]
    for folder, dtype in zip(folders, ("float32", "float16"), strict=True):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "store": {"dtype": dtype, "path": str(folder)}}))
    assert [row.settings for row in rows(folders)] == [{"store.dtype": "float16"}, {"store.dtype": "float32"}]
