"""What a tracking store is told of a run, and that MLflow takes it."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tracking.run_folders import write_failed, write_run
from vadbench.runs.run_folder import RunFolder
from vadbench.tracking.run_entry import CONTENT, FINGERPRINT, read_entry, safe_name


def test_a_complete_run(tmp_path):
    folder = write_run(tmp_path)
    entry = read_entry(folder)
    assert entry is not None
    assert (entry.experiment, entry.status) == ("synthetic", "FINISHED")
    assert entry.name == "fuvas flow_grid flow pca 0.9 seed 3"
    assert entry.end_ms - entry.start_ms == 2000
    assert entry.params == {
        "model": "fuvas",
        "backbone": "flow_grid",
        "layer": "flow",
        "density": "pca",
        "dataset": "synthetic",
        "seed": "3",
        "model.pca_level": "0.9",
        "density.components": "enough",
        "backbone.clip_length": "4",
        "backbone.clip_stride": "5",
        "backbone.options.cell": "12",
    }
    assert entry.metrics == {
        "frame_auroc_micro": 0.75,
        "frame_auroc_micro/ci_low": 0.7,
        "frame_auroc_micro/ci_high": 0.8,
        "sigma_3": 0.8,
        "baseline/random": 0.5,
        "seconds/fit": 1.5,
        "seconds/score": 0.5,
        "frames_per_second": 100.0,
        "peak_memory_mb": 321.0,
    }
    assert entry.tags[FINGERPRINT] == "a" * 16
    assert entry.tags["vadbench.git_sha"] == "c0ffee"
    assert entry.tags["vadbench.partial"] == "True"
    assert entry.tags["vadbench.weights"] == "backbone: random ffffffffffff"
    assert entry.tags["vadbench.undefined"] == "frame_auroc_macro"
    assert entry.tags["vadbench.warnings"] == "a mask is missing"
    assert [p.name for p in entry.files] == [
        "config.yaml",
        "environment.json",
        "overrides.txt",
        "curve.png",
        "run.json",
    ]


def test_another_record_is_other_content(tmp_path):
    one = read_entry(write_run(tmp_path, auroc=0.75))
    two = read_entry(write_run(tmp_path, auroc=0.76))
    again = read_entry(write_run(tmp_path, auroc=0.75))
    assert one.tags[CONTENT] == again.tags[CONTENT] != two.tags[CONTENT]


def test_unfinished_runs(tmp_path):
    failed = read_entry(write_failed(tmp_path))
    assert failed.status == "FAILED"
    assert failed.tags["vadbench.reason"] == "ValueError: no"
    silent = write_failed(tmp_path, state="running", pid=1)  # a number that lives, and no lock that is held
    assert read_entry(silent).status == "KILLED"
    with RunFolder(silent).lock():
        assert read_entry(silent) is None
    assert read_entry(tmp_path / "nothing") is None


def test_metrics_of_several_protocols_have_names_of_their_own(tmp_path):
    nested = {"raw": {"auroc": {"value": 0.5}}, "smoothed": {"auroc": {"value": 0.6, "ci_low": None}}}
    assert {k: v for k, v in read_entry(write_run(tmp_path, metrics=nested)).metrics.items() if "auroc" in k} == {
        "raw/auroc": 0.5,
        "smoothed/auroc": 0.6,
    }


def test_infinities_are_left_out_and_named(tmp_path):
    entry = read_entry(write_run(tmp_path, auroc=float("inf")))
    assert "frame_auroc_micro" not in entry.metrics
    assert entry.tags["vadbench.undefined"] == "frame_auroc_micro, frame_auroc_macro"


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_name_becomes_one_that_mlflow_takes(name):
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

    cleaned = safe_name(name)
    assert 1 <= len(cleaned) <= 250 and safe_name(cleaned) == cleaned
    for check in (_validate_metric_name, _validate_param_name, _validate_tag_name):
        check(cleaned)


def test_reading_an_entry_does_not_import_mlflow(tmp_path):
    folder = write_run(tmp_path)
    code = (
        "import sys; from pathlib import Path; from vadbench.tracking.run_entry import read_entry; "
        "import vadbench.tracking.mlflow_mirror, vadbench.cli.sync; "
        f"assert read_entry(Path({str(folder)!r})); assert 'mlflow' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
