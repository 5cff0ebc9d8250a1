"""Habits of Hydra and small slips on the command line are answered in one line that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadbench.cli.main import main
from vadbench.config.compose import compose, user_config_dirs
from vadbench.config.paths import home_expanded

RUN = ["model=random", "dataset=synthetic"]


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a refused command prints, which must be one line."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("vadbench: ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["hydra/launcher=slurm", *RUN], ["hydra/launcher: it has no effect", "-m launcher=local, slurm or ray"]),
        (["-m", "hydra/launcher=slurm", *RUN], ["hydra/launcher: it has no effect", "launcher.jobs=4"]),
        (["hydra/sweeper=optuna", *RUN], ["hydra/sweeper: it has no effect", "seed=0,1,2"]),
        (["+hydra.run.dir=out", *RUN], ["hydra.run.dir: it has no effect", "results=FOLDER"]),
        (["hydra.verbose=true", *RUN], ["hydra.verbose: it has no effect", "Leave it out"]),
        (["--config-name", "mine", *RUN], ["--config-name: not an option", "--config-dir FOLDER experiment=NAME"]),
        (["--config-name=mine", *RUN], ["--config-name: not an option", "FOLDER/experiment/NAME.yaml"]),
        (["-cn", "mine"], ["-cn: not an option", "--config-dir FOLDER experiment=NAME"]),
        (["--config-path", "conf"], ["--config-path: not an option", "--config-dir FOLDER"]),
        (["--info", "all"], ["--info: not an option", "--cfg prints the configuration", "list"]),
        (["-m", "--info"], ["--info: not an option", "--cfg prints"]),
        (["-m", *RUN, "seed=glob(*)"], ["seed=glob(*)", "glob() is not understood", "backbone=x3d_s,x3d_m", "list"]),
        (["-m", "seed=interval(0,1)", *RUN], ["interval() is not understood", "seed=range(3)"]),
        (["~seed", *RUN], ["~seed: a key can't be deleted", "seed=VALUE"]),
        (["-m", "~seed", *RUN], ["~seed: a key can't be deleted"]),
        ([*RUN, "seed=0,1"], ["seed=0,1: several values are a sweep", "Add -m"]),
        ([*RUN, "seed=range(3)"], ["seed=range(3): several values are a sweep", "Add -m"]),
        (["model=FUVAS", "dataset=synthetic"], ["model=FUVAS: there is no such model", "Did you mean: fuvas?"]),
        (["check", "ucsd_ped3"], ["there is no such dataset", "Did you mean: ucsd_ped2"]),
        (["check", "."], ["check dataset=NAME dataset.root=."]),
        (["list", "datset"], ["no such list", "Did you mean: datasets?"]),
    ],
)
def test_one_line_that_says_what_to_type(capsys, words: list[str], parts: list[str]) -> None:
    said = answer(capsys, *words)
    for part in parts:
        assert part in said


@pytest.mark.parametrize("words", [["-m", "--help"], [*RUN, "--help"], ["-m", *RUN, "-h"]])
def test_help_is_given_wherever_it_is_asked_for(capsys, words: list[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Coming from Hydra" in out and "hydra/launcher=NAME" in out and "--config-name NAME" in out


def test_hydras_own_form_of_cfg_prints_the_configuration(capsys) -> None:
    assert main([*RUN, "--cfg", "job"]) == 0
    out = capsys.readouterr().out
    assert main([*RUN, "--cfg"]) == 0
    assert out == capsys.readouterr().out and "model:" in out


@pytest.mark.parametrize("word", ["model", "models", "Backbone", "dataset", "protocol", "experiment"])
def test_a_list_is_found_by_one_of_its_kind(capsys, word: str) -> None:
    assert main(["list", word]) == 0
    assert "=NAME)" in capsys.readouterr().out


def test_a_data_set_is_checked_by_its_bare_name(tmp_path: Path, capsys) -> None:
    words = ["dataset.n_test=1", "dataset.n_train=1", "dataset.n_frames=24", f"dataset.root={tmp_path}"]
    assert main(["check", "synthetic", *words]) == 0
    assert capsys.readouterr().out.startswith("synthetic: ")


def test_the_home_sign_is_expanded_wherever_a_path_begins(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["results=~/out", "store.path=~/cache", "dataset.root=~/data"]
    config = compose([*RUN, *words])
    assert (config.results, config.store.path, config.dataset.root) == (
        f"{tmp_path}/out",
        f"{tmp_path}/cache",
        f"{tmp_path}/data",
    )
    assert home_expanded("a=~/x,~/y") == f"a={tmp_path}/x,{tmp_path}/y"
    assert home_expanded("a=['~/my data',b~/c]") == f"a=['{tmp_path}/my data',b~/c]"
    assert home_expanded("~seed") == "~seed" and home_expanded("a=~other/x") == "a=~other/x"
    (tmp_path / "conf").mkdir()
    assert user_config_dirs(["--config-dir=~/conf"]) == [f"hydra.searchpath=[file://{tmp_path}/conf]"]


def test_the_home_sign_in_a_file_of_ones_own_is_expanded_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nresults: ~/out\nstore: {path: ~/cache}\n")
    config = compose(user_config_dirs(["--config-dir", str(tmp_path), "experiment=mine", *RUN]))
    assert (config.results, config.store.path) == (f"{tmp_path}/out", f"{tmp_path}/cache")
