"""What is no setting is said once, on the field, and holds for keys, tables, tracking stores and sweeps alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from vadbench import plugins, registry
from vadbench.config.compose import compose
from vadbench.config.schema import no_settings, without
from vadbench.errors import ConfigError
from vadbench.experiment.record import fingerprint
from vadbench.report.rows import _settings
from vadbench.sweep.points import expand
from vadbench.tracking.run_entry import _params

BASE = ["dataset=folder", "backbone=flow_grid"]


def key(*words: str) -> str:
    return fingerprint(asdict(compose([*BASE, *words])), {"grid": {}}, "data", "labels")


@pytest.mark.parametrize(
    "word",
    [
        "results=/elsewhere",
        "on_existing=rerun",
        "launcher=slurm",
        "launcher.jobs=3",
        "runtime.device=cpu",
        "tracking=none",
        "store.path=/cache",
        "store.local=/cache",
        "store.max_gb=3",
        "dataset.root=/data",
        "dataset.masks_root=/data",
        "dataset.labels=/labels.csv",
        "model.visualizer=false",
        "model.heatmap_frames=3",
        "++protocol.note=something",
        "++protocol.card=true",
        "++protocol.source=somebody",
    ],
)
def test_what_changes_no_result_is_in_no_key_no_table_and_no_tracking_store(word: str) -> None:
    assert key(word) == key()
    (plain, changed) = (asdict(compose([*BASE, *more])) for more in ([], [word]))
    assert _settings(changed) == _settings(plain)
    assert _params({}, changed, 0) == _params({}, plain, 0)


@pytest.mark.parametrize(
    "word",
    [
        "seed=3",
        "model.fill=hold",
        "dataset.intervals=from_1_inclusive",
        "store.dtype=float16",
        "model.evaluator=false",
        "protocol=gaussian",
        "density.components=one_fewer",
        "regions_from_maps=true",
    ],
)
def test_what_can_change_a_result_is_in_the_key(word: str) -> None:
    assert key(word) != key()


def test_a_table_shows_what_the_key_says_otherwise() -> None:
    (plain, strided) = (_settings(asdict(compose([*BASE, *w]))) for w in ([], ["backbone.clip_stride=2"]))
    assert key("backbone.clip_stride=2") == key(), "the extractor's spec says it"
    assert {k for k in plain if plain[k] != strided[k]} == {"backbone.clip_stride"}
    (plain, unlisted) = (_settings(asdict(compose([*BASE, *w]))) for w in ([], ["dataset.unlisted=normal"]))
    assert {k for k in plain if plain[k] != unlisted[k]} == {"dataset.unlisted"}


def test_a_dataset_that_gives_a_common_key_another_default_does_not_put_it_into_the_key() -> None:
    values = asdict(compose(["dataset=shanghaitech", "backbone=flow_grid"]))
    assert values["dataset"]["root"] == "datasets/shanghaitech"
    assert "root" not in without(values, "in_key")["dataset"]


@pytest.mark.usefixtures("own_registry")
def test_a_plug_in_says_it_in_the_same_way() -> None:
    @dataclass
    class Keys:
        strength: float = 1.0
        where: str = plugins.setting(default="here", in_key=False)

    @registry.density("mine", config=Keys)
    class Mine: ...

    words = ["model=clip_density", "density=mine"]
    assert key(*words, "density.where=there") == key(*words) != key(*words, "density.strength=2")


def test_keys_of_a_part_that_is_not_loaded_are_settings_but_for_those_of_its_kind() -> None:
    values: dict[str, Any] = {"dataset": {"name": "unheard_of", "root": "/data", "depth": 3}, "density": {"name": "no"}}
    assert without(values, "in_key") == {"dataset": {"name": "unheard_of", "depth": 3}, "density": {"name": "no"}}
    assert without(values, "shown") == {"dataset": {"depth": 3}, "density": {}}


def test_a_sweep_is_named_without_what_says_how_it_is_done(tmp_path: Path) -> None:
    assert set(no_settings()) == {
        *("evaluation", "launcher", "on_existing", "results", "runtime", "tracking"),
        *("store.path", "store.local", "store.max_gb"),
    }
    for word in (
        "results=a,b",
        "store.path=a,b",
        "launcher.jobs=1,2",
        "tracking=none,mlflow",
        "on_existing=skip,rerun",
        "evaluation.pixels=exact,histogram",
    ):
        with pytest.raises(ConfigError, match="can't differ within a sweep"):
            expand([*BASE, word])
    assert len(expand([*BASE, "runtime.batch_size=1,2"])) == 2
