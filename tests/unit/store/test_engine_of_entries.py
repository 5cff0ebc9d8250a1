"""Entries say which engine made them; auto takes any, an engine that is asked for by name only its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stand_ins import RandomFilters, video
from vadbench.backbones.engines.choice import takes
from vadbench.data.video import Dataset
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.clips.extractor import ClipExtractor, ClipPlan, PreProcessor
from vadbench.models.clips.fuvas import Fuvas
from vadbench.store.entry import Entry
from vadbench.store.features import FeatureStore, MemoryStore, keys_of

PLAN = ClipPlan(4, 1, 4)
VIDEO = video("a")


class TwoEngines(RandomFilters):
    """A backbone that either of two engines runs; what they make differs by rounding."""

    def __init__(self, asked: str, runs: str) -> None:
        super().__init__()
        self.asked = asked
        self.runs = runs
        self.engine: str | None = None

    def takes(self, engine: str) -> bool:
        return takes(self.asked, engine)

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        self.engine = self.runs
        factor = np.float32(1 if self.runs == "eager" else 1 + 1e-6)
        return {layer: maps * factor for layer, maps in super().__call__(clips).items()}


def extractor(backbone: RandomFilters) -> ClipExtractor:
    return ClipExtractor(backbone, PLAN, PreProcessor(None, None, None))


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FeatureStore(tmp_path / "store") if request.param == "disk" else MemoryStore()


def test_which_entries_an_engine_takes(store: Any) -> None:
    made = []
    # asked for, what runs it, whether the features are there already, who made those that are handed out
    for asked, runs, found, maker in [
        ("auto", "openvino 1", False, "openvino 1"),
        ("auto", "eager", True, "openvino 1"),
        ("openvino", "openvino 2", True, "openvino 1"),
        ("eager", "eager", False, "eager"),
        ("eager", "eager", True, "eager"),
        ("auto", "openvino 2", True, "eager"),
        ("openvino", "openvino 2", False, "openvino 2"),
        ("compile", "compile", False, "compile"),
    ]:
        backbone = TwoEngines(asked, runs)
        one = extractor(backbone)
        features = store.get(one, VIDEO)["one"]["features"]
        assert (backbone.clips_seen == 0) == found, (asked, runs)
        (key,) = keys_of(one, VIDEO, store.dtype).values()
        assert store.engine(key) == maker
        made.append((key, maker.startswith("eager"), np.array(features)))
    assert len({key for key, _, _ in made}) == 1, "the engine is not in the key"
    expected = RandomFilters()(np.stack([made_clip(start) for start in range(0, 20, 4)]))["one"]
    for _, eager, features in made:
        assert np.array_equal(features, expected) == eager


def made_clip(start: int) -> np.ndarray:
    frames = [frame.astype(np.float32) / 255 for frame in VIDEO.frames()]
    return np.stack(frames[start : start + 4])


def test_an_entry_without_a_mark_was_made_by_eager(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    one = extractor(RandomFilters())
    store.get(one, VIDEO)
    (key,) = keys_of(one, VIDEO, store.dtype).values()
    assert "engine" not in json.loads(Entry(tmp_path, key).manifest.read_text())
    for asked, found in (("auto", True), ("eager", True), ("openvino", False)):
        later = FeatureStore(tmp_path)
        asking = extractor(TwoEngines(asked, "openvino 1"))
        assert later.has(asking, VIDEO) == {"one": found}
        later.get(asking, VIDEO)
        assert later.counts.hits == found
        assert later.engine(key) == ("eager" if found else "openvino 1")
    assert json.loads(Entry(tmp_path, key).manifest.read_text())["engine"] == "openvino 1"


def test_a_fit_is_remembered_for_the_engine_that_made_its_features(tmp_path: Path) -> None:
    dataset = Dataset("d", (VIDEO, video("b")), (video("c", labels=np.zeros(20, bool)),))
    found = {}
    for asked, runs in (("eager", "eager"), ("openvino", "openvino 1")):
        fresh = score_dataset(Fuvas(TwoEngines(asked, runs), clip=PLAN, pre_processor=False), dataset, MemoryStore())
        kept = score_dataset(
            Fuvas(TwoEngines(asked, runs), clip=PLAN, pre_processor=False), dataset, FeatureStore(tmp_path)
        )
        np.testing.assert_array_equal(kept.scores[0].scores, fresh.scores[0].scores)
        assert kept.engines == {runs: 3}
        found[asked] = fresh.scores[0].scores
    assert not np.array_equal(found["eager"], found["openvino"])
    np.testing.assert_allclose(found["eager"], found["openvino"], rtol=1e-4)


def test_a_backbone_with_one_way_to_run_has_no_engine(tmp_path: Path) -> None:
    dataset = Dataset("d", (VIDEO, video("b")), (video("c"),))
    scored = score_dataset(Fuvas(RandomFilters(), clip=PLAN, pre_processor=False), dataset, FeatureStore(tmp_path))
    assert scored.engines == {}


def test_passes_are_shared_by_extractors_that_take_the_same_engines() -> None:
    class Layered(TwoEngines):
        def with_layers(self, layers: tuple[str, ...]) -> Layered:
            other = Layered(self.asked, self.runs)
            other.layers = layers
            return other

    first = extractor(Layered("auto", "eager"))
    for asked, shared in (("auto", True), ("eager", False)):
        assert (first.merged([extractor(Layered(asked, "eager"))]) is not None) == shared
