"""Shares of videos: a partition, balanced; layers of one backbone in one pass, with the features of single passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.stand_in import video
from vadbench.sweep.passes import shares


@given(st.lists(st.integers(1, 400), max_size=30), st.integers(1, 7))
def test_shares_are_a_balanced_partition(lengths, world):
    class Source:
        def __init__(self, n):
            self.n_frames = n

    from vadbench.data.video import Video

    videos = [Video(f"{i:02d}", Source(n)) for i, n in enumerate(lengths)]
    parts = shares(videos, world)
    assert len(parts) == world
    assert sorted(v.id for part in parts for v in part) == [v.id for v in videos]
    loads = [sum(v.n_frames for v in part) for part in parts]
    # Greedy, longest first: nobody has more than the least loaded one plus the longest video.
    assert max(loads) - min(loads) <= max(lengths, default=0)
    assert parts == shares(list(reversed(videos)), world)  # who gets what does not depend on the order given


def _items(words, dataset):
    from vadbench.models.registry import build
    from vadbench.sweep.inventory import Item
    from vadbench.sweep.points import expand

    items = []
    for point in expand(words):
        extractor = build(point.config).extractor
        extractor.prepare(dataset.train)
        items.append(Item(point, dataset, extractor))
    return items


@pytest.fixture
def tiny():
    """Two training videos and a labelled test video of noise."""
    from vadbench.data.video import Dataset

    clips = [video(seed, f"{seed:02d}", 16) for seed in range(3)]
    return Dataset("synthetic", tuple(clips[:2]), (replace(clips[2], labels=np.arange(16) > 7),))


def _made_of(items):
    from vadbench.sweep.passes import passes

    return passes(items)


def test_densities_and_levels_share_a_pass(tiny):
    items = _items(["model=fuvas", "dataset=synthetic", "backbone=flow_grid", "model.pca_level=0.8,0.9,5"], tiny)
    made = _made_of(items)
    assert [one.outputs for one in made] == [("grid",), ("energy",)]
    assert [len(one.videos) for one in made] == [3, 1]


def test_clip_settings_need_a_pass_each(tiny):
    words = ["model=fuvas", "dataset=synthetic", "backbone=flow_grid", "backbone.clip_stride=1,2"]
    assert [one.outputs for one in _made_of(_items(words, tiny))] == [("grid",), ("grid",), ("energy",)]


def test_layers_of_a_network_are_one_pass_with_the_features_of_single_passes(tiny):
    words = ["model=fuvas", "dataset=synthetic", "backbone=r3d_18", "backbone.weights=random", "backbone.size=[32,32]"]
    words += [
        "backbone.clip_length=8",
        "backbone.clip_stride=8",
        "model.layer=layer1,layer2",
        "model.pca_level=0.8,0.9",
    ]
    items = _items(words, tiny)
    together, *baselines = _made_of(items)
    assert set(together.outputs) == {"layer1", "layer2"}
    assert [one.outputs for one in baselines] == [("energy",), ("flow",)]
    clip = tiny.test[0]
    joint = together.extractor.extract(clip, ["layer1", "layer2"], {})
    for item in (items[0], items[2]):
        (layer,) = item.extractor.outputs()
        alone = item.extractor.extract(clip, [layer], {})
        assert joint[layer]["features"].tobytes() == alone[layer]["features"].tobytes()
        assert together.extractor.outputs()[layer] == item.extractor.outputs()[layer]
        assert np.array_equal(joint[layer]["starts"], alone[layer]["starts"])


def test_seeds_of_random_weights_need_a_pass_each(tiny):
    words = ["model=fuvas", "dataset=synthetic", "backbone=r3d_18", "backbone.weights=random", "seed=0,1"]
    words += ["backbone.clip_length=8", "model.layer=layer1,layer2"]
    assert len(_made_of(_items(words, tiny))) == 4


def test_baselines_pass_over_labelled_test_videos_only(tiny):
    words = ["model=random", "dataset=synthetic"]
    made = _made_of(_items(words, replace(tiny, test=(*tiny.test, tiny.train[0]))))
    assert [(one.outputs, one.videos) for one in made] == [(("energy",), tiny.test), (("flow",), tiny.test)]
    assert _made_of(_items(words, replace(tiny, test=tiny.train))) == []


def test_flow_is_no_pass_of_its_own_where_clips_are_made_of_it(tiny):
    words = ["model=fuvas", "dataset=synthetic", "backbone=flow_grid"]
    assert [one.outputs for one in _made_of(_items(words, tiny))] == [("grid",), ("energy",)]
    other = [*words, "backbone.options.cell=8"]
    assert [one.outputs for one in _made_of(_items(other, tiny))] == [("grid",), ("energy",), ("flow",)]


def test_only_layers_of_one_backbone_on_the_same_clips_are_merged(tiny):
    from vadbench.models.base import merged

    words = ["model=fuvas", "dataset=synthetic", "backbone=r3d_18", "backbone.weights=random"]
    first, second = (item.extractor for item in _items([*words, "model.layer=layer1,layer2"], tiny))
    together = merged(first, [second])
    assert together.outputs() == {**first.outputs(), **second.outputs()}
    for change in ("backbone.clip_stride=3", "backbone.size=[40,40]", "seed=1", "model.short_videos=pad"):
        (other,) = (item.extractor for item in _items([*words, "model.layer=layer2", change], tiny))
        assert merged(first, [other]) is None, change
    (bank,) = (item.extractor for item in _items(["model=fuvas", "dataset=synthetic", "backbone=flow_grid"], tiny))
    (difference,) = (i.extractor for i in _items(["model=frame_difference", "dataset=synthetic"], tiny))
    assert merged(bank, [first]) is None
    assert merged(first, [bank]) is None
    assert merged(difference, [first]) is None
    assert merged(first, [difference]) is None
