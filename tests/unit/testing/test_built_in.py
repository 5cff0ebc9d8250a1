"""All built-in parts pass the checks of plug-ins; they are found in the registry, so a new one is checked too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backbones import FACTS
from tests.unit.data import trees
from tests.unit.data.clips import moving_clip, write_images
from vadbench import registry, testing
from vadbench.density.base import BaseDensityEstimator
from vadbench.evaluation.evaluate import evaluate
from vadbench.evaluation.protocols.protocol import load_protocol, protocol_names
from vadbench.models.ai_vad.keys import AiVadConfig
from vadbench.testing import made_up

# What keeps a part small: everything else is as it comes.
STREAMS = ("model.use_pose_features", "model.use_deep_features")
OF_STREAMS = [f"model.{key.name}" for key in fields(AiVadConfig) if key.name.startswith(("pose_", "deep_"))]
SMALL_MODEL = {
    "ai_vad": ["regions=none", "flow=dis", *(f"{key}=false" for key in STREAMS), "model.velocity_crop_size=16"]
}

NETWORKS = sorted((name for name, facts in FACTS.items() if facts.is_network), key=lambda n: FACTS[n].parameters)
SMALL_CLIP = {"s3d": (16, 32, 48)}


def built_in(kind: str) -> list[str]:
    return [part.name for part in registry.parts(kind) if part.is_built_in]


def single_density(name: str) -> bool:
    """Whether it is a density of vectors and not one of several streams, which the test of AI-VAD checks."""
    build = registry.get("density", name).build
    return not isinstance(build, type) or issubclass(build, BaseDensityEstimator)


DENSITIES = [name for name in built_in("density") if single_density(name)]


@pytest.mark.parametrize("name", DENSITIES)
def test_densities(name: str) -> None:
    assert len(testing.check_density(name)) == 7


@pytest.mark.parametrize("words", [["density.bank=kmeans:5"], ["density.bank=coreset:0.5", "density.n_neighbors=3"]])
def test_banks_of_nearest_neighbours(words: list[str]) -> None:
    testing.check_density("knn", *words)


@pytest.mark.parametrize("name", built_in("model"))
def test_models(name: str) -> None:
    words = [*SMALL_MODEL.get(name, [])]
    if "backbone" in registry.get("model", name).facts or name in ("fuvas", "clip_density"):
        words.append("backbone=flow_grid")
    held = testing.check_detector(name, *words, fixed=(*STREAMS, *OF_STREAMS, "regions", "flow"))
    assert "scores that do not depend on the batch size" in held and "no look at labels, masks or tracks" in held


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("unit", ["clip", "location", "patch"])
def test_every_density_of_clip_features(density: str, unit: str) -> None:
    words = ["backbone=flow_grid", "backbone.options.cell=24", f"density={density}", f"model.unit={unit}"]
    held = testing.check_detector("clip_density", *words, fixed=("model", "density"))
    assert ("maps and regions that fit their video" in held) == (unit != "clip" or density == "pca")


@pytest.mark.slow
def test_the_regions_and_the_flow_of_ai_vad() -> None:
    fixed = (*STREAMS, "model", "density", "regions.detector", "flow.method")
    testing.check_detector("ai_vad", *SMALL_MODEL["ai_vad"], fixed=fixed)


@pytest.mark.parametrize("name", [name for name in built_in("backbone") if name not in NETWORKS])
def test_filter_banks(name: str) -> None:
    assert len(testing.check_backbone(name)) == 5


def small(name: str) -> list[str]:
    length, height, width = FACTS[name].fixed_input or SMALL_CLIP.get(name, (4, 32, 48))
    return [f"backbone.{word}" for word in (f"clip_length={length}", f"size=[{height},{width}]", "clip_stride=4")]


def test_the_smallest_network() -> None:
    assert len(testing.check_backbone(NETWORKS[0], *small(NETWORKS[0]), fixed=("backbone",))) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    testing.check_backbone(name, *small(name))


def folder(root: Path) -> Path:
    for split, name in (("train", "one"), ("test", "two")):
        write_images(root / split / name, moving_clip(9, 30, 40, seed=len(split)), ".png")
    (root / "labels.csv").write_text("video,start,end\ntwo,3,5\n")
    return root


ROOTS: dict[str, Callable[[Path], Path]] = {
    "avenue": trees.official_avenue,
    "avenue17": trees.official_avenue,
    "folder": folder,
    "shanghaitech": trees.shanghaitech,
    "ucsd_ped1": lambda root: trees.official_ped(root, "1"),
    "ucsd_ped2": trees.official_ped,
}
DRAWN = [f"dataset.{word}" for word in ("n_train=1", "n_test=2", "n_frames=24", "size=[48,64]")]


@pytest.mark.parametrize("name", built_in("dataset"))
def test_datasets(name: str, tmp_path: Path) -> None:
    words = DRAWN if name not in ROOTS else []
    root = ROOTS[name](tmp_path) if name in ROOTS else tmp_path
    assert len(testing.check_dataset(name, *words, f"dataset.root={root}")) == 4


STEPS = {repr(asdict(step)): step for name in protocol_names() for step in load_protocol(name).steps}


def test_protocols_use_every_step() -> None:
    assert {step.kind for step in STEPS.values()} == set(built_in("protocol_step"))


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_protocol_steps(step: Any) -> None:
    testing.check_protocol_step(asdict(step), dataset="ucsd_ped2")


def frame_metrics(scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    return evaluate(scores, labels, protocols=(), resamples=20).metrics


METRICS = [name for name, entry in frame_metrics(*made_up.scores()).items() if np.isfinite(entry["value"])]


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name: str) -> None:
    def metric(scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> Any:
        return frame_metrics(scores, labels)[name]["value"]

    assert len(testing.check_metric(metric)) == 7


def test_there_are_metrics() -> None:
    assert {"frame_auroc_micro", "frame_auroc_macro"} <= set(METRICS)
