"""A run is found by its folder, its id, or letters that only its id begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadbench.cli.main import main
from vadbench.errors import DataError
from vadbench.runs.find_run import find_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("folder/fuvas/ab12", "folder/random/ab34", "avenue/random/cd56", "avenue/random/cd567"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "avenue" / "fuvas" / "ef78").mkdir(parents=True)
    (tmp_path / "runs" / "avenue" / "random" / "cd56.lock").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [("ab12", "folder/fuvas/ab12"), ("ab3", "folder/random/ab34"), ("cd56", "avenue/random/cd56")],
)
def test_an_id_or_its_beginning(results: Path, given: str, found: str) -> None:
    assert find_run(given, results) == results / "runs" / found


def test_a_folder_is_taken_as_it_is(results: Path) -> None:
    folder = results / "runs" / "folder" / "fuvas" / "ab12"
    assert find_run(folder, Path("elsewhere")) == find_run(str(folder), Path("elsewhere")) == folder


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("ab", ["ab: the ids of 2 runs begin so", "folder/fuvas/ab12", "folder/random/ab34"]),
        ("ab21", ["neither the folder of a run nor the id of one of the 5 runs", "Did you mean: ab12", "--results"]),
        ("ef", ["avenue/fuvas/ef78: no complete run there (state: absent)"]),
    ],
)
def test_what_fits_none_or_many_is_answered(results: Path, given: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        find_run(given, results)
    for part in parts:
        assert part in str(caught.value)


def test_the_verbs_take_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=random", "dataset=synthetic", "dataset.n_test=2", "dataset.n_train=1", "dataset.n_frames=24"]
    words += [f"dataset.root={tmp_path}", "tracking=none", f"results={tmp_path}"]
    ids = []
    for seed in (0, 1):
        assert main([*words, f"seed={seed}"]) == 0
        ids.append(capsys.readouterr().out.splitlines()[-1].rpartition("/")[2])
    assert main(["compare", "--results", str(tmp_path), ids[0], ids[1][:8]]) == 0
    assert f"random/{ids[1]}" in capsys.readouterr().out
    assert main(["report", ids[0][:8], "--results", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    assert main(["explain", ids[0], "--results", str(tmp_path), "--video", "test_01"]) == 2
    assert "regions" in capsys.readouterr().err  # the run was found; this method has none
