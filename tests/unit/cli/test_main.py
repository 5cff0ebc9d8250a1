"""What the command line shows of what is logged."""

from __future__ import annotations

import pytest
import torch

from vadbench.cli.main import main

RANDOM = ["model=random", "dataset=synthetic", "tracking=none"]


@pytest.mark.parametrize("words", [["launcher=slurm"], ["launcher=ray", "launcher.jobs=2"], ["launcher.jobs=2"]])
def test_a_launcher_of_a_single_run_is_answered(tmp_path, capsys, words: list[str]) -> None:
    assert main([*RANDOM, f"results={tmp_path}", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"vadbench: {words[0]}: a launcher starts the points of a sweep") and "Add -m" in said
    assert "\n" not in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [[], ["-m"]])
@pytest.mark.parametrize("device", ["cuda:7", "meta"])
def test_a_device_that_is_not_there_is_answered_before_any_work(tmp_path, capsys, mode, device) -> None:
    if device == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has it")
    assert main([*mode, *RANDOM, f"results={tmp_path}", f"runtime.device={device}"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"vadbench: runtime.device={device}") and "\n" not in said
    assert not list(tmp_path.iterdir())
