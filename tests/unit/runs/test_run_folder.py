"""A run folder says what it is at every moment, whatever happens to the process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.records import smallest
from vadbench.errors import StoreError
from vadbench.runs.run_folder import RunFolder


def test_a_folder_is_complete_only_with_its_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.state == "absent" and not folder.complete
    with folder.lock():
        folder.begin("seed: 0\n", ["model=fuvas"])
        assert folder.state == "running" and not folder.complete
    folder.end("failed", "ValueError: no")
    assert folder.state == "failed"
    folder.begin("seed: 0\n", [])
    folder.finish(smallest())
    assert folder.state == "complete" and folder.read()["status"] == "complete"
    assert not (folder.path / "state.json").exists()


def test_a_new_start_takes_the_old_record_away_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin("", [])
    folder.finish(smallest())
    folder.begin("", [])
    assert not folder.complete


def test_a_run_that_is_stopped_after_its_record_stays_complete(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin("seed: 0\n", [])
    folder.finish(smallest())
    folder.end("interrupted")
    assert folder.state == "complete"


def test_the_record_is_strict_json(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    values = {"nan": float("nan"), "inf": np.float64("inf"), "np": np.int64(3), "list": np.arange(2), "t": (1, None)}
    folder.finish(smallest() | {"fit": values})
    text = (tmp_path / "run.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    read = json.loads(text)["fit"]
    assert (read["nan"], read["inf"], read["np"], read["list"], read["t"]) == (None, None, 3, [0, 1], [1, None])


def test_a_killed_run_is_interrupted_and_not_running(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from vadbench.runs.run_folder import RunFolder;"
        "folder = RunFolder(Path(sys.argv[1])); lock = folder.lock(); lock.acquire(); folder.begin('', []);"
        "print('begun', flush=True); time.sleep(60)"
    )
    place = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == "begun"
    assert RunFolder(place).state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert RunFolder(place).state == "interrupted"


def test_running_is_told_by_the_lock_and_not_by_the_number_of_a_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin("", [])  # its mark has the number of a living process: this one, which does not hold the lock
    assert folder.state == "interrupted"
    elsewhere = json.loads((folder.path / "state.json").read_text()) | {"host": "another", "pid": 1}
    (folder.path / "state.json").write_text(json.dumps(elsewhere))
    assert folder.state == "interrupted"
    with folder.lock():
        assert folder.state == "running"
    assert folder.state == "interrupted"


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="can't be written"):
        RunFolder(tmp_path / "file" / "run").begin("", [])


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    folder = RunFolder(tmp_path / "run")
    folder.path.with_suffix(".lock").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(OSError, match=r"run\.lock"), folder.lock(timeout=0):
        pass
    assert (tmp_path / "precious.txt").read_text() == "precious"
    (folder.path).mkdir()
    (folder.path / "state.json").write_text('{"state": "running"}')
    assert folder.state == "running"  # nobody can tell, so its mark is believed


@pytest.mark.parametrize("state", ['"weird"', "3", "{}", "null", '"complete"'])
def test_a_mark_that_says_no_state_is_none(tmp_path, state):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / "state.json").write_text(f'{{"state": {state}}}')
    assert folder.state == "absent"
