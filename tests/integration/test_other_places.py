"""Results that were moved, that others read or share, that lie where little works; data of which there is little."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from tests.integration.conftest import environment
from tests.stand_ins import video
from vadbench.cli.main import main
from vadbench.config.compose import compose
from vadbench.data.video import Dataset
from vadbench.errors import DataError, StoreError
from vadbench.experiment import run as run_module
from vadbench.experiment.run import run
from vadbench.runs import run_folder as run_folder_module
from vadbench.runs.run_folder import RunFolder

TINY = ["model=random", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24"]
TINY += ["dataset.size=[48,64]", "model.visualizer=false", "model.evaluator=false"]


def run_folders(results: Path) -> list[Path]:
    return sorted(path for path in results.glob("runs/*/*/*") if path.is_dir())


def test_moved_results_go_on_at_their_new_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TINY, f"dataset.root={tmp_path / 'data'}"]
    old, new = tmp_path / "old", tmp_path / "new place"
    assert main(["-m", *words, f"results={old}", "seed=0,1"]) == 0
    database = sorted(path.name for path in run_folders(old))
    old.rename(new)
    capsys.readouterr()
    assert main(["table", str(next(new.glob("sweeps/*")))]) == 0
    assert "random" in capsys.readouterr().out
    assert main(["sync", "--results", str(new)]) == 0
    assert "2 mirrored" in capsys.readouterr().out
    assert main(["sync", "--results", str(new)]) == 0
    assert "2 unchanged" in capsys.readouterr().out
    assert main(["-m", *words, f"results={new}", "seed=0,1,2"]) == 0
    assert not old.exists(), "files of a new run went to where the results were"

    client = MlflowClient(tracking_uri=f"sqlite:///{new / 'tracking' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment.artifact_location.startswith(new.as_uri())
    found = [r for r in client.search_runs([experiment.experiment_id]) if "vadbench.fingerprint" in r.data.tags]
    assert set(database) < {r.data.tags["vadbench.fingerprint"] for r in found} and len(found) == 3
    for entry in found:
        assert Path(entry.data.tags["vadbench.folder"]) in run_folders(new)
        assert "config.yaml" in [file.path for file in client.list_artifacts(entry.info.run_id)]


@pytest.mark.slow
def test_a_place_of_somebody_elses_choice_stays(tmp_path: Path) -> None:
    words = [*TINY, f"dataset.root={tmp_path / 'data'}", f"results={tmp_path / 'results'}"]
    (tmp_path / "results" / "tracking").mkdir(parents=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'results' / 'tracking' / 'mlflow.db'}")
    chosen = (tmp_path / "chosen").as_uri()
    client.create_experiment("synthetic", artifact_location=chosen)
    assert main(words) == 0
    assert client.get_experiment_by_name("synthetic").artifact_location == chosen
    assert list((tmp_path / "chosen").rglob("run.json"))


_EACH = """
import contextlib, io, json, sys
from vadbench.cli.main import main
found = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    found.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def as_reader(commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Status, output and messages of commands of somebody whom the modes of files bind, as they do not bind root."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", _EACH, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root is bound by no modes of files")
def test_a_reader_sees_all_and_is_told_what_is_there(tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = [*TINY, f"dataset.root={tmp_path / 'data'}", f"results={results}", "tracking=none"]
    words[words.index("model.evaluator=false")] = "model.evaluator=true"
    assert main(["-m", *words, "seed=0,1"]) == 0
    first, second = map(str, run_folders(results))
    places = [results, *results.rglob("*"), tmp_path / "data", *(tmp_path / "data").rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in reversed(places):
        place.chmod(modes[place] & ~0o222)
    try:
        page = tmp_path / "page.html"
        served = [
            [*words, "seed=0"],
            ["table", str(results)],
            ["compare", first, second],
            ["report", first, "--out", str(page)],
            ["-m", *words, "seed=0,1"],
        ]
        refused = {
            "report.html can't be written (Permission denied). --out FILE writes the page": ["report", first],
            "random can't be written (Permission denied)": [*words, "seed=0", "on_existing=rerun"],
            "this run exists": [*words, "seed=0", "on_existing=error"],
            "can't be written (Permission denied). Choose another place": [*words, "seed=7"],
            "sweeps/synthetic-random": ["-m", *words, "seed=0,7"],
        }
        answers = as_reader([*served, *refused.values()])
        for status, shown, _ in answers[: len(served)]:
            assert status == 0 and ("frame" in shown or shown.strip() == str(page)), answers
        assert "This run exists" in answers[0][1] and "nothing can be added to it" in answers[0][2]
        for said, (status, _, message) in zip(refused, answers[len(served) :], strict=True):
            assert status == 2 and said in message and message.count("vadbench: ") == 1, message
        assert set(results.rglob("*")) <= modes.keys()
    finally:
        for place in places:
            place.chmod(modes[place])


def test_a_group_may_write_all_of_it(tmp_path: Path) -> None:
    results = tmp_path / "results"
    before = os.umask(0o002)
    try:
        assert main(["-m", *TINY, f"dataset.root={tmp_path / 'data'}", f"results={results}", "seed=0,1"]) == 0
    finally:
        os.umask(before)
    files = [results, *results.rglob("*")]
    assert results / "tracking" / "mlflow.db" in files
    assert [path for path in files if not path.stat().st_mode & 0o020] == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    words = [*TINY, f"dataset.root={tmp_path / 'data'}", "tracking=none"]
    assert main([*words, f"results={tmp_path / 'elsewhere'}"]) == 0  # the data are there
    monkeypatch.setattr(fcntl, "flock", refused)
    for given in (words, ["-m", *words, "seed=0,1"]):
        assert main([*given, f"results={tmp_path / 'results'}"]) == 2
        said = capsys.readouterr().err
        assert f"files can't be locked there ({os.strerror(number)})" in said and "results=FOLDER" in said
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_is_said_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_room(*_: object, **__: object) -> Any:
        raise full

    config = compose([*TINY, f"dataset.root={tmp_path / 'data'}", f"results={tmp_path / 'results'}", "tracking=none"])
    real = run_folder_module.write_atomically
    with monkeypatch.context() as patch:

        def once_full(path: Path, text: str) -> None:
            if '"running"' not in text:  # what is written before the work finds room
                no_room()
            real(path, text)

        patch.setattr(run_folder_module, "write_atomically", once_full)
        patch.setattr(run_module, "coverage", no_room)
        with pytest.raises(StoreError, match=r"can't be written \(no room is left on the disk\)"):
            run(config)
    (folder,) = run_folders(tmp_path / "results")
    assert RunFolder(folder).state == "failed" and "No space left" in RunFolder(folder).mark()["reason"]
    kept = {"config.yaml", "environment.json", "log.txt", "overrides.txt", "state.json"}
    assert {path.name for path in folder.iterdir()} == kept
    assert not run(config).existed and RunFolder(folder).state == "complete"


def own(train: tuple[Any, ...], test: tuple[Any, ...]) -> Dataset:
    return Dataset("own", train, test)


def config_of(place: Path, *words: str) -> Any:
    fixed = ["model=fuvas", "backbone=flow_grid", "dataset=synthetic", "tracking=none", f"results={place}"]
    return compose([*fixed, *words])


@pytest.mark.parametrize(
    "name", ["x" * 400, "監視カメラ映像" * 12, "/".join(["abcdefgh"] * 50)], ids=["long", "wide", "deep"]
)
def test_an_id_that_no_file_can_be_called_by(tmp_path: Path, name: str) -> None:
    labels = np.arange(20) >= 10
    data = own((video("t"),), (video(name, labels=labels), video(f"{name}2", labels=labels)))
    found = run(config_of(tmp_path, "model.heatmap_frames=1"), dataset=data)
    files = [path.name for path in found.folder.path.rglob("*") if path.is_file()]
    assert len({file for file in files if file.endswith(".npy")}) == 2 and max(map(len, files)) < 256
    maps = [path for path in (found.folder.path / "pictures").iterdir() if path.name.startswith("heat_")]
    assert len(maps) == 2
    for path in maps:  # they are found again by the same names
        path.unlink()
    assert run(config_of(tmp_path, "model.heatmap_frames=1"), dataset=data).existed
    assert all(path.is_file() for path in maps)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [((), ("x",), "it has no training videos"), (("t",), (), "it has no test videos")],
)
def test_a_dataset_without_videos(tmp_path: Path, train: tuple[str, ...], test: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        run(config_of(tmp_path), dataset=own(tuple(map(video, train)), tuple(map(video, test))))
    assert not (tmp_path / "runs").exists()


def test_one_training_clip(tmp_path: Path) -> None:
    data = own((video("t"),), (video("x"),))
    with pytest.raises(DataError, match=r"at least 2 training samples and got 1: .*backbone\.clip_stride"):
        run(config_of(tmp_path, "backbone.clip_stride=100"), dataset=data)
    (folder,) = run_folders(tmp_path)
    assert RunFolder(folder).state == "failed" and "at least 2" in RunFolder(folder).mark()["reason"]
    assert "Traceback" in (folder / "log.txt").read_text() and not list(folder.rglob("*.parquet"))
