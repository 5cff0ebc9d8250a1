"""A stranger's first commands, on a small synthetic dataset: what is printed, what is on disk, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SMALL = ["dataset=synthetic", "dataset.n_train=2", "dataset.n_test=2", "dataset.n_frames=60", "dataset.size=[72,96]"]
SMALL += ["tracking=none"]
FUVAS = ["model=fuvas", "backbone=flow_grid", *SMALL]


def vadbench(folder: Path, *words: str, status: int = 0) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-m", "vadbench", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main_job")


@pytest.fixture(scope="module")
def run_folder(work: Path) -> Path:
    out, _ = vadbench(work, *FUVAS)
    return work / out.strip().splitlines()[-1].split()[-1]


def test_the_run_folder_holds_what_the_record_promises(run_folder: Path) -> None:
    names = {p.name for p in run_folder.iterdir()}
    promised = {"config.yaml", "overrides.txt", "scores.parquet", "per_video.parquet", "environment.json", "log.txt"}
    assert promised | {"run.json", "card.json", "pictures", "maps"} <= names
    assert "state.json" not in names
    record = json.loads((run_folder / "run.json").read_text())
    assert record["schema_version"] == 1 and record["status"] == "complete"
    assert record["fingerprint"] == run_folder.name
    assert record["fit"]["learning_type"] == "one_class"
    for entry in record["metrics"].values():
        assert {"value", "n_videos", "protocol"} <= entry.keys()
    assert record["coverage"]["frames"] == len(pd.read_parquet(run_folder / "scores.parquet"))
    assert (run_folder / "overrides.txt").read_text().split() == FUVAS
    assert list((run_folder / "pictures").glob("scores_*.png"))


def test_off_means_off(work: Path) -> None:
    off = ["model.evaluator=false", "model.visualizer=false", "results=off"]
    out, _ = vadbench(work, *FUVAS, *off)
    folder = work / out.strip().splitlines()[-1].split()[-1]
    assert not (folder / "pictures").exists() and not (folder / "per_video.parquet").exists()
    assert json.loads((folder / "run.json").read_text())["metrics"] == {}
    assert not (work / "off" / "tracking").exists()


def test_heat_maps_where_wanted(work: Path) -> None:
    out, _ = vadbench(work, *FUVAS, "model.heatmap_frames=2", "results=heat")
    folder = work / out.strip().splitlines()[-1].split()[-1]
    assert len(list((folder / "pictures").glob("heat_*.png"))) == 4


def test_a_protocol_for_other_clips_says_so_first_and_last(work: Path) -> None:
    out, err = vadbench(work, *FUVAS, "protocol=anomalib_fuvas", "results=clips")
    said = "protocol anomalib_fuvas assumes backbone.clip_length=13 (here 4)"
    assert f"WARNING: {said}" in err and f"! {said}" in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["dataset=avenue", "dataset.root=/nowhere", "backbone=flow_grid"], "/nowhere"),
        (["dataset=ucsd_ped2", "backbone=flow_grid"], "dataset.root"),
        ([*SMALL, "backbone=flow_grid", "model.layer=blocks.4"], "has no layer 'blocks.4'"),
        ([*SMALL, "backbone=x3d_s", "backbone.weights=/no/such.pth"], "/no/such.pth"),
        (["dataset=synthetic", "model=fuvas", "model.pca_level=1.5"], "pca_level=1.5"),
        (["tabel"], "Did you mean: table"),
        (["-x"], "no such option"),
    ],
)
def test_mistakes_cost_one_message(work: Path, words: list[str], part: str) -> None:
    before = sorted(p for p in work.rglob("run.json"))
    out, err = vadbench(work, *words, status=2)
    assert part in err, err
    assert out == "" and before == sorted(work.rglob("run.json"))


def test_a_wrong_layer_of_a_network_is_named_with_the_nearest(work: Path) -> None:
    _, err = vadbench(work, *SMALL, "backbone=x3d_s", "backbone.weights=random", "model.layer=block.4", status=2)
    assert "block.4" in err and "blocks.4" in err


def test_help_and_list_are_quick_and_import_nothing_heavy(work: Path) -> None:
    for command in (["--help"], ["list"]):
        code = (
            "import sys, vadbench.cli.main as c; status = c.main(sys.argv[1:]);"
            "heavy = {'torch', 'mlflow'} & set(sys.modules); assert not heavy, heavy; sys.exit(status)"
        )
        done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=work)
        assert done.returncode == 0, done.stderr
        cpu = min(cpu_seconds([sys.executable, "-m", "vadbench", *command], work) for _ in range(2))
        assert cpu < 1.5, f"{command} took {cpu:.2f} CPU seconds"


def cpu_seconds(words: list[str], folder: Path) -> float:
    before = os.times()
    subprocess.run(words, cwd=folder, capture_output=True, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_the_verbs_on_a_run(work: Path, run_folder: Path) -> None:
    out, _ = vadbench(work, *FUVAS, "model.pca_level=0.5")
    other = work / out.strip().splitlines()[-1].split()[-1]
    compared, _ = vadbench(work, "compare", str(run_folder), str(other))
    assert "model.pca_level: 0.98 -> 0.5" in compared and "paired bootstrap over 2 videos" in compared
    page, _ = vadbench(work, "report", str(run_folder))
    html = Path(page.strip())
    text = html.read_text()
    assert (
        "data:image/png;base64" in text and "frame_auroc_micro" in text and "http" not in text.split("<h2>Settings")[0]
    )
    _, err = vadbench(work, "compare", str(run_folder), str(work), status=2)
    assert "no complete run there" in err


def test_scores_do_not_depend_on_what_was_cached(work: Path, run_folder: Path) -> None:
    out, _ = vadbench(work, *FUVAS, "results=fresh")
    fresh = work / out.strip().splitlines()[-1].split()[-1]
    first, second = (pd.read_parquet(f / "scores.parquet") for f in (run_folder, fresh))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert np.isfinite(first["score"]).all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_so_and_goes_on(work: Path, number: signal.Signals) -> None:
    results = f"stopped_{number.name}"
    words = [*FUVAS, f"results={results}", "dataset.n_frames=300", "dataset.n_test=1", "dataset.n_train=1"]
    words += ["backbone=x3d_xs", "backbone.weights=random", "backbone.clip_stride=1"]
    words.remove("backbone=flow_grid")
    process = subprocess.Popen(
        [sys.executable, "-m", "vadbench", *words], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    states = work / results / "runs" / "synthetic" / "fuvas"
    while not list(states.glob("*/state.json")) and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=200)
    assert process.returncode != 0 and "Traceback" not in err, err
    state = json.loads(next(states.glob("*/state.json")).read_text())
    assert state["state"] == "interrupted"
    assert not list(states.glob("*/run.json")) and out == ""
