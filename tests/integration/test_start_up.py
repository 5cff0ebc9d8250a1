"""What commands that compute nothing import, and what they cost: naming parts, a mistake, a run that exists."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.integration.conftest import environment
from vadbench.data.opencv import opencv_version

HEAVY = {"torch", "torchvision", "pytorchvideo", "pandas", "scipy", "sklearn", "cv2", "mlflow", "matplotlib", "pyarrow"}

_IMPORTED = f"""
import sys
from vadbench.cli.main import main
status = main(sys.argv[1:])
print("imported:", *sorted({HEAVY!r} & set(sys.modules)))
sys.exit(status)
"""


def imported(*words: str, cwd: Path) -> tuple[int, set[str], str]:
    """Exit status, heavy packages and everything printed by ``python -m vadbench WORDS`` in a process of its own."""
    command = [sys.executable, "-c", _IMPORTED, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment())
    out, _, packages = done.stdout.rpartition("imported:")
    return done.returncode, set(packages.split()), out + done.stderr


@pytest.mark.parametrize(
    "words", ["", "--help", "list", "list datasets", "list layers backbone=flow_grid", "--version"]
)
def test_naming_things_imports_nothing_heavy(tmp_path, words):
    status, packages, said = imported(*words.split(), cwd=tmp_path)
    assert (status, packages) == (0, set()), said


@pytest.mark.parametrize(
    "words",
    [
        "model=fuvaz dataset=synthetic",
        "model=fuvas dataset=synthetic model.pca_levl=0.9",
        "model=fuvas dataset=synthetic model.pca_level=7 seed=-1",
        "dataset=synthetic protocol=gausian",
        "-m dataset=synthetic model.pca_level=0.9,1.5",
        "tables",
        "model=ai_vad dataset=synthetic flow.size=[1]",
    ],
)
def test_a_mistake_is_named_before_anything_heavy_is_imported(tmp_path, words):
    status, packages, said = imported(*words.split(), cwd=tmp_path)
    assert (status, packages) == (2, set()), said
    assert "vadbench:" in said


@pytest.fixture(scope="module")
def words(small_ped2, tmp_path_factory) -> list[str]:
    """What runs below have in common."""
    results = tmp_path_factory.mktemp("start_up")
    return ["dataset=ucsd_ped2", f"dataset.root={small_ped2}", "tracking=none", f"results={results}"]


NETWORK = "backbone=x3d_s backbone.weights=random backbone.size=[32,32] backbone.clip_length=4 backbone.clip_stride=4"


@pytest.mark.parametrize(
    "method",
    [
        "model=position",
        pytest.param("model=frame_difference protocol=gaussian", marks=pytest.mark.slow),
        "model=fuvas backbone=flow_grid",
        pytest.param(f"model=fuvas {NETWORK} model.layer=blocks.1", marks=pytest.mark.slow),
    ],
)
def test_a_finished_run_is_found_without_what_made_it(words, method, tmp_path):
    command = [*method.split(), *words]
    first, _, said = imported(*command, cwd=tmp_path)
    assert first == 0, said
    status, packages, said = imported(*command, cwd=tmp_path)
    assert (status, packages) == (0, set()), said


def test_a_layer_that_is_not_there_is_named_from_what_was_measured_before(words, tmp_path):
    command = ["model=fuvas", *NETWORK.split(), *words, "backbone.size=[32,36]", "model.layer=blocks.99"]
    assert imported(*command, cwd=tmp_path)[0] == 2
    status, packages, said = imported(*command, cwd=tmp_path)
    assert (status, packages) == (2, set()), said
    assert "there is no such layer" in said and "Stages: blocks.0" in said


def test_the_version_of_opencv_is_that_of_the_module():
    assert opencv_version() == cv2.__version__


def cost(*words: str, cwd: Path) -> float:
    """CPU seconds, the least of five times."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vadbench", *words], capture_output=True, cwd=cwd, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(found)


@pytest.mark.bench
def test_what_commands_that_compute_nothing_cost(words, tmp_path):
    finished = ["model=fuvas", *NETWORK.split(), "model.layer=blocks.1", *words]
    assert imported(*finished, cwd=tmp_path)[0] == 0
    assert cost("--help", cwd=tmp_path) <= 0.4
    assert cost("list", cwd=tmp_path) <= 0.4
    assert cost("model=fuvaz", "dataset=synthetic", cwd=tmp_path) <= 0.5
    assert cost(*finished, cwd=tmp_path) <= 1.0
