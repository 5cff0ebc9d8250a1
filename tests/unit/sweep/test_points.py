"""From overrides to points: order, labels, and every mistake named before anything starts."""

from __future__ import annotations

import pytest

from vadbench.errors import ConfigError
from vadbench.sweep.points import expand

BASE = ["model=fuvas", "dataset=synthetic", "backbone=flow_grid"]


def test_the_grid_is_every_combination():
    points = expand([*BASE, "model.pca_level=0.9,0.95", "seed=range(3)"])
    assert [(p.config.model.pca_level, p.config.seed) for p in points] == [
        (0.9, 0),
        (0.9, 1),
        (0.9, 2),
        (0.95, 0),
        (0.95, 1),
        (0.95, 2),
    ]
    assert points[4].label == "model.pca_level=0.95 seed=1"
    assert points[4].words == (*BASE, "model.pca_level=0.95", "seed=1")


def test_groups_can_be_swept_and_lists_are_values():
    points = expand(["model=fuvas", "dataset=synthetic", "backbone=flow_grid,gradient3d", "dataset.test_videos=[a,b]"])
    assert [p.config.backbone.name for p in points] == ["flow_grid", "gradient3d"]
    assert {tuple(p.config.dataset.test_videos) for p in points} == {("a", "b")}
    assert points[0].label == "backbone=flow_grid"


def test_pixel_metrics_of_a_sweep_are_by_histogram_unless_something_is_chosen():
    assert [p.config.evaluation.pixels for p in expand([*BASE, "seed=0,1"])] == ["histogram"] * 2
    for chosen in ("exact", "off"):
        assert expand([*BASE, f"evaluation.pixels={chosen}"])[0].config.evaluation.pixels == chosen


def test_a_grid_of_one_point():
    (point,) = expand(BASE)
    assert point.label == "the only point"


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        expand([*BASE, "model.pca_level=0.9,1.5,-1"])
    assert "1.5" in str(caught.value)
    assert "-1" in str(caught.value)
    assert "0.9" not in str(caught.value)


@pytest.mark.parametrize(
    "word", ["results=a,b", "tracking=mlflow,none", "launcher.jobs=1,2", "store.dtype=float32,float16"]
)
def test_what_can_not_differ_within_a_sweep(word):
    with pytest.raises(ConfigError, match="can't differ within a sweep"):
        expand([*BASE, word])


def test_words_that_can_not_be_read():
    with pytest.raises(ConfigError, match="can't be read"):
        expand([*BASE, "seed=[1"])
    with pytest.raises(ConfigError, match="no such option"):
        expand([*BASE, "--fast"])


def test_a_misspelt_key_gets_its_neighbours():
    with pytest.raises(ConfigError, match="pca_level"):
        expand([*BASE, "model.pca_levle=0.9,0.95"])
