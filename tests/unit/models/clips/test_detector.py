"""Clip features and any density, against each unit written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from tests.stand_ins import RandomFilters, video
from vadbench.config.compose import compose
from vadbench.data.video import Dataset
from vadbench.density.base import BaseDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.density.pca import Pca
from vadbench.errors import ConfigError
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.clips.detector import ClipDensity
from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.fuvas import Fuvas
from vadbench.models.clips.to_frames import FILLS, TARGETS, reduce
from vadbench.models.registry import build
from vadbench.store.features import MemoryStore

PLAN = ClipPlan(length=3, step=1, stride=3)
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def dataset() -> Dataset:
    train = tuple(video(f"train{i}", 24, (12, 16)) for i in range(3))
    return Dataset("stand_in", train, tuple(video(f"test{i}", 15 + i, (12, 16)) for i in range(2)))


def clip_maps(one: Any) -> np.ndarray:
    """Features of the clips of a video, ``(N, C, t, h, w)``."""
    frames = np.stack(list(one.frames())).astype(np.float32) / 255
    clips = np.stack([frames[s : s + 3] for s in range(0, len(frames) - 2, 3)])
    return RandomFilters().filtered(clips, "one")


def nearest(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(new[:, None].astype(np.float64) - train[None].astype(np.float64), axis=2)
    return np.sort(distances, axis=1)[:, :2].mean(axis=1)


def mixture(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    found = GaussianMixture(2, random_state=0).fit(train.astype(np.float64))
    return -found.score_samples(new.astype(np.float64))


DENSITIES: list[tuple[Callable[[], BaseDensityEstimator], Score]] = [
    (lambda: GroupedKNNEstimator(2), nearest),
    (lambda: GMMEstimator(2, seed=0), mixture),
]


def expected_maps(unit: str, score: Score, train: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Cell by cell, ``(N, h, w)``."""
    n, _, _, h, w = new.shape
    found = np.empty((n, h, w))
    everything = np.array([m[:, :, y, x].ravel() for m in train for y in range(h) for x in range(w)])
    for y in range(h):
        for x in range(w):
            here = np.array([m[:, :, y, x].ravel() for m in train])
            vectors = np.array([m[:, :, y, x].ravel() for m in new])
            found[:, y, x] = score(here if unit == "location" else everything, vectors)
    return found


@pytest.mark.parametrize("unit", ["location", "patch"])
@pytest.mark.parametrize(("make", "score"), DENSITIES)
def test_scores_and_maps_of_locations_equal_the_definition(unit: str, make: Any, score: Score) -> None:
    data = dataset()
    model = ClipDensity(make(), RandomFilters(), clip=PLAN, unit=unit, target_frame="first", score_reduction="mean")
    train = np.concatenate([clip_maps(one) for one in data.train])
    for one, result in zip(data.test, score_dataset(model, data).scores, strict=True):
        expected = expected_maps(unit, score, train, clip_maps(one))
        np.testing.assert_allclose(result.maps.values, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result.scores[::3][: len(expected)], expected.mean(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(("make", "score"), DENSITIES[:1])
def test_scores_of_whole_clips_equal_the_definition(make: Any, score: Score) -> None:
    data = dataset()
    model = ClipDensity(make(), RandomFilters(), clip=PLAN, target_frame="first")
    train = np.concatenate([clip_maps(one).reshape(8, -1) for one in data.train])
    for one, result in zip(data.test, score_dataset(model, data).scores, strict=True):
        maps = clip_maps(one)
        expected = score(train, maps.reshape(len(maps), -1))
        np.testing.assert_allclose(result.scores[::3][: len(expected)], expected, rtol=1e-6)
        assert result.maps is None


@pytest.mark.parametrize("unit", ["clip", "location", "patch"])
def test_training_videos_score_as_if_never_seen(unit: str) -> None:
    """By neighbours: as a test video of a run without them."""
    data, store = dataset(), MemoryStore()
    model = ClipDensity(GroupedKNNEstimator(2), RandomFilters(), clip=PLAN, unit=unit)
    score_dataset(model, data, store)
    for one in data.train:
        own = model.score_training(one, store.get(model.extractor, one)).scores
        rest = Dataset("rest", tuple(v for v in data.train if v is not one), (one,))
        other = ClipDensity(GroupedKNNEstimator(2), RandomFilters(), clip=PLAN, unit=unit)
        np.testing.assert_allclose(own, score_dataset(other, rest).scores[0].scores)


@pytest.mark.parametrize("more", [[], ["model.score_reduction=max", "model.shots=9"], ["model.pooling_kernel_size=2"]])
@pytest.mark.parametrize("level", ["0.98", "0.5", "3"])
def test_fuvas_is_principal_components_of_whole_clips_to_the_bit(more: list[str], level: str) -> None:
    data = Dataset("s", *(tuple(video(f"{k}{i}", 24, (40, 48)) for i in range(2)) for k in ("train", "test")))
    words = ["dataset=synthetic", "backbone=flow_grid", "backbone.options.cell=8", *more]
    fuvas = build(compose(["model=fuvas", f"model.pca_level={level}", *words]))
    same = build(compose(["model=clip_density", "density=pca", f"density.level={level}", "model.unit=clip", *words]))
    assert type(fuvas) is Fuvas and type(same) is ClipDensity and fuvas.fit_spec() == same.fit_spec()
    first, second = score_dataset(fuvas, data), score_dataset(same, data)
    np.testing.assert_array_equal(first.training_scores, second.training_scores)
    for one, other in zip(first.scores, second.scores, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.maps.values, other.maps.values)


def test_the_defaults_of_clip_density() -> None:
    config = compose(["model=clip_density", "dataset=synthetic"])
    assert (config.backbone.name, config.density.name, config.density.level) == ("x3d_s", "pca", 0.98)
    assert (config.model.unit, config.model.score_reduction) == ("clip", "sum")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=fuvas", "density.level=0.9"], r"density\.level=0\.9 contradicts model\.pca_level=0\.98"),
        (["model=fuvas", "density=knn"], "it takes density=pca. model=clip_density takes any density"),
        (["model=clip_density", "density=attributes"], "density=attributes, which is for model=ai_vad"),
        (["model=clip_density", "density=knn", "model.score_reduction=max"], "score_reduction=max.*unit=location"),
        (
            ["model=clip_density", "model.unit=patch", "model.spatial_pool=false", "model.pooling_kernel_size=2"],
            "leaves no locations",
        ),
        (["model=clip_density", "model.score_reduction='top:2'"], "top:SHARE"),
        (["model=clip_density", "model.score_reduction=maks"], "Did you mean: max"),
        (["model=clip_density", "model.unit=cell"], "model.unit"),
        (["model=clip_density", "density.level=1.5"], "level=1.5"),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(compose([*words, "dataset=synthetic", "backbone=flow_grid"]))


def test_the_levels_of_fuvas_and_of_its_density_are_one() -> None:
    assert compose(["model=fuvas", "dataset=synthetic", "model.pca_level=0.9"]).density.level == 0.9
    build(compose(["model=fuvas", "dataset=synthetic", "backbone=flow_grid", "density.level=0.98"]))


@pytest.mark.parametrize(
    ("share", "cells"), [("top:0.01", 1), ("top:0.1", 2), ("top:0.29", 5), ("top:0.3", 6), ("top:1", 20)]
)
def test_the_highest_share_of_locations(share: str, cells: int) -> None:
    maps = np.random.default_rng(0).permuted(np.arange(60.0).reshape(3, 20), axis=1).reshape(3, 4, 5)
    expected = [np.mean([20 * i + 19 - j for j in range(cells)]) for i in range(3)]
    np.testing.assert_allclose(reduce(maps, share), expected)


@pytest.mark.parametrize("unit", ["clip", "location", "patch"])
@pytest.mark.parametrize("make", [Pca, lambda: GroupedKNNEstimator(2), lambda: GMMEstimator(1)])
def test_a_fit_is_loaded_to_the_bit(unit: str, make: Any) -> None:
    data, store = dataset(), MemoryStore()
    fitted, fresh = (ClipDensity(make(), RandomFilters(), clip=PLAN, unit=unit) for _ in range(2))
    before = score_dataset(fitted, data, store).scores
    fresh.load_state(fitted.state())
    for one, result in zip(data.test, before, strict=True):
        again = fresh.score(one, store.get(fresh.extractor, one))
        np.testing.assert_array_equal(again.scores, result.scores)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("plan", [ClipPlan(4, 2, 3), ClipPlan(3, 1, 1), ClipPlan(2, 1, 5)])
def test_no_frame_beyond_frames_ahead_changes_a_score(target: str, fill: str, plan: ClipPlan) -> None:
    from vadbench.data.readers.source import ArraySource
    from vadbench.data.video import Video

    model = ClipDensity(Pca(2), RandomFilters(), clip=plan, target_frame=target, fill=fill)
    data = dataset()
    model.extractor.prepare(data.train)

    def features(one: Video) -> Any:
        return model.extractor.extract(one, ["one"], {})

    model.fit({one.id: features(one) for one in data.train})
    frames = np.stack(list(data.test[0].frames()))
    before = model.score(data.test[0], features(data.test[0])).scores
    reached = 0
    for first in range(1, len(frames)):
        changed = frames.copy()
        changed[first:] = 255 - changed[first:]
        other = Video("test0", ArraySource(changed))
        differs = np.flatnonzero(model.score(other, features(other)).scores != before)
        reached = max(reached, first - differs.min(initial=first))
    assert reached == model.frames_ahead
