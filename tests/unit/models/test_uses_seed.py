"""Each method says whether another seed can change its scores; a table believes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.small_ped2 import write_small_ped2
from vadbench.cli.main import main
from vadbench.config.compose import compose
from vadbench.experiment.run import run
from vadbench.models.registry import build

FUVAS = ["model=fuvas", "backbone=flow_grid"]
AI_VAD = ["model=ai_vad", "regions=none", "flow=dis", "model.velocity_crop_size=null", "runtime.device=cpu"]
VELOCITY = [*AI_VAD, "model.use_pose_features=false", "model.use_deep_features=false"]
POSE = [*AI_VAD, "model.use_velocity_features=false", "model.use_deep_features=false"]


@pytest.mark.parametrize(
    ("words", "uses"),
    [
        (["model=random"], True),
        (["model=position"], False),
        (["model=frame_difference"], False),
        (FUVAS, False),
        ([*FUVAS, "model.shots=5"], True),
        (["model=fuvas", "backbone=x3d_xs", "backbone.weights=random"], True),
        (VELOCITY, True),
        ([*VELOCITY, "density.n_components_velocity=1"], False),
        (POSE, False),
        ([*POSE, "model.pose_weights=random"], True),
        ([*POSE, "density.bank_pose=kmeans:10"], True),
        ([*POSE, "density.bank_pose=coreset:0.1"], False),
        ([*POSE, "density.calibration_samples=100"], True),
    ],
)
def test_what_uses_the_seed(words: list[str], uses: bool) -> None:
    assert build(compose([*words, "dataset=synthetic"])).uses_seed is uses


@pytest.mark.parametrize(("model", "uses"), [("random", True), ("position", False)])
def test_the_record_says_it(tmp_path, model: str, uses: bool) -> None:
    root = write_small_ped2(tmp_path / "data")
    words = [f"model={model}", "dataset=ucsd_ped2", f"dataset.root={root}", f"results={tmp_path}", "tracking=none"]
    assert run(compose([*words, "model.evaluator=false", "model.visualizer=false"])).record["uses_seed"] is uses


@pytest.mark.parametrize(("model", "runs"), [("random", 3), ("position", 1)])
def test_a_sweep_over_seeds_that_are_not_used_is_one_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str, runs: int
) -> None:
    words = [f"model={model}", "seed=1,2,3", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1"]
    words += [
        "dataset.n_frames=24",
        "tracking=none",
        "model.visualizer=false",
        f"results={tmp_path}",
        "launcher.jobs=1",
    ]
    assert main(["-m", *words]) == 0
    assert len(list(tmp_path.glob("runs/*/*/*/run.json"))) == runs
    said = caplog.text.count("seed has no effect on model=position")
    assert said == (1 if runs == 1 else 0)


def test_a_seed_that_is_not_used_is_that_of_the_run_without_it(tmp_path: Path) -> None:
    words = ["model=position", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24"]
    words += ["tracking=none", "model.visualizer=false", f"results={tmp_path}"]
    first, other = run(compose(words)), run(compose([*words, "seed=7"]))
    assert other.existed and other.folder.path == first.folder.path and other.record["seed"] == 0


def test_a_choice_of_all_videos_and_frames_is_no_other_run(tmp_path: Path) -> None:
    words = ["model=position", "dataset=synthetic", "dataset.n_train=2", "dataset.n_test=1", "dataset.n_frames=24"]
    words += ["tracking=none", "model.visualizer=false", f"results={tmp_path}"]
    first = run(compose(words))
    everything = ["dataset.train_videos=['*']", "dataset.max_frames=1000", "dataset.max_video_frames=1000"]
    for word in everything:
        assert run(compose([*words, word])).folder.path == first.folder.path
    assert run(compose([*words, "dataset.max_frames=20"])).folder.path != first.folder.path
