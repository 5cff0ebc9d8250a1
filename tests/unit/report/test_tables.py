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

from vadbench.cli.table import run
from vadbench.errors import DataError
from vadbench.report.rows import rows
from vadbench.report.tables import find_runs, format_rows, sweep_table
from vadbench.runs.run_folder import RunFolder


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
    assert _data({"dataset": {**official, "partial": False, "comparable": True}}) == "full"
    assert _data({"dataset": {**official, "partial": False, "comparable": False}}) == "subset"
    assert _data({"dataset": {**official, "test_videos": 6, "partial": True}}) == "6/12"
    assert _data({"dataset": {"expected": {}}}) == "own"
    assert _data({"dataset": {"expected": {}, "label_source": "none"}}) == "own, unlabelled"


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

    code = "import sys, vadbench.report.tables; assert not {'torch', 'mlflow', 'pandas'} & set(sys.modules)"
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


def _cells(folders: list[Path]) -> list[dict[str, str]]:
    header, *cells = _table(format_rows(rows(folders), "markdown", None))
    return [dict(zip(header, row, strict=True)) for row in cells]


def test_labelled_and_unlabelled_runs_of_a_folder_are_two_rows_that_can_be_told_apart(tmp_path):
    folder = {"expected": {}, "digest": "d"}
    unlabelled = {**folder, "label_digest": "0" * 24, "label_source": "none"}
    first = _write(tmp_path, "a", 0, dataset={**folder, "label_digest": "1" * 24, "label_source": "labels.csv"})
    second = _write(tmp_path, "b", 1, dataset=unlabelled, metrics={})
    third = _write(tmp_path, "c", 2, dataset=unlabelled, metrics={})
    labelled, bare = _cells([first, second, third])
    assert (labelled["data"], labelled["n"], labelled["frame auroc micro"]) == ("own", "1", "0.9000 [0.800, 0.950]")
    assert (bare["data"], bare["n"], bare["frame auroc micro"]) == ("own, unlabelled", "2", "-")
    assert "label digest" not in labelled


@pytest.mark.parametrize("what", ["data", "label"])
def test_a_digest_is_shown_where_rows_would_look_alike(tmp_path, what):
    key = "digest" if what == "data" else "label_digest"
    data = {"expected": {}, "digest": "d", "label_digest": "l"}
    folders = [_write(tmp_path, digest, dataset={**data, key: digest * 24}) for digest in "67"]
    assert [row[f"{what} digest"] for row in _cells(folders)] == ["66666666", "77777777"]


def test_other_weights_of_one_name_are_another_row(tmp_path):
    weights = [[{"part": "backbone", "name": "my.pth", "digest": digest * 64}] for digest in "67"]
    folders = [_write(tmp_path, f"k{seed}", seed, weights=w) for seed, w in enumerate(weights)]
    assert [row["weights digest"] for row in _cells(folders)] == ["66666666", "77777777"]


def test_random_weights_of_several_seeds_are_one_row(tmp_path):
    """Their digest differs because the seed does."""
    weights = [[{"part": "backbone", "name": "random", "digest": digest * 64}] for digest in "67"]
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=0.8 + seed / 10, weights=weights[seed]) for seed in (0, 1)]
    (row,) = _cells(folders)
    assert (row["n"], row["frame auroc micro"]) == ("2", "0.8500 ± 0.0707")


def test_a_seed_counts_once_and_the_newest_run_of_it_counts(tmp_path):
    old = _write(tmp_path, "a", 0, auroc=0.5, created="2026-01-01T00:00:00+00:00")
    new = _write(tmp_path, "b", 0, auroc=0.8, created="2026-02-01T00:00:00+00:00")
    other = _write(tmp_path, "c", 1, auroc=0.9, created="2026-01-01T00:00:00+00:00")
    (row,) = rows([new, old, other])
    assert (row.seeds, row.folders, row.left_out) == ((0, 1), (new, other), (old,))
    assert row.metrics["frame_auroc_micro"].mean == pytest.approx(0.85)
    text = format_rows([row], "markdown", None)
    assert "1 run is not counted" in text
    assert "not counted" not in format_rows([row], "csv", None)


@pytest.mark.parametrize("said", [{"uses_seed": False}, {}, {"uses_seed": True}])
def test_a_method_whose_seed_changes_nothing_shows_its_interval(tmp_path, said):
    folders = [_write(tmp_path, f"k{seed}", seed, **said) for seed in range(3)]
    (row,) = _cells(folders)
    assert (row["n"], row["frame auroc micro"]) == ("1", "0.9000 [0.800, 0.950]")


def test_noise_of_the_machine_is_no_spread_over_seeds(tmp_path):
    """A method that does not use its seed, run on two machines."""
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=0.9 + seed * 1e-9, uses_seed=False) for seed in (0, 1)]
    (row,) = _cells(folders)
    assert row["frame auroc micro"] == "0.9000 [0.800, 0.950]"


def test_a_default_that_is_written_out_is_no_other_row(tmp_path):
    folders = [_write(tmp_path, f"k{seed}", seed, auroc=0.8 + seed / 10) for seed in (0, 1)]
    for folder, in_sum, area in zip(folders, (None, ["velocity"]), (None, 100), strict=True):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["model"] |= {"use_velocity_features": True, "use_pose_features": False, "in_sum": in_sum}
        config["regions"] = {"min_bbox_area": 100, "foreground_min_area": area}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (row,) = _cells(folders)
    assert row["n"] == "2" and "in_sum" not in row


def test_a_run_that_was_not_evaluated_is_no_repetition_of_one_that_was(tmp_path):
    folders = [_write(tmp_path, "a", 0), _write(tmp_path, "b", 0, metrics={})]
    for folder, on in zip(folders, (True, False), strict=True):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["model"]["evaluator"] = on
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert sorted((row["evaluator"], row["frame auroc micro"]) for row in _cells(folders)) == [
        ("False", "-"),
        ("True", "0.9000 [0.800, 0.950]"),
    ]


def test_a_density_has_its_column_and_its_keys_only_where_they_differ_for_it(tmp_path):
    densities = [{"name": "pca", "level": 0.98}, {"name": "knn", "n_neighbors": 1}, {"name": "knn", "n_neighbors": 3}]
    for chosen, columns in ((densities[:2], ["density"]), (densities, ["density", "n_neighbors"])):
        folders = []
        for i, density in enumerate(chosen):
            folders.append(_write(tmp_path / str(len(chosen)), f"k{i}"))
            config = {"model": {"name": "clip_density"}, "density": density}
            (folders[-1] / "config.yaml").write_text(yaml.safe_dump(config))
        header = _table(format_rows(rows(folders), "markdown", None))[0]
        assert [name for name in header if name in ("density", "n_neighbors", "level")] == columns


def test_the_level_of_fuvas_is_one_column(tmp_path):
    folders = []
    for i, level in enumerate((0.9, 0.95)):
        folders.append(_write(tmp_path, f"k{i}"))
        config = {"model": {"name": "fuvas", "pca_level": level}, "density": {"name": "pca", "level": level}}
        (folders[-1] / "config.yaml").write_text(yaml.safe_dump(config))
    header = _table(format_rows(rows(folders), "markdown", None))[0]
    assert "pca_level" in header and "level" not in header


FORMULA = "=cmd|'/c calc'!A0"


def _hostile(results: Path) -> None:
    names = {
        "dataset": FORMULA,
        "model": "a|b\x1b[2J\n<script>`x`*",
        "backbone": "@SUM(1)",
        "layer": "-1+2",
        "protocol": "+x",
    }
    for key, level in (("k", -0.5), ("j", 0.5)):
        _write(results, key, level=level, names=names, weights=[{"part": "b", "name": "\t=1"}])
    _write(results, "usual")


def test_a_text_that_a_spreadsheet_would_run_is_quoted_and_a_number_is_not(tmp_path):
    _hostile(tmp_path)
    text = format_rows(rows(find_runs(tmp_path)), "csv", None)
    header, *cells = csv.reader(io.StringIO(text))
    shown = [dict(zip(header, row, strict=True)) for row in cells]
    hostile = next(row for row in shown if row["dataset"].startswith("'"))
    assert hostile["dataset"] == f"'{FORMULA}"
    assert (hostile["backbone"], hostile["layer"], hostile["protocol"]) == ("'@SUM(1)", "'-1+2", "'+x")
    assert hostile["weights"] == "'=1"
    assert {row["model.pca_level"] for row in shown} >= {"-0.5"}
    for cell in (cell for row in (header, *cells) for cell in row):
        assert not cell.startswith(("=", "+", "@", "\t", "\r")) and "\x1b" not in cell and "\n" not in cell


def test_markdown_and_latex_are_escaped(tmp_path):
    _hostile(tmp_path)
    found = rows(find_runs(tmp_path))
    text = format_rows(found, "markdown", None)
    assert "a\\|b \\<script>\\`x\\`\\*" in text and "\x1b" not in text
    assert len(text.splitlines()) == 5  # header, rule, three rows
    assert "ucsd_ped2" in text
    latex = format_rows(found, "latex", None)
    assert r"a\textbar{}b \textless{}script\textgreater{}" in latex


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x_y", "x_y"),
        ("__x__", r"\_\_x\_\_"),
        ("![a](http://x)", r"![a\](http://x)"),
        ("[1, 2]", "[1, 2]"),
        ("a\\", r"a\\"),
    ],
)
def test_what_markdown_reads_as_markup_is_escaped(tmp_path, name, shown):
    folder = _write(tmp_path, "k", names={"dataset": name, "model": "fuvas"})
    assert f"| {shown} " in format_rows(rows([folder]), "markdown", None)


def test_a_folder_that_can_not_be_read_is_named_and_left_out(tmp_path, caplog):
    sound, broken = _write(tmp_path, "sound"), _write(tmp_path, "broken")
    for text in ("", "[]", '{"names": 3}', '{"names": {}}'):
        caplog.clear()
        (broken / "run.json").write_text(text)
        assert [row.folders for row in rows([broken, sound])] == [(sound,)]
        assert str(broken) in caplog.text
