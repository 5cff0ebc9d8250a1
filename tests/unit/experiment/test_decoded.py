"""Every frame of a run is decoded once: for the detector, and for the baselines under it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from vadbench.config.compose import compose
from vadbench.experiment import run as run_module
from vadbench.experiment.run import run

FRAMES = {"dataset.n_train": 2, "dataset.n_test": 2, "dataset.n_frames": 24}
ALL = 4 * 24


def _record(results: Path, *words: str) -> dict[str, object]:
    small = [f"{key}={value}" for key, value in FRAMES.items()]
    common = ["dataset=synthetic", "dataset.size=[48,64]", "tracking=none", "model.visualizer=false"]
    return run(compose([*common, *small, f"results={results}", f"dataset.root={results}/data", *words])).record


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["model=fuvas", "backbone=gradient3d"], "model.pca_level=0.9"),
        (["model=fuvas", "backbone=flow_grid"], "model.pca_level=0.9"),
        (
            ["model=ai_vad", "regions.detector=none", "flow=dis", "model.use_pose_features=false"],
            "density.n_components_velocity=1",
        ),
    ],
    ids=["gradient3d", "flow_grid", "ai_vad"],
)
def test_every_frame_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], setting: str
) -> None:
    monkeypatch.setattr(run_module, "assess", partial(run_module.assess, resamples=20))
    if "model=ai_vad" in words:
        words = [*words, "model.use_deep_features=false", "model.velocity_crop_size=null"]
    assert _record(tmp_path, *words)["frames_decoded"] == ALL
    # Another setting of the density reads no frame again.
    assert _record(tmp_path, *words, setting)["frames_decoded"] == 0


def test_random_weights_cost_the_frames_up_to_the_last_calibration_clip_only(tmp_path: Path) -> None:
    words = ["model=fuvas", "backbone=x3d_xs", "backbone.weights=random", "backbone.size=[32,32]"]
    decoded = _record(tmp_path, *words, "backbone.clip_stride=4", "dataset.max_frames=null")["frames_decoded"]
    train = 2 * 24
    assert ALL < decoded <= ALL + train
