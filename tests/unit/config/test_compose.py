"""Every mistake on the command line is one clear message with the nearest valid choices, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vadbench import registry
from vadbench.cli.main import main
from vadbench.config.compose import compose, compose_values, groups, options, user_config_dirs
from vadbench.config.parts import defaults, required
from vadbench.config.paths import CONF
from vadbench.config.schema import PARTS, keys_in
from vadbench.errors import ConfigError
from vadbench.evaluation.protocols.protocol import named
from vadbench.models.clips.fuvas import FuvasConfig

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
        (["model.pca_level=1.5", *BASE], ["model.pca_level=1.5", "explained variance ratio", "whole number"]),
        (["model.pca_level=0", *BASE], ["model.pca_level=0", "greater than 0"]),
        (["model.pca_level=high", *BASE], ["model.pca_level='high'", "number"]),
        (["model.fill=nearst", *BASE], ["model.fill='nearst'", "'nearest'"]),
        (["seed=-1", *BASE], ["seed=-1", "greater than or equal to 0"]),
        (["on_existing=overwrite", *BASE], ["on_existing='overwrite'", "'skip', 'same_code', 'rerun' or 'error'"]),
        (["dataset=avenu", "backbone=flow_grid"], ["dataset=avenu: there is no such dataset", "avenue"]),
        (["backbone=x3d", "dataset=synthetic"], ["backbone=x3d: there is no such backbone", "x3d_s"]),
        (["model=fuvas"], ["dataset: choose one", "synthetic"]),
        (["model=random", "dataset=synthetic", "backbone=flow_grid"], ["backbone: the chosen model does not use"]),
        (
            ["experiment=ai_vad_oficial", "dataset=avenue"],
            ["Did you mean: ai_vad_official"],
        ),
        (["experiment=tables/no", "dataset=avenue"], ["experiment=tables/no: there is no such experiment"]),
        (["experiment=tables/ai_vad_official_avenue", "dataset=avenue"], ["experiment=ai_vad_official dataset=avenue"]),
        (["experiment=[quickstart,qickstart]"], ["experiment=qickstart: there is no", "Did you mean: quickstart"]),
        (
            ["model=ai_vad", "dataset=synthetic", "regions=maskrnn"],
            ["Did you mean: maskrcnn? Available: maskrcnn, none, onnx. Files are in"],
        ),
        (["experiment=", "dataset=synthetic"], ["experiment=: there is no such experiment", "quickstart"]),
        (["experiment=null", "dataset=synthetic"], ["experiment=null: a group can't be null"]),
        (["+experiment=quickstart"], ["write experiment=NAME, without +"]),
        (["protocol=gaussian", "protocol.causal=true", *BASE], ["protocol.causal=True: the steps", "make it false"]),
        (
            ["protocol=raw", "protocol.uses_test_labels=true", *BASE],
            ["uses_test_labels=True", "make it false"],
        ),
        (
            ["protocol=raw", "protocol.steps=[{kind:minmax,over:all_videos}]", "protocol.causal=false", *BASE],
            ["protocol.looks_at_whole_video=False: the steps of protocol 'raw' make it true"],
        ),
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
        path = CONF / group / f"{name}.yaml"
        if not path.is_file():
            assert registry.get(group, name).summary, f"{group} {name} does not say what it is"
            continue
        text = path.read_text()
        values = yaml.safe_load(text)
        says = text.startswith("#") or bool(values.get("source"))
        assert says, f"{group}/{name}.yaml has no first line that says what it is for"
        if group in ("protocol", "tracking"):
            assert values["name"] == name


@pytest.mark.parametrize("kind", PARTS)
def test_a_built_in_part_has_all_its_defaults_and_no_file_repeats_one(kind: str) -> None:
    for part in registry.parts(kind):
        keys = keys_in(kind, part.name)
        assert keys is not None and required(keys) == [], f"{kind} {part.name}"
        path = CONF / kind / f"{part.name}.yaml"
        written = yaml.safe_load(path.read_text()) if path.is_file() else {}
        assert not [key for key, value in written.items() if defaults(keys).get(key) == value]


@pytest.mark.parametrize("group", ["regions", "flow", "runtime", "tracking"])
def test_a_preset_holds_only_what_differs(group: str) -> None:
    keys = keys_in(group, "any")
    assert keys is not None
    for path in (CONF / group).glob("*.yaml"):
        written = yaml.safe_load(path.read_text())
        names_itself = {"detector", "method", "device", "name"}
        assert not [k for k, v in written.items() if k not in names_itself and defaults(keys).get(k, ...) == v], path


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
    (tmp_path / "model" / "mine.yaml").write_text("name: fuvas\npca_level: 0.5\n")
    words = user_config_dirs(["--config-dir", str(tmp_path), "model=mine", *BASE])
    config = compose(words)
    assert isinstance(config.model, FuvasConfig) and config.model.pca_level == 0.5
    assert config.backbone.name == "flow_grid" and config.density.level == 0.5, "the groups of the method come with it"
    with pytest.raises(ConfigError, match="no such folder"):
        user_config_dirs(["--config-dir", str(tmp_path / "absent")])


def experiments(folder: Path) -> list[str]:
    """A folder with an experiment in a folder of its own; the overrides that add it."""
    (folder / "experiment" / "paper").mkdir(parents=True)
    header = "# @package _global_\ndefaults:\n  - override /dataset: synthetic\n"
    (folder / "experiment" / "paper" / "first.yaml").write_text(f"{header}seed: 4\n")
    (folder / "experiment" / "bare.yaml").write_text("seed: 4\n")
    (folder / "experiment" / "local.yaml").write_text("defaults:\n  - override /model: random\n")
    return ["--config-dir", str(folder)]


def test_experiments_of_a_folder_of_your_own(tmp_path: Path) -> None:
    given = user_config_dirs(experiments(tmp_path))
    assert compose([*given, "experiment=paper/first"]).seed == 4
    assert compose([*given, "experiment=[quickstart,paper/first]"]).seed == 4
    text = message(*given, "experiment=paper/frist")
    assert "experiment=paper/frist: there is no such experiment. Did you mean: paper/first" in text
    assert str(tmp_path / "experiment") in text
    assert "# @package _global_" in message(*given, "experiment=bare", *BASE)
    assert "# @package _global_" in message(*given, "experiment=local", *BASE)


def test_an_experiment_in_a_list_has_its_table_for_the_data_set() -> None:
    alone = compose(["experiment=ai_vad_official", "dataset=avenue"])
    assert compose(["experiment=[ai_vad_official]", "dataset=avenue"]) == alone
    assert alone.regions is not None and alone.regions.persons_only


@pytest.mark.parametrize("table", sorted(path.stem for path in (CONF / "experiment" / "tables").glob("*.yaml")))
def test_every_table_has_an_experiment_and_an_effect(table: str) -> None:
    experiment, dataset = next((e, d) for e in options("experiment") for d in options("dataset") if table == f"{e}_{d}")
    values = compose_values([f"experiment={experiment}", f"dataset={dataset}"])
    for group, keys in yaml.safe_load((CONF / "experiment" / "tables" / f"{table}.yaml").read_text()).items():
        assert {key: values[group][key] for key in keys} == keys


@pytest.mark.parametrize("command", ["sweep", "plan", "extract", "cfg"])
def test_a_mistyped_experiment_is_an_error_of_every_command(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*experiments(tmp_path), "experiment=paper/frist", "dataset=synthetic", f"results={tmp_path / 'results'}"]
    starts = {"sweep": ["-m"], "plan": ["plan", "-m"], "extract": ["extract"], "cfg": ["--cfg"]}
    assert main([*starts[command], *words]) == 2
    said = capsys.readouterr()
    assert "there is no such experiment. Did you mean: paper/first" in said.err and said.out == ""
    assert not (tmp_path / "results").exists()


def test_the_way_to_say_what_a_changed_protocol_is_works() -> None:
    words = [*BASE, "protocol=gaussian", "protocol.macro=pad_0_1"]
    assert "say so (++protocol.shift_invariant=false)" in message(*words)
    assert compose([*words, "++protocol.shift_invariant=false"]).protocol.macro == "pad_0_1"


def test_false_claims_of_a_protocol_are_named_all_at_once() -> None:
    text = message("protocol=raw", "protocol.steps=[{kind:minmax,over:video}]", *BASE)
    assert "protocol.causal=True" in text and "protocol.looks_at_whole_video=False" in text


def test_a_protocol_that_is_not_its_file_is_told_from_it(tmp_path: Path) -> None:
    (tmp_path / "protocol").mkdir()
    text = (CONF / "protocol" / "gaussian.yaml").read_text().replace("name: gaussian", "name: mine")
    (tmp_path / "protocol" / "mine.yaml").write_text(text)
    words = [*BASE, *user_config_dirs(["--config-dir", str(tmp_path)]), "protocol=mine"]
    assert compose(words).protocol.name == "mine"
    assert compose([*words, "protocol.source=elsewhere"]).protocol.name == "mine"
    assert compose([*words, "protocol.macro=one"]).protocol.name == "mine (modified)"
    assert named(compose([*BASE, "protocol=gaussian"]).protocol).name == "gaussian"
    assert named(compose([*BASE, "protocol=gaussian", "protocol.macro=one"]).protocol).name == "gaussian (modified)"
    # A file of the user's under the name of a published protocol is not that protocol.
    (tmp_path / "protocol" / "other.yaml").write_text(text.replace("name: mine", "name: stg_nf"))
    assert named(compose([*words[:-1], "protocol=other"]).protocol).name == "stg_nf (modified)"
