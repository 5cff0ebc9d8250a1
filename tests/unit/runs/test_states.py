"""States: told by files and locks, never by a process number that may be somebody else's by now."""

from __future__ import annotations

import json
import os
import socket
import time

from filelock import FileLock

from vadbench.runs.run_folder import RunFolder
from vadbench.runs.states import complete_since, settle, tried_since


def _marked(path, state, pid=None, since="2026-11-22T10:00:00+00:00"):
    path.mkdir(parents=True, exist_ok=True)
    mark = {"state": state, "host": socket.gethostname(), "pid": pid or os.getpid(), "since": since, "reason": ""}
    (path / "state.json").write_text(json.dumps(mark))
    return RunFolder(path)


def test_running_means_that_the_lock_is_held(tmp_path):
    folder = _marked(tmp_path / "run", "running")  # the number of a living process: this one
    assert folder.state == "interrupted"
    with FileLock(tmp_path / "run.lock"):
        assert folder.state == "running"
    assert folder.state == "interrupted"


def test_other_states_are_as_recorded(tmp_path):
    assert RunFolder(tmp_path / "none").state == "absent"
    assert _marked(tmp_path / "a", "failed").state == "failed"
    assert _marked(tmp_path / "b", "interrupted").state == "interrupted"
    (tmp_path / "a" / "run.json").write_text("{}")
    assert RunFolder(tmp_path / "a").state == "complete"


def test_tried_since(tmp_path):
    folder = _marked(tmp_path / "run", "failed")
    written = (tmp_path / "run" / "state.json").stat().st_mtime
    assert tried_since(folder, written)
    assert not tried_since(folder, written + 0.001)
    assert not tried_since(RunFolder(tmp_path / "none"), 0)


def test_complete_since(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.json").write_text("{}")
    assert complete_since(RunFolder(path), time.time() - 5)
    assert not complete_since(RunFolder(path), time.time() + 5)
    assert not complete_since(RunFolder(tmp_path / "none"), 0)


def test_a_run_that_was_killed_after_its_record_is_settled(tmp_path):
    folder = _marked(tmp_path / "run", "running")
    (folder.path / "run.json").write_text("{}")
    left = folder.path / f".state.json.{socket.gethostname()}.1234"
    left.write_text("{")
    with FileLock(tmp_path / "run.lock"):
        settle(folder)
        assert (folder.path / "state.json").exists()  # its process is still there
    settle(folder)
    assert sorted(path.name for path in folder.path.iterdir()) == ["run.json"]
    unfinished = _marked(tmp_path / "other", "failed")
    settle(unfinished)
    assert unfinished.state == "failed"
