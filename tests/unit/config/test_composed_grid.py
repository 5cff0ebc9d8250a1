"""A grid's configurations are those of Hydra, which composes only where it has to."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest

from vadbench.config import composed_grid as module
from vadbench.config.compose import compose_values, user_config_dirs
from vadbench.config.composed_grid import Grid
from vadbench.errors import ConfigError

BASE = ["model=fuvas", "dataset=synthetic", "backbone=flow_grid"]


@pytest.fixture
def composed(monkeypatch) -> list[list[str]]:
    """The overrides that Hydra was asked to compose."""
    asked: list[list[str]] = []
    real = module.composition
    monkeypatch.setattr(module, "composition", lambda words: asked.append(list(words)) or real(words))
    return asked


def outcome(make, words) -> object:
    try:
        return make(words)
    except ConfigError as error:
        return str(error)


@cache
def by_hydra(words: tuple[str, ...]) -> object:
    """What Hydra composes from the overrides, or its message."""
    return outcome(compose_values, words)


def test_100_points_are_composed_once(composed):
    grid = Grid()
    for seed in range(100):
        assert grid.values([*BASE, f"seed={seed}"])["seed"] == seed
    assert composed == [[*BASE, "seed=0"]]


def test_points_of_other_groups_are_composed_for_each_choice(composed):
    grid = Grid()
    for model in ("position", "frame_difference"):
        for seed in range(3):
            grid.values([f"model={model}", "dataset=synthetic", f"seed={seed}"])
    assert len(composed) == 2


VALUES = {
    "model.pca_level": ("0.9", "[1,2]", "'0.9'", "null"),
    "seed": ("0", "1", "-1"),
    "density.level": ("0.9", "${model.pca_level}", "null"),
    "dataset.root": ("~/b", "'x y'", "a\\,b", "???", "${oc.env:HOME}"),
    "dataset.test_videos": ("[01,02]", "[]", "7"),
    "backbone.size": ("[8,9]", "null"),
    "backbone.options": ("{a:1}", "{b:2}", "1"),
    "+backbone.options.a": ("1", "2"),
    "++model.pca_level": ("0.3", "0.4"),
    "model": ("clip_density", "position", "{pca_level:0.7}"),
    "protocol": ("raw", "gaussian"),
    "protocol.steps": ("[]", "[{kind:gaussian,sigma:1}]", "[{kind:gaussian,sigma:2}]"),
    "protocol@protocol": ("raw", "gaussian"),
    "model.no_such_key": ("1", "2"),
    "tracking.experiment": ("a", "b"),
    "evaluation": ("{pixels:off}", "null"),
    "evaluation.pixels": ("exact", "off"),
}


@pytest.mark.parametrize("key", sorted(VALUES))
def test_every_value_after_another_one(key):
    grid = Grid()
    for value in (*VALUES[key], *VALUES[key][:2]):
        words = (*BASE, f"{key}={value}")
        assert outcome(grid.values, words) == by_hydra(words), words


def test_several_kinds_of_words_in_any_order():
    draw = random.Random(3)
    for _ in range(4):
        keys = draw.sample(sorted(VALUES), 3)
        grid = Grid()
        for _ in range(3):
            words = (*BASE, *(f"{key}={draw.choice(VALUES[key])}" for key in keys))
            assert outcome(grid.values, words) == by_hydra(words), words


def test_an_interpolation_follows_the_key_that_it_names():
    grid = Grid()
    words = [["model=fuvas", "dataset=synthetic", f"model.pca_level={level}"] for level in (0.9, 0.5)]
    assert [grid.values(each)["density"]["level"] for each in words] == [0.9, 0.5]


def test_the_last_of_two_words_for_one_key_counts():
    grid = Grid()
    for first, last in ((1, 2), (3, 4)):
        assert grid.values([*BASE, f"seed={first}", f"seed={last}"])["seed"] == last


def test_a_group_of_a_folder_of_ones_own(tmp_path: Path, composed):
    """``mine`` is a group only because the folder is there, and its files differ in a key."""
    (tmp_path / "mine").mkdir()
    for seed in (4, 5):
        (tmp_path / "mine" / f"s{seed}.yaml").write_text(f"# @package _global_\nseed: {seed}\n")
    grid = Grid()
    for seed in (4, 5):
        words = user_config_dirs([*BASE, f"--config-dir={tmp_path}", f"+mine=s{seed}"])
        assert grid.values(words) == compose_values(words)
    assert len(composed) == 2


def test_a_protocol_of_ones_own_says_that_it_was_modified(tmp_path: Path):
    (tmp_path / "protocol").mkdir()
    text = "name: own\nversion: 1\nsource: me\nsteps: []\nmacro: skip\ncausal: true\nlooks_at_whole_video: false\n"
    (tmp_path / "protocol" / "own.yaml").write_text(text + "uses_test_labels: false\n")
    grid = Grid()
    base = user_config_dirs([*BASE, f"--config-dir={tmp_path}", "protocol=own"])
    for macro in ("skip", "one", "skip"):
        words = [*base, f"protocol.macro={macro}"]
        assert grid.values(words) == compose_values(words)


def test_what_one_point_changes_in_its_values_is_not_in_the_next():
    grid = Grid()
    grid.values([*BASE, "dataset.test_videos=[a]"])["model"]["pca_level"] = "changed"
    assert grid.values([*BASE, "dataset.test_videos=[b]"])["model"]["pca_level"] == 0.98
