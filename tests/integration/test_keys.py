"""The key of a run and its result: every key of every built-in composition is varied on a tiny dataset.

A result that changes under the same key fails. A key that changes with the same result fails unless it is listed here
with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadbench import registry
from vadbench.config.compose import compose
from vadbench.config.schema import RunConfig
from vadbench.data.registry import load_dataset
from vadbench.errors import VadbenchError
from vadbench.experiment.evaluate_run import assess
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.experiment.record import with_used_seed
from vadbench.experiment.run import prepare, run_folder
from vadbench.store.features import MemoryStore
from vadbench.testing.require import is_close
from vadbench.testing.variants import variants, with_random_weights

DATA = ["dataset=synthetic", "dataset.n_train=2", "dataset.n_test=1", "dataset.n_frames=24", "dataset.size=[48,64]"]
PLACES = ["tracking=none", "runtime.device=cpu"]
CLIPS = ["backbone.clip_length=3", "backbone.clip_stride=2"]
VELOCITY = ["model=ai_vad", "regions=none", "flow=dis", "regions.min_bbox_area=20", "model.velocity_crop_size=8"]
VELOCITY += ["model.use_pose_features=false", "model.use_deep_features=false"]
NETWORK = ["backbone=x3d_xs", *CLIPS, "backbone.size=[32,32]"]

QUICK = {
    **{name: [f"model={name}"] for name in ("random", "position", "frame_difference")},
    "fuvas": ["model=fuvas", "backbone=gradient3d", *CLIPS],
    "knn": ["model=clip_density", "backbone=gradient3d", "density=knn", "model.unit=location", *CLIPS],
    "velocity": VELOCITY,
}
SLOW = {
    "flow_percentile": ["model=flow_percentile"],
    "flow_grid": ["model=fuvas", "backbone=flow_grid", *CLIPS, "model.pooling_kernel_size=2", "protocol=gaussian"],
    "gmm": ["model=clip_density", "backbone=gradient3d", "density=gmm", "model.unit=patch", *CLIPS],
    "shots": [
        "model=clip_density",
        "backbone=gradient3d",
        "density=knn",
        "density.bank=kmeans:2",
        "model.shots=12",
        *CLIPS,
    ],
    "pca": ["model=clip_density", "backbone=gradient3d", "density=pca", *CLIPS],
    "network": ["model=fuvas", *NETWORK],
    "bins": [*VELOCITY, "model.n_velocity_bins=8", "flow=farneback", "model.velocity_crop_size=null"],
    "raft": [*VELOCITY, "flow=raft_small", "flow.size=[128,128]", "flow.updates=2"],
    "own_density": [*VELOCITY, "density.velocity=knn"],
    "pose": [*VELOCITY, "model.use_velocity_features=false", "model.use_pose_features=true", "model.pose_min_size=64"],
    "deep": [*VELOCITY, "model.use_deep_features=true", "model.use_velocity_features=false", "model.deep_model=RN50"],
    "detector": [*VELOCITY, "regions.detector=fasterrcnn_mobilenet_v3_large_320_fpn", "regions.min_size=64"],
    "two_streams": [*VELOCITY, "model.use_pose_features=true", "model.pose_min_size=64"],
}

# Not varied: networks of full size, which compositions of their own bring in a small one.
FIXED = ("runtime.device", "regions.detector", "flow.method", "model.use_pose_features", "model.use_deep_features")

NEW_KEY_SAME_RESULT = {
    "model.short_videos": "in the spec of features; only the data say whether a video is shorter than a clip",
    "dataset.on_fault": "who asks to stop at a fault must not be given a run that went on",
    "dataset.noise": "other frames are other data, also to methods that don't look at them",
    "protocol.version": "it names the protocol",
    "protocol.macro": "only the data say whether there are videos of a single class",
    "store.dtype": "the baselines beside a method without features have some",
    "model.velocity_[na]*": "of a single direction bin every rule gives the mean, up to rounding",
    "model.roi_aligned": "in the spec of features; boxes of foreground begin and end at whole pixels",
    "model.integer_crops": "in the spec of features; boxes of foreground begin and end at whole pixels",
    "regions.max_bbox_overlap": "a bound that no region of the tiny dataset touches",
    "regions.foreground_min_area": "a bound that no region of the tiny dataset touches",
    "regions.foreground_unfiltered": "it concerns classes and overlaps, of which the tiny dataset has none",
    "regions_from_maps": "only scores and data say whether there are maps and tracks",
}


@dataclass
class Result:
    """What a run finds: scores and maps of frames, regions, and metrics."""

    key: str
    arrays: dict[str, np.ndarray]

    def same(self, other: Result, exactly: bool) -> bool:
        if self.arrays.keys() != other.arrays.keys():
            return False
        pairs = [(array, other.arrays[name]) for name, array in self.arrays.items()]
        equal = np.array_equal if exactly else is_close
        return all(a.shape == b.shape and bool(equal(a, b)) for a, b in pairs)


def result(config: RunConfig, stores: dict[str, MemoryStore]) -> Result:
    dataset, detector = prepare(config, load_dataset(config.dataset))
    key = run_folder(config, dataset, detector).path.name
    config = with_used_seed(config, detector)
    store = stores.setdefault(config.store.dtype, MemoryStore(config.store.dtype))
    scored = score_dataset(detector, dataset, store)
    arrays = {"training": scored.training_scores}
    for one in scored.scores:
        arrays |= {f"scores {one.video}": one.scores, f"filled {one.video}": one.filled}
        if one.maps is not None:
            arrays[f"maps {one.video}"] = np.stack([one.maps[frame] for frame in range(len(one.maps))])
        if one.regions is not None:
            numbers = one.regions.select_dtypes("number").to_numpy(np.float64)
            arrays[f"regions {one.video}"] = np.nan_to_num(numbers, nan=-1.0)
    options: dict[str, Any] = {"regions_from_maps": config.regions_from_maps, "protocols": (), "resamples": 10}
    found = assess(detector, dataset, scored, store, config.protocol, config.seed, **options)
    for group in ("metrics", "baselines") if found is not None else ():
        for name, entry in getattr(found, group).items():
            values = [entry.get(what) for what in ("value", "ci_low", "ci_high")]
            arrays[f"{group} {name}"] = np.nan_to_num(np.array(values, np.float64), nan=-1.0)
    return Result(key, arrays)


def others(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """``config`` with another value of one key, for every key that a run has."""
    groups = [f.name for f in fields(config) if is_dataclass(getattr(config, f.name))]
    yield from variants(config, [g for g in groups if g not in ("tracking", "launcher")], FIXED)
    yield "seed", replace(config, seed=config.seed + 1)
    yield "regions_from_maps", replace(config, regions_from_maps=not config.regions_from_maps)
    for split in ("train", "test"):
        yield f"dataset.{split}_videos", replace(config, dataset=replace(config.dataset, **{f"{split}_videos": ["*"]}))
    yield "dataset.max_frames", replace(config, dataset=replace(config.dataset, max_frames=10**6))
    if config.backbone is not None:
        yield "model.layer", replace(config, model=replace(config.model, layer=config.backbone.layer))


def faults_of(words: list[str], tmp_path: Path) -> list[str]:
    config = with_random_weights(compose([*words, *DATA, *PLACES, f"results={tmp_path}"]))
    stores: dict[str, MemoryStore] = {}  # that features are stored under all that they depend on, others test
    first = result(config, stores)
    found = []
    for key, other in others(config):
        try:
            changed = result(other, stores)
        except VadbenchError:
            continue  # a value that the key can't have beside the others
        if changed.key == first.key and not changed.same(first, exactly=False):
            found.append(f"{key}: another result under the same key")
        listed = any(fnmatchcase(key, pattern) for pattern in NEW_KEY_SAME_RESULT)
        if changed.key != first.key and changed.same(first, exactly=True) and not listed:
            found.append(f"{key}: another key with the same result")
    return found


@pytest.mark.parametrize("name", QUICK)
def test_a_key_changes_exactly_when_the_result_does(name: str, tmp_path: Path) -> None:
    assert not faults_of(QUICK[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_key_changes_exactly_when_the_result_does_in_every_composition(name: str, tmp_path: Path) -> None:
    assert not faults_of(SLOW[name], tmp_path)


def test_every_built_in_method_density_and_filter_bank_is_walked() -> None:
    walked = " ".join(word for words in (*QUICK.values(), *SLOW.values()) for word in words)
    kinds = [(kind, part) for kind in ("model", "density") for part in registry.parts(kind) if part.is_built_in]
    missing = [f"{kind}={part.name}" for kind, part in kinds if f"{kind}={part.name}" not in walked]
    assert missing == ["density=attributes"], "which model=ai_vad brings"
