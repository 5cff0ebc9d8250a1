"""Heat maps of a complete run are the ones that the run itself would have drawn, and cost no second run."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import cv2
import pytest

from tests.unit.models.ai_vad.moving import street
from vadbench.cli.main import main
from vadbench.config.compose import compose
from vadbench.experiment.run import run
from vadbench.store.features import FeatureStore

TINY = ["dataset=synthetic", "dataset.n_train=2", "dataset.n_test=2", "dataset.n_frames=24", "dataset.size=[48,64]"]
FUVAS = ["model=fuvas", "backbone=flow_grid", "model.evaluator=false", *TINY]
AI_VAD = [
    "model=ai_vad", "dataset=ucsd_ped2", "regions=none", "flow=dis", "regions.min_bbox_area=20",
    "model.use_pose_features=false", "model.use_deep_features=false", "model.velocity_crop_size=null",
    "model.evaluator=false", "runtime.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def methods(tmp_path_factory) -> dict[str, list[str]]:
    """Overrides of a quick run of each method that has maps."""
    root = tmp_path_factory.mktemp("data")
    for split, name, speed in (("Train", "Train001", 1.7), ("Train", "Train002", 1.7), ("Test", "Test001", -9.0)):
        place = root / "UCSDped2" / split / name
        place.mkdir(parents=True)
        for number, frame in enumerate(street(name, 24, (2.0, speed)).frames(), 1):
            cv2.imwrite(str(place / f"{number:03d}.tif"), frame[..., ::-1])
    fuvas = [*FUVAS, f"dataset.root={root}"]
    return {
        "fuvas": fuvas,
        "fuvas all": [*fuvas, "model.target_frame=all"],
        "ai_vad": [*AI_VAD, f"dataset.root={root}"],
    }


def heat_maps(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").glob("heat_*.png")}


def untouchable(*_: object, **__: object) -> None:
    raise AssertionError("a complete run must not be scored again")


@pytest.mark.parametrize("method", ["fuvas", "fuvas all", "ai_vad"])
def test_a_complete_run_is_drawn_from_what_it_keeps(methods, method, tmp_path, monkeypatch, caplog):
    words = [*methods[method], "tracking=none"]
    wanted = [*words, "model.heatmap_frames=2"]
    at_once = run(compose([*wanted, f"results={tmp_path / 'at_once'}"])).folder.path
    later = run(compose([*words, f"results={tmp_path / 'later'}"])).folder.path
    assert heat_maps(at_once) and not heat_maps(later)
    monkeypatch.setattr("vadbench.experiment.run.score_dataset", untouchable)
    with caplog.at_level(logging.INFO):
        assert run(compose([*wanted, f"results={tmp_path / 'later'}"])).existed
    assert heat_maps(later) == heat_maps(at_once)
    assert f"{len(heat_maps(later))} heat maps drawn" in caplog.text
    monkeypatch.setattr("vadbench.report.curves.draw_heatmaps", untouchable)  # those that are there stay
    run(compose([*wanted, f"results={tmp_path / 'later'}"]))


def test_maps_that_are_gone_are_named(methods, tmp_path, caplog):
    words = [*methods["fuvas"], "tracking=none", f"results={tmp_path}"]
    folder = run(compose(words)).folder.path
    shutil.rmtree(folder / "maps")
    assert run(compose([*words, "model.heatmap_frames=2"])).existed
    assert "model.heatmap_frames=2: no heat maps drawn" in caplog.text and "on_existing=rerun" in caplog.text
    assert not heat_maps(folder)


def test_regions_that_were_pruned_are_not_extracted_again(methods, tmp_path, caplog, monkeypatch):
    words = [*methods["ai_vad"], "tracking=none", f"results={tmp_path}"]
    folder = run(compose(words)).folder.path
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(FeatureStore, "_extract", untouchable)
    assert run(compose([*words, "model.heatmap_frames=1"])).existed
    assert "no heat maps drawn" in caplog.text and not heat_maps(folder)


def test_the_complete_points_of_a_sweep_are_drawn_too(methods, tmp_path):
    words = [*methods["fuvas"], "tracking=none", f"results={tmp_path}", "model.pca_level=0.5,0.9"]
    assert main(["-m", *words]) == 0
    assert main(["-m", *words, "model.heatmap_frames=1"]) == 0
    folders = [path.parent for path in tmp_path.glob("runs/*/*/*/run.json")]
    assert [len(heat_maps(folder)) for folder in folders] == [2, 2]


def evaluated(words):
    return [*(word for word in words if word != "model.evaluator=false"), "tracking=none"]


@pytest.mark.parametrize("method", ["fuvas", "fuvas all"])
@pytest.mark.parametrize("first", ["histogram", "off"])
def test_a_single_run_makes_pixel_metrics_exact_from_the_maps(methods, method, first, tmp_path, monkeypatch):
    """The record becomes that of a run which was exact at once, to the bit, and nothing is scored again."""
    words = evaluated(methods[method])
    exact = run(compose([*words, f"results={tmp_path / 'exact'}"])).record
    before = run(compose([*words, f"results={tmp_path / 'later'}", f"evaluation.pixels={first}"])).record
    assert exact["pixels"]["method"] == "exact" and before["pixels"]["method"] == first
    if first == "histogram":
        for name in ("pixel_auroc", "pixel_ap", "aupro"):
            value, bound = (before["metrics"][name][key] for key in ("value", "bound"))
            assert 0 <= bound < 0.01 and abs(value - exact["metrics"][name]["value"]) <= bound
    else:
        assert "evaluation.pixels=off" in before["pixels"]["reason"]
        assert not any(name.startswith(("pixel", "aupro")) for name in before["metrics"])
    monkeypatch.setattr("vadbench.experiment.run.score_dataset", untouchable)
    again = run(compose([*words, f"results={tmp_path / 'later'}"]))
    assert again.existed and again.record["fingerprint"] == before["fingerprint"] == exact["fingerprint"]
    assert again.record["metrics"] == exact["metrics"] and again.record["pixels"] == exact["pixels"]
    # What is exact stays, whatever is asked for later.
    assert run(compose([*words, f"results={tmp_path / 'later'}", f"evaluation.pixels={first}"])).record == again.record


def test_pixel_metrics_stay_where_maps_are_gone(methods, tmp_path, caplog):
    words = [*evaluated(methods["fuvas"]), f"results={tmp_path}"]
    before = run(compose([*words, "evaluation.pixels=histogram"]))
    shutil.rmtree(before.folder.path / "maps")
    assert run(compose(words)).record == before.record
    assert "evaluation.pixels=exact: the pixel metrics of this run (histogram) stay" in caplog.text
