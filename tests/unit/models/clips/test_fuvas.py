"""FUVAS against its definition, written out over the whole feature matrix."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stand_ins import RandomFilters, video
from vadbench.data.video import Dataset
from vadbench.errors import ConfigError, DataError
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.fuvas import Fuvas
from vadbench.store.features import FeatureStore, MemoryStore

PLAN = ClipPlan(length=4, step=2, stride=3)


def dataset(**more: Any) -> Dataset:
    train = tuple(video(f"train{i}", 30, **more) for i in range(4))
    return Dataset("stand_in", train, tuple(video(f"test{i}", 25 + i, **more) for i in range(2)))


def clips_of(one: Any) -> np.ndarray:
    frames = np.stack(list(one.frames())).astype(np.float32) / 255
    starts = range(0, len(frames) - 6, 3)
    return np.stack([frames[s : s + 7 : 2] for s in starts])


def reference(data: Dataset, backbone: RandomFilters, layer: str, pool: int, level: float) -> list[np.ndarray]:
    """Clip scores of the test videos from the definition: flatten, centre, full SVD, squared residual."""

    def rows(one: Any) -> np.ndarray:
        maps = backbone.filtered(clips_of(one), layer).astype(np.float64)
        n, c, t, h, w = maps.shape
        pooled = maps[..., : h // pool * pool, : w // pool * pool]
        pooled = pooled.reshape(n, c, t, h // pool, pool, w // pool, pool).mean(axis=(4, 6))
        return pooled.reshape(n, -1)

    train = np.concatenate([rows(one) for one in data.train])
    mean = train.mean(axis=0)
    _, singular, directions = np.linalg.svd(train - mean, full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    kept = directions[: int(np.argmax(share >= level)) + 1] if level <= 1 else directions[: int(level)]
    residuals = [(rows(one) - mean) - (rows(one) - mean) @ kept.T @ kept for one in data.test]
    return [np.square(r).sum(axis=1) for r in residuals]


@pytest.mark.parametrize("layer", ["one", "two"])
@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.98, 7])
def test_scores_equal_the_definition(layer: str, pool: int, level: float) -> None:
    data, backbone = dataset(), RandomFilters((layer,))
    model = Fuvas(backbone, clip=PLAN, pooling_kernel_size=pool, pca_level=level, target_frame="last")
    found = score_dataset(model, data).scores
    for result, expected, one in zip(found, reference(data, backbone, layer, pool, level), data.test, strict=True):
        targets = np.arange(len(expected)) * 3 + 6
        np.testing.assert_allclose(result.scores[targets], expected, rtol=1e-5)
        assert np.flatnonzero(~result.filled).tolist() == targets.tolist()
        assert result.scores.shape == (one.n_frames,)


def test_levels_share_what_is_stored_and_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips in terms of components are kept by the digest of what they come from, in blocks, and change no bit."""
    monkeypatch.setattr("vadbench.density.pca.BLOCK_BYTES", 40_000)
    data, changed = dataset(), dataset()
    changed = replace(changed, train=changed.train[1:])
    store = FeatureStore(tmp_path)
    written = []
    runs = [(data, 9, "one"), (data, 4, "one"), (changed, 9, "one"), (data, 9, "two"), (data, 9, "one")]
    for given, level, layer in runs:
        kept = Fuvas(RandomFilters((layer,)), clip=PLAN, pca_level=level)
        alone = Fuvas(RandomFilters((layer,)), clip=PLAN, pca_level=level)
        first, second = score_dataset(kept, given, store).scores, score_dataset(alone, given).scores
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)
        written.append(store.counts.written_bytes)
    assert written[0] == written[1] < written[2] < written[3] == written[4]


@pytest.mark.parametrize("reduction", ["sum", "mean", "max"])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("level", [0.5, 0.98, 7])
@pytest.mark.parametrize("shots", [None, 5])
def test_training_videos_score_as_any_other(reduction: str, pool: int, level: float, shots: int | None) -> None:
    data, backbone = dataset(), RandomFilters(("one",))
    model = Fuvas(
        backbone, clip=PLAN, pooling_kernel_size=pool, pca_level=level, score_reduction=reduction, shots=shots
    )
    store = MemoryStore()
    score_dataset(model, data, store)
    for one in data.train:
        features = store.get(model.extractor, one)
        plain, quick = model.score(one, features), model.score_training(one, features)
        assert quick.video == one.id and np.array_equal(quick.filled, plain.filled)
        np.testing.assert_allclose(quick.scores, plain.scores, rtol=1e-6, atol=1e-12 * plain.scores.max())


def test_the_map_holds_the_same_energy_and_finds_the_changed_place() -> None:
    data = dataset()
    changed = np.stack(list(data.test[0].frames()))
    changed[:, 8:12, 20:24] = 255
    from vadbench.data.readers.source import ArraySource
    from vadbench.data.video import Video

    data = Dataset("stand_in", data.train, (Video("changed", ArraySource(changed)),))
    model = Fuvas(RandomFilters(channels=8), clip=PLAN)
    result = score_dataset(model, data).scores[0]
    assert result.maps is not None
    mean_map = np.mean([result.maps[t] for t in range(len(result.maps))], axis=0)
    assert np.unravel_index(mean_map.argmax(), mean_map.shape) == (2, 5)
    for t in range(0, 25, 4):
        assert result.maps[t].sum() == pytest.approx(result.scores[t], rel=1e-5)


@pytest.mark.parametrize(("reduction", "reduce"), [("sum", np.sum), ("mean", np.mean), ("max", np.max)])
def test_score_reductions(reduction: str, reduce: Any) -> None:
    model = Fuvas(RandomFilters(), clip=ClipPlan(4, 2, 1), target_frame="first", score_reduction=reduction)
    result = score_dataset(model, dataset()).scores[0]
    assert result.maps is not None
    for t in np.flatnonzero(~result.filled):
        assert result.scores[t] == pytest.approx(reduce(result.maps[t]), rel=1e-5)


def test_one_fewer_component_is_another_score() -> None:
    data = dataset()
    enough = Fuvas(RandomFilters(), clip=PLAN, pca_level=0.9)
    fewer = Fuvas(RandomFilters(), clip=PLAN, pca_level=0.9, components="one_fewer")
    a, b = score_dataset(enough, data).scores[0], score_dataset(fewer, data).scores[0]
    assert fewer.n_components == enough.n_components - 1
    assert (b.scores >= a.scores).all() and not np.allclose(a.scores, b.scores)


def test_shots_draw_clips_with_the_seed() -> None:
    data = dataset()
    few = [Fuvas(RandomFilters(), clip=PLAN, shots=5, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (score_dataset(model, data).scores[0].scores for model in few)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert few[0].summary()["training_clips"] == 5
    with pytest.raises(ConfigError, match=r"model.shots=999, but there are only 32"):
        score_dataset(Fuvas(RandomFilters(), clip=PLAN, shots=999), data)


def test_without_spatial_pooling_the_flat_vector_is_pooled_and_no_map_is_claimed() -> None:
    flat = Fuvas(RandomFilters(), clip=PLAN, spatial_pool=False, pooling_kernel_size=4)
    result = score_dataset(flat, dataset()).scores[0]
    assert result.maps is None
    assert flat.summary()["feature_size"] == 3 * 4 * 6 * 8 // 4
    unpooled = Fuvas(RandomFilters(), clip=PLAN, spatial_pool=False, pooling_kernel_size=1)
    assert score_dataset(unpooled, dataset()).scores[0].maps is not None


def test_a_pool_larger_than_the_map_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than the 6x8 map"):
        score_dataset(Fuvas(RandomFilters(), clip=PLAN, pooling_kernel_size=7), dataset())


def test_every_frame_is_decoded_and_prepared_once_whatever_the_stride() -> None:
    data, backbone = dataset(), RandomFilters()
    score_dataset(Fuvas(backbone, clip=ClipPlan(13, 1, 1)), data)
    frames = sum(v.n_frames for v in (*data.train, *data.test))
    assert backbone.frames_prepared == frames
    assert sum(v.source.decoded for v in (*data.train, *data.test)) == frames  # type: ignore[attr-defined]
    assert backbone.clips_seen == sum(v.n_frames - 12 for v in (*data.train, *data.test))


def test_a_video_shorter_than_a_clip_is_refused_or_padded() -> None:
    data = dataset()
    short = Dataset("stand_in", data.train, (video("short", 3),))
    with pytest.raises(DataError, match=r"'short' has 3 frames, but a clip spans 7 .*model.short_videos=pad"):
        score_dataset(Fuvas(RandomFilters(), clip=PLAN), short)
    result = score_dataset(Fuvas(RandomFilters(), clip=PLAN, short_videos="pad"), short).scores[0]
    assert result.scores.shape == (3,) and np.isfinite(result.scores).all()


def test_videos_of_two_sizes_are_refused_by_name() -> None:
    """Also where the number of features happens to be the same."""
    data, turned = dataset(), video("turned", 30, size=(32, 24))
    for train, test in ((data.train, (turned,)), ((*data.train, turned), data.test)):
        with pytest.raises(ConfigError, match=r"'turned': .* 8 x 6, .* 6 x 8: .*backbone\.size"):
            score_dataset(Fuvas(RandomFilters(), clip=PLAN), Dataset("stand_in", train, test))


def test_batches_change_nothing() -> None:
    data = dataset()
    one = score_dataset(Fuvas(RandomFilters(), clip=PLAN, batch_size=1), data).scores
    many = score_dataset(Fuvas(RandomFilters(), clip=PLAN, batch_size=5), data).scores
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-9)


def test_a_pre_processor_of_your_own() -> None:
    class Darker:
        def spec(self) -> dict[str, Any]:
            return {"darker": 1}

        def __call__(self, frame: np.ndarray) -> np.ndarray:
            return frame // 2

    plain = score_dataset(Fuvas(RandomFilters(), clip=PLAN), dataset()).scores[0]
    darker = score_dataset(Fuvas(RandomFilters(), clip=PLAN, pre_processor=Darker()), dataset()).scores[0]
    assert not np.allclose(plain.scores, darker.scores)
    with pytest.raises(TypeError, match=r"needs a method spec\(\)"):
        Fuvas(RandomFilters(), clip=PLAN, pre_processor=lambda frame: frame)


def test_the_documented_names_and_defaults() -> None:
    documented = {
        "backbone": "x3d_s",
        "layer": "blocks.4",
        "pre_trained": True,
        "spatial_pool": True,
        "pooling_kernel_size": 1,
        "pca_level": 0.98,
        "pre_processor": True,
        "post_processor": True,
        "evaluator": True,
        "visualizer": True,
    }
    parameters = inspect.signature(Fuvas).parameters
    assert {name: parameters[name].default for name in documented} == documented
    assert list(parameters)[: len(documented)] == list(documented)


@pytest.mark.parametrize("level", [0, -1, 1.5, 2.25])
def test_a_level_that_means_nothing_is_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="pca_level"):
        Fuvas(RandomFilters(), clip=PLAN, pca_level=level)
