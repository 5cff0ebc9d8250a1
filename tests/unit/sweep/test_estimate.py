"""Expected times: from the same features first, else from the same network; unknown is said, not guessed."""

from __future__ import annotations

import json

import pytest

from tests.unit.store.stand_in import Rows, video
from vadbench.store import FeatureStore
from vadbench.sweep.estimate import Experience, as_text, total


class Layers(Rows):
    """An extractor whose spec looks like a network's."""

    def outputs(self):
        return {
            name: {"backbone": {"name": "net", "layer": name, "gain": gain}, "clip": {"length": 4}}
            for name, gain in self.gains.items()
        }


def test_the_same_features_take_as_long_as_before(tmp_path):
    extractor = Rows(seconds=0.1)
    for seed in range(2):
        FeatureStore(tmp_path / "cache").get(extractor, video(seed, n_frames=10))
    expected = Experience(tmp_path / "cache", tmp_path).extraction(extractor.outputs(), 100)
    assert expected == pytest.approx(1.0, rel=0.5)


def test_another_layer_of_the_same_network_is_a_guide_and_a_pass_counts_once(tmp_path):
    FeatureStore(tmp_path / "cache").get(Layers({"a": 1.0}, seconds=0.1), video(n_frames=10))
    experience = Experience(tmp_path / "cache", tmp_path)
    one = experience.extraction(Layers({"b": 1.0}).outputs(), 100)
    assert one == pytest.approx(1.0, rel=0.5)
    assert experience.extraction(Layers({"b": 1.0, "c": 1.0}).outputs(), 100) == one
    assert experience.extraction(Rows().outputs(), 100) is None


def test_points_take_the_median_of_earlier_ones_without_extraction(tmp_path):
    for i, fit in enumerate([1.0, 2.0, 30.0]):
        folder = tmp_path / "runs" / "avenue" / "fuvas" / str(i)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"timings": {"fit": fit, "score": 1.0, "extract_train": 999.0}}))
    experience = Experience(tmp_path / "cache", tmp_path)
    assert experience.point("avenue", "fuvas") == 3.0
    assert experience.point("ucsd_ped2", "fuvas") == 3.0  # never run there: as elsewhere
    assert experience.point("avenue", "ai_vad") is None


def test_unknown_parts_make_an_unknown_sum():
    assert total([1.0, 2.0]) == 3.0
    assert total([1.0, None]) is None
    assert total([]) == 0.0


def test_times_as_people_say_them():
    assert as_text(12.4) == "about 12 s"
    assert as_text(600) == "about 10 min"
    assert as_text(9000) == "about 2.5 h"
    assert "unknown" in as_text(None)
