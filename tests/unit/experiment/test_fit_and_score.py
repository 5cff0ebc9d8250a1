"""What surrounds a detector: the contract it must keep, memory that does not grow, switches that take objects."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.baselines import BASELINES
from tests.stand_ins import RandomFilters, video
from vadbench.data.video import Dataset
from vadbench.errors import VadbenchError
from vadbench.evaluation import apply, frame_auroc, load_protocol, micro
from vadbench.evaluation.protocols.protocol import parse_protocol
from vadbench.experiment.evaluate_run import assess, assess_scenes
from vadbench.experiment.fit_and_score import maps_on_disk, score_dataset
from vadbench.models.base import VideoScores
from vadbench.models.baselines import Random
from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.fuvas import Fuvas
from vadbench.store.features import FeatureStore, MemoryStore


def labelled(n_test: int = 3, n_frames: int = 20) -> Dataset:
    half = np.arange(n_frames) >= n_frames // 2
    train = tuple(video(f"train{i}", n_frames) for i in range(3))
    return Dataset("stand_in", train, tuple(video(f"test{i:03d}", n_frames, labels=half) for i in range(n_test)))


def model(**more: Any) -> Fuvas:
    return Fuvas(RandomFilters(), clip=ClipPlan(4, 1, 2), **more)


def peak_of_scoring(data: Dataset, folder: Path) -> int:
    detector, store = model(), FeatureStore(folder / "cache")
    detector.fit({v.id: store.get(detector.extractor, v) for v in data.train})
    tracemalloc.start()
    score_dataset(detector, data, store, maps_on_disk(folder / "maps"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_test_videos(tmp_path: Path) -> None:
    few, many = labelled(4, 80), labelled(24, 80)
    peak_of_scoring(few, tmp_path / "first")  # what is imported at first use counts for neither
    held = 80 * 24 * 32 * 3  # bytes of the frames of one video
    growth = peak_of_scoring(many, tmp_path / "many") - peak_of_scoring(few, tmp_path / "few")
    assert growth < 20 * held / 10


def test_nothing_is_extracted_once_the_fit_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network at work beside the components of its features would cost the memory of both."""
    detector, order = model(), []
    extract, fit = detector.extractor.extract, detector.fit
    monkeypatch.setattr(detector.extractor, "extract", lambda v, *rest: order.append(v.id) or extract(v, *rest))
    monkeypatch.setattr(detector, "fit", lambda *given: order.append("fit") or fit(*given))
    score_dataset(detector, labelled())
    assert order == ["train0", "train1", "train2", "test000", "test001", "test002", "fit"]


def test_maps_on_disk_are_the_same_maps(tmp_path: Path) -> None:
    data = labelled()
    plain = score_dataset(model(), data).scores[0]
    stored = score_dataset(model(), data, keep=maps_on_disk(tmp_path)).scores[0]
    assert plain.maps is not None and stored.maps is not None
    for frame in (0, 7, 19):
        np.testing.assert_array_equal(plain.maps[frame], stored.maps[frame])


def test_a_detector_that_breaks_its_contract_is_found_out() -> None:
    class Broken(Random):
        damage: Any = staticmethod(lambda scores: scores)

        def score(self, video: Any, features: Any, remember: Any = None) -> VideoScores:
            result = super().score(video, features, remember)
            return replace(result, scores=self.damage(result.scores))

    data = labelled()
    broken = Broken()
    broken.damage = lambda s: s[:-1]
    with pytest.raises(VadbenchError, match=r"\(19,\) scores for the 20 frames of video 'test000'"):
        score_dataset(broken, replace(data, train=()))
    broken.damage = lambda s: np.where(np.arange(len(s)) == 5, np.nan, s)
    with pytest.raises(VadbenchError, match="video 'test000', frame 5, is not finite"):
        score_dataset(broken, replace(data, train=()))


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_keep_the_contract_and_repeat_themselves(name: str) -> None:
    data = labelled()
    first, again = (score_dataset(BASELINES[name](seed=3), data).scores for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
    if name == "random":
        other = score_dataset(BASELINES[name](seed=4), data).scores
        assert not np.array_equal(first[0].scores, other[0].scores)


def test_frame_difference_energy_by_hand() -> None:
    from vadbench.data.readers.source import ArraySource
    from vadbench.data.video import Video

    frames = np.zeros((4, 2, 2, 3), np.uint8)
    frames[2:] = 10
    frames[3, 0, 0] = 30
    found = score_dataset(BASELINES["frame_difference"](), Dataset("d", (), (Video("v", ArraySource(frames)),)))
    assert found.scores[0].scores.tolist() == [0.0, 0.0, 100.0, 100.0]
    assert found.scores[0].filled.tolist() == [True, False, False, False]


def assessed(detector: Fuvas, data: Dataset) -> Any:
    store = MemoryStore()
    return assess(detector, data, score_dataset(detector, data, store), store, "raw", 0, resamples=20, protocols=())


def test_an_evaluator_that_is_off_computes_nothing() -> None:
    assert assessed(model(evaluator=False), labelled()) is None


def test_without_labels_there_are_no_metrics() -> None:
    data = labelled()
    assert assessed(model(), replace(data, test=tuple(replace(v, labels=None) for v in data.test))) is None


def test_objects_of_your_own() -> None:
    seen: dict[str, Any] = {}

    def evaluator(scores: dict[str, Any], labels: dict[str, Any]) -> dict[str, Any]:
        seen.update(scores=scores, labels=labels)
        return {"mean": {"value": float(np.mean(scores["test000"])), "n_videos": 3, "protocol": "mine"}}

    def halve(scores: dict[str, Any]) -> dict[str, Any]:
        return {video: s / 2 for video, s in scores.items()}

    plain = assessed(model(evaluator=evaluator), labelled())
    halved = assessed(model(evaluator=evaluator, post_processor=halve), labelled())
    assert halved["mean"]["value"] == pytest.approx(plain["mean"]["value"] / 2)
    assert set(seen["labels"]) == {"test000", "test001", "test002"}


def test_a_post_processor_that_is_off_leaves_raw_scores() -> None:
    data, store = labelled(), MemoryStore()
    for switch, protocol in ((True, "gaussian"), (False, "raw")):
        detector = model(post_processor=switch)
        result = assess(
            detector, data, score_dataset(detector, data, store), store, "gaussian", 0, resamples=20, protocols=()
        )
        assert result.metrics["frame_auroc_micro"]["protocol"] == protocol


def damaged(folder: Path, on_fault: str) -> Dataset:
    """A dataset whose first training video has one frame that can't be read."""
    import cv2

    from vadbench.data.readers.image_folder import ImageFolder
    from vadbench.data.readers.source import Policy
    from vadbench.data.video import Video

    if not folder.exists():
        folder.mkdir()
        for number, frame in enumerate(video("train0").frames()):
            cv2.imwrite(str(folder / f"{number:03d}.png"), frame)
        (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:300])
    data = labelled()
    source = ImageFolder(folder, Policy(on_fault=on_fault))  # type: ignore[arg-type]
    return replace(data, train=(Video("train0", source), *data.train[1:]))


def test_a_damaged_frame_is_known_again_when_features_come_from_the_store(tmp_path: Path) -> None:
    from vadbench.data.registry import faults

    first, again = damaged(tmp_path / "v", "skip"), damaged(tmp_path / "v", "skip")
    score_dataset(model(), first, FeatureStore(tmp_path / "cache"))
    store = FeatureStore(tmp_path / "cache")
    score_dataset(model(), again, store)
    assert store.counts.misses == 0
    assert faults(again) == faults(first) and "007.png" in faults(again)[0]


def test_features_of_a_damaged_video_do_not_get_past_the_policy_error(tmp_path: Path) -> None:
    score_dataset(model(), damaged(tmp_path / "v", "skip"), FeatureStore(tmp_path / "cache"))
    with pytest.raises(VadbenchError, match=r"007.png.*dataset.on_fault=skip"):
        score_dataset(model(), damaged(tmp_path / "v", "error"), FeatureStore(tmp_path / "cache"))


def test_each_scene_by_itself() -> None:
    data = labelled(4)
    scenes = ["01", "01", "02", "02"]
    data = replace(data, test=tuple(replace(v, scene=s) for v, s in zip(data.test, scenes, strict=True)))
    detector, store = model(), MemoryStore()
    scored = score_dataset(detector, data, store)
    found = assess_scenes(detector, data, scored, "raw", 0)
    assert sorted(found) == ["01", "02"]
    pair = {v.id: r.scores for v, r in zip(data.test[2:], scored.scores[2:], strict=True)}
    labels = {v.id: v.labels for v in data.test[2:]}
    assert found["02"]["frame_auroc_micro"]["value"] == micro(frame_auroc, pair, labels)
    assert assess_scenes(detector, labelled(4), scored, "raw", 0) == {}


def test_each_scene_is_scored_under_the_protocol_and_after_the_post_processor_of_the_whole() -> None:
    data = labelled(4)
    data = replace(data, test=tuple(replace(v, scene=s) for v, s in zip(data.test, "aabb", strict=True)))
    store = MemoryStore()
    scored = score_dataset(model(), data, store)
    gaussian = parse_protocol(
        {"name": "wide", "version": 1, "source": "a test", "steps": [{"kind": "gaussian", "sigma": 9}], "macro": "skip"}
        | {"causal": False, "looks_at_whole_video": False, "uses_test_labels": False}
    )
    labels = {v.id: v.labels for v in data.test[2:]}
    raw = {v.id: r.scores for v, r in zip(data.test[2:], scored.scores[2:], strict=True)}
    found = assess_scenes(model(), data, scored, gaussian, 0)["b"]["frame_auroc_micro"]
    assert found["protocol"] == "wide"
    assert found["value"] == micro(frame_auroc, apply(gaussian, raw, labels).scores, labels)

    def turned(scores: dict[str, Any]) -> dict[str, Any]:
        return {video: -s for video, s in scores.items()}

    found = assess_scenes(model(post_processor=turned), data, scored, gaussian, 0)["b"]["frame_auroc_micro"]
    assert found["protocol"].startswith("post_processor ") and found["protocol"].endswith("turned")
    assert found["value"] == micro(frame_auroc, {v: -s for v, s in raw.items()}, labels)


def test_the_threshold_of_the_training_scores_is_there_only_where_the_composed_protocol_has_no_steps() -> None:
    data, store = labelled(), MemoryStore()
    detector = model()
    scored = score_dataset(detector, data, store)
    for name, other, expected in (("raw", "gaussian", False), ("gaussian", "raw", True)):
        changed = replace(load_protocol(other), name=name)  # the steps of the other one under this name
        result = assess(detector, data, scored, store, changed, 0, resamples=20, protocols=())
        assert ("frame_f1" in result.metrics) is expected
