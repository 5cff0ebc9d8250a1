"""The main job on the real Ped2 clips, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("main_job_ped2")]

LENGTHS = {"01": 180, "03": 150, "05": 150, "07": 180, "09": 120, "11": 180}


def vadbench(folder: Path, *words: str) -> tuple[str, Path]:
    done = subprocess.run([sys.executable, "-m", "vadbench", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("run folder:")
    return done.stdout, folder / last.split()[-1]


@pytest.fixture(scope="module")
def ped2(shared: Path) -> str:
    return f"dataset.root={shared / 'ucsd_ped2'}"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ped2")


@pytest.fixture(scope="module")
def flow_run(work: Path, ped2: str) -> tuple[str, Path]:
    return vadbench(work, "model=fuvas", "dataset=ucsd_ped2", ped2, "backbone=flow_grid", "tracking=none")


def test_flow_features_reach_the_stated_number(flow_run: tuple[str, Path]) -> None:
    text, folder = flow_run
    record = json.loads((folder / "run.json").read_text())
    assert record["metrics"]["frame_auroc_micro"]["value"] >= 0.95
    assert "PARTIAL DATA: 12 of 16 training and 6 of 12 test videos" in text
    assert "FUVAS on flow_grid features" in text
    assert record["dataset"]["partial"] and not record["dataset"]["comparable"]
    assert record["peak_memory_mb"] < 3000
    assert 0.7 < record["baselines"]["frame_difference"]["value"] < 0.9


def test_every_frame_of_the_six_clips_has_one_finite_score(flow_run: tuple[str, Path]) -> None:
    scores = pd.read_parquet(flow_run[1] / "scores.parquet")
    assert list(scores.columns) == ["video", "frame", "score", "label", "filled"]
    assert len(scores) == 960 and np.isfinite(scores["score"]).all()
    assert scores.groupby("video").size().to_dict() == LENGTHS
    for _, part in scores.groupby("video"):
        assert part["frame"].tolist() == list(range(len(part)))
    assert int(scores["label"].sum()) == 830


def test_the_same_command_again_says_that_the_run_exists(flow_run: tuple[str, Path], work: Path, ped2: str) -> None:
    words = ["model=fuvas", "dataset=ucsd_ped2", ped2, "backbone=flow_grid", "tracking=none"]
    text, folder = vadbench(work, *words)
    assert "This run exists" in text and folder == flow_run[1]
    before = pd.read_parquet(folder / "scores.parquet")
    cold = f"store.path={work / 'another_cache'}"
    again, second = vadbench(work, *words, "on_existing=rerun", cold, "results=elsewhere")
    assert "This run exists" not in again
    pd.testing.assert_frame_equal(before, pd.read_parquet(second / "scores.parquet"), check_exact=True)
    done = subprocess.run(
        [sys.executable, "-m", "vadbench", *words, "on_existing=error"], cwd=work, capture_output=True, text=True
    )
    assert done.returncode == 2 and "this run exists" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("backbone", ["x3d_s", "swin3d_t", "r3d_18"])
def test_networks_with_random_weights_run_and_shout(work: Path, ped2: str, backbone: str) -> None:
    # Small frames and few clips: the numbers of random weights mean nothing, the path through the network does.
    small = ["backbone.size=[48,48]", "backbone.clip_length=8", "backbone.clip_stride=60", "model.layer=null"]
    words = ["model=fuvas", "dataset=ucsd_ped2", ped2, f"backbone={backbone}", "backbone.weights=random", *small]
    text, folder = vadbench(work, *words, "tracking=none")
    scores = pd.read_parquet(folder / "scores.parquet")
    assert len(scores) == 960 and np.isfinite(scores["score"]).all()
    assert "RANDOM WEIGHTS" in text
    record = json.loads((folder / "run.json").read_text())
    assert record["weights"][0]["name"] == "random" and record["weights"][0]["digest"]
    assert "pixel_auroc" in record["metrics"]
