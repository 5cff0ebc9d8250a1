"""Each method says whether another seed can change its scores; a table believes it."""

from __future__ import annotations

import pytest

from tests.integration.small_ped2 import write_small_ped2
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
