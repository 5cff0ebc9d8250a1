"""Every mistake on the command line is one clear message with the nearest valid choices, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vadbench.compose import compose, compose_values, groups, options, user_config_dirs
from vadbench.config import FuvasConfig
from vadbench.errors import ConfigError
from vadbench.paths import CONF

BASE = ["dataset=synthetic", "backbone=flow_grid"]


def message(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(words)
    return str(caught.value)


def test_the_knobs_reach_the_configuration() -> None:
    words = [*BASE, "model.pca_level=0.9", "model.layer=grid", "seed=3", "dataset.root=/somewhere"]
    config = compose(words)
    assert isinstance(config.model, FuvasConfig)
    assert (config.model.pca_level, config.model.layer, config.seed) == (0.9, "grid", 3)
    assert config.dataset.root == "/somewhere"
    assert config.backbone is not None and config.backbone.name == "flow_grid"


def test_the_quickstart_composes() -> None:
    config = compose(["experiment=quickstart"])
    assert (config.model.name, config.dataset.name) == ("fuvas", "synthetic")
    assert config.backbone is not None and config.backbone.name == "flow_grid"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["modl=fuvas", *BASE], ["modl: no such key", "Did you mean: model"]),
        (["model=fuvaz", *BASE], ["model=fuvaz: there is no such model", "Did you mean: fuvas", "ai_vad"]),
        (["model.pcalevel=0.9", *BASE], ["model.pcalevel: no such key", "Did you mean: model.pca_level"]),
        (["pca_level=0.9", *BASE], ["pca_level: no such key", "Did you mean: model.pca_level"]),
        (["model.pca_level=1.5", *BASE], ["model.pca_level=1.5", "share of variance", "whole number"]),
        (["model.pca_level=0", *BASE], ["model.pca_level=0", "greater than 0"]),
        (["model.pca_level=high", *BASE], ["model.pca_level='high'", "number"]),
        (["model.fill=nearst", *BASE], ["model.fill='nearst'", "'nearest'"]),
        (["seed=-1", *BASE], ["seed=-1", "greater than or equal to 0"]),
        (["on_existing=overwrite", *BASE], ["on_existing='overwrite'", "'skip', 'rerun' or 'error'"]),
        (["dataset=avenu", "backbone=flow_grid"], ["dataset=avenu: there is no such dataset", "avenue"]),
        (["backbone=x3d", "dataset=synthetic"], ["backbone=x3d: there is no such backbone", "x3d_s"]),
        (["model=fuvas"], ["dataset: choose one", "synthetic"]),
        (["model=random", "dataset=synthetic", "backbone=flow_grid"], ["backbone: the chosen model does not use"]),
    ],
)
def test_mistakes(words: list[str], parts: list[str]) -> None:
    text = message(*words)
    for part in parts:
        assert part in text, text
    assert "Traceback" not in text and len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("hydra.run.dir=/elsewhere", "results=FOLDER"),
        ("hydra.sweep.dir=/elsewhere", "results=FOLDER"),
        ("+hydra.sweep.subdir=x", "results=FOLDER"),
        ("hydra.launcher.n_jobs=4", "launcher.jobs=4"),
        ("hydra.sweeper.max_batch_size=2", "seed=0,1,2"),
        ("hydra.verbose=true", "no effect"),
    ],
)
def test_settings_of_hydras_own_program_are_answered(word: str, part: str) -> None:
    with pytest.raises(ConfigError, match="it has no effect") as error:
        compose([*BASE, word])
    assert part in str(error.value) and str(error.value).count("\n") == 0


def test_variables_of_mlflow_name_experiment_and_run_unless_a_word_does(monkeypatch) -> None:
    assert compose(BASE).tracking.experiment is None and compose(BASE).tracking.run_name is None
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("MLFLOW_RUN_NAME", "first try")
    tracking = compose(BASE).tracking
    assert (tracking.experiment, tracking.run_name) == ("mine", "first try")
    assert compose([*BASE, "tracking.experiment=other"]).tracking.experiment == "other"


def test_several_wrong_values_are_named_at_once() -> None:
    text = message(*BASE, "model.pca_level=1.5", "seed=-4", "runtime.batch_size=0")
    for key in ("model.pca_level", "seed", "runtime.batch_size"):
        assert key in text


@pytest.mark.parametrize("group", groups())
def test_every_option_of_every_group_is_named_like_its_file_and_says_what_it_is(group: str) -> None:
    for name in options(group):
        text = (CONF / group / f"{name}.yaml").read_text()
        values = yaml.safe_load(text)
        says = text.startswith("#") or bool(values.get("source"))
        assert says, f"{group}/{name}.yaml has no first line that says what it is for"
        if group in ("model", "dataset", "protocol", "tracking"):
            assert values["name"] == name


@pytest.mark.parametrize("model", options("model"))
@pytest.mark.parametrize("dataset", options("dataset"))
def test_every_model_composes_with_every_data_set(model: str, dataset: str) -> None:
    config = compose([f"model={model}", f"dataset={dataset}"])
    assert (config.model.name, config.dataset.name) == (model, dataset)


@pytest.mark.parametrize("backbone", options("backbone"))
def test_every_backbone_composes(backbone: str) -> None:
    config = compose([f"backbone={backbone}", "dataset=synthetic"])
    assert config.backbone is not None and config.backbone.name == backbone


def test_the_seam_gives_plain_values() -> None:
    assert compose_values(BASE)["model"]["pca_level"] == 0.98


def test_a_folder_of_your_own_configurations(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    text = (CONF / "model" / "fuvas.yaml").read_text().replace("pca_level: 0.98", "pca_level: 0.5")
    (tmp_path / "model" / "mine.yaml").write_text(text)
    words = user_config_dirs(["--config-dir", str(tmp_path), "model=mine", *BASE])
    config = compose(words)
    assert isinstance(config.model, FuvasConfig) and config.model.pca_level == 0.5
    with pytest.raises(ConfigError, match="no such folder"):
        user_config_dirs(["--config-dir", str(tmp_path / "absent")])
