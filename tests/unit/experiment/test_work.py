"""What a record says of the work of a run, and that no work is done twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vadbench.backbones import imports
from vadbench.config.compose import compose
from vadbench.experiment import run as run_module
from vadbench.experiment.run import prepare, run
from vadbench.models.clips.detector import ClipDensity
from vadbench.store.features import FeatureStore, MemoryStore

SMALL = [
    "dataset=synthetic",
    "dataset.size=[48,64]",
    "dataset.n_train=2",
    "dataset.n_test=2",
    "dataset.n_frames=24",
    "tracking=none",
    "model.visualizer=false",
]
RANDOM = [
    "model=fuvas",
    "backbone=x3d_xs",
    "backbone.weights=random",
    "backbone.size=[32,32]",
    "backbone.clip_stride=4",
]


def _words(results: Path, *words: str) -> list[str]:
    return [*SMALL, f"results={results}", f"dataset.root={results}/data", *words]


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(run_module, "assess", partial(run_module.assess, resamples=20))
    return lambda *words: run(compose(_words(tmp_path, *words))).record


def test_every_clip_goes_through_the_network_once(record: Any) -> None:
    fresh = record(*RANDOM)
    clips = 4 * len(range(0, 24 - fresh_span(RANDOM) + 1, 4))
    assert fresh["work"] == {"clips": clips, "calibration_clips": min(16, clips // 2)}
    assert fresh["runtime"] == {"device": "cpu", "threads": 1, "batch_size": 1}
    assert fresh["store"]["written_bytes"] > 0

    again = record(*RANDOM, "model.pca_level=3")
    assert again["work"] == {"clips": 0, "calibration_clips": 0}
    assert again["frames_decoded"] == 0
    assert again["runtime"]["batch_size"] is None
    assert again["store"]["misses"] == 0
    assert again["store"]["read_bytes"] > 0


def fresh_span(words: list[str]) -> int:
    backbone = compose([*SMALL, *words]).backbone
    return (backbone.clip_length - 1) * backbone.frame_step + 1


def test_another_layer_finds_the_statistics_of_random_weights(tmp_path: Path) -> None:
    first, second = "blocks.2", "blocks.4"

    def extracted(layer: str, store: FeatureStore | MemoryStore) -> tuple[np.ndarray, dict[str, int]]:
        data, detector = prepare(compose(_words(tmp_path, *RANDOM, f"model.layer={layer}", "runtime.device=cpu")))
        assert isinstance(detector, ClipDensity)
        found = store.get(detector.extractor, data.test[0])[layer]["features"]
        return np.array(found), detector.extractor.work

    _, work = extracted(first, FeatureStore(tmp_path / "store"))
    assert work["calibration_clips"] > 0
    kept, work = extracted(second, FeatureStore(tmp_path / "store"))
    assert work["calibration_clips"] == 0
    alone, work = extracted(second, MemoryStore())
    assert work["calibration_clips"] > 0
    np.testing.assert_array_equal(kept, alone)


def test_statistics_of_other_training_clips_or_another_seed_are_others(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    for words in ([], ["seed=1"], ["dataset.train_videos=[train_01]"]):
        data, detector = prepare(compose(_words(tmp_path, *RANDOM, *words)))
        assert isinstance(detector, ClipDensity)
        store.get(detector.extractor, data.test[0])
        assert detector.extractor.work["calibration_clips"] > 0


@pytest.mark.parametrize(("gib", "clips"), [(8, 16), (23.7, 16), (24, 16), (40, 32), (47.5, 32), (79, 64), (139, 64)])
def test_the_memory_of_a_gpu_decides_the_batch_size(monkeypatch: pytest.MonkeyPatch, gib: float, clips: int) -> None:
    import torch

    monkeypatch.setattr(imports, "torch_device", lambda name: torch.device("cuda", 0))
    memory = SimpleNamespace(total_memory=int(gib * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    assert imports.images_at_once("cuda") == clips


@pytest.mark.parametrize(("words", "clips"), [([], 5), (["runtime.batch_size=2"], 2)])
def test_an_explicit_batch_size_wins(
    record: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], clips: int
) -> None:
    monkeypatch.setattr("vadbench.backbones.network.images_at_once", lambda device: 5)
    assert record(*RANDOM, *words)["runtime"]["batch_size"] == clips


def test_ai_vad_counts_pairs_and_regions(record: Any) -> None:
    words = ["model=ai_vad", "regions.detector=none", "flow=dis", "model.use_pose_features=false"]
    words += ["model.use_deep_features=false", "model.velocity_crop_size=null"]
    work = record(*words)["work"]
    assert work["pairs"] == 4 * 23
    assert work["regions"] > 0
    assert record(*words, "seed=7")["work"] == {"pairs": 0, "regions": 0}
