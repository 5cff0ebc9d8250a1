"""Sweeps end to end: each thing done once, failures listed, the same command again goes on."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from tests.integration.conftest import (
    DEADLINE,
    environment,
    files_of,
    scores_by_point,
    table_of,
    vadbench,
    wait_until,
    workers,
)
from vadbench.cli.main import main
from vadbench.store.prune import held

LEVELS = "model.pca_level=0.7,0.8,0.9"


@pytest.fixture
def sweep(tmp_path, base_words, capsys):
    """Call a sweep in this process; returns (exit status, standard output)."""

    def call(*words: str, tracking: str = "none") -> tuple[int, str]:
        code = main(["-m", *base_words, f"results={tmp_path}", f"tracking={tracking}", *words])
        return code, capsys.readouterr().out

    return call


def _passes_made(results: Path) -> dict[str, int]:
    """Output to how many videos were extracted for it; derived arrays left out."""
    made: dict[str, int] = {}
    for one in held(results / "cache"):
        note = one.entry.note()
        if "video" in note:
            made[note["output"]] = made.get(note["output"], 0) + 1
    return made


def test_every_level_from_one_pass_and_one_decomposition(tmp_path, sweep, caplog):
    code, out = sweep(LEVELS, "seed=0,1", "model.evaluator=true")
    assert code == 0
    assert _passes_made(tmp_path) == {"flow": 5, "grid": 5, "energy": 2}
    derived = [one.entry.note() for one in held(tmp_path / "cache") if "video" not in one.entry.note()]
    assert sum(note["output"] == "spectrum" for note in derived) == 1
    rows = table_of(out)
    assert len(rows) == 2 + 3  # header, rule, one row a level
    assert all("| 2/12 | 1 |" in row for row in rows[2:])  # the seed is not used: nothing is repeated
    assert caplog.text.count("seed has no effect on model=fuvas") == 1
    assert all("none needed" in row for row in rows[2:])
    assert len(scores_by_point(tmp_path)) == 3
    states = [p["state"] for p in json.loads(next(tmp_path.glob("sweeps/*/sweep.json")).read_text())["points"]]
    assert states == ["complete"] * 3


def test_the_same_command_again_changes_nothing_but_its_log(tmp_path, sweep, caplog):
    words = (LEVELS, "model.fill=hold,linear", "model.target_frame=first,mid,last,all")
    first = sweep(*words, tracking="mlflow")
    before = files_of(tmp_path)
    with caplog.at_level(logging.INFO):
        second = sweep(*words, tracking="mlflow")
    assert "24 points: 24 complete, 0 to do" in caplog.text
    assert second == first
    after = files_of(tmp_path)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert {Path(name).name for name in changed} == {"log.txt"}
    assert {Path(name).parts[0] for name in changed} == {"sweeps"}


def test_only_what_is_new_in_a_larger_grid_is_done(tmp_path, sweep, caplog):
    sweep("model.pca_level=0.7,0.8")
    old = files_of(tmp_path / "runs")
    with caplog.at_level(logging.INFO):
        code, out = sweep("model.pca_level=0.7,0.8,0.9,0.95")
    assert code == 0
    assert "4 points: 2 complete, 2 to do" in caplog.text
    assert {k: v for k, v in files_of(tmp_path / "runs").items() if k in old} == old
    assert len(table_of(out)) == 2 + 4


def test_a_failing_point_stops_no_other_and_is_listed(tmp_path, sweep):
    """shots=100000 can't be drawn from the few training clips there are."""
    code, out = sweep("model.shots=5,100000,6,100001", "model.pca_level=0.8")
    assert code == 1
    assert len(scores_by_point(tmp_path)) == 2
    assert "2 of 4 points are not complete" in out
    failures = [line for line in out.splitlines() if line.startswith("| failed")]
    assert len(failures) == 2
    assert all("there are only" in line for line in failures)
    for line in failures:
        log = Path(line.split("|")[4].strip())
        assert "Traceback" in log.read_text()
    assert sorted(p["state"] for p in _points(tmp_path)) == ["complete", "complete", "failed", "failed"]


def test_a_failed_point_is_tried_again_by_the_next_start(tmp_path, sweep, caplog):
    sweep("model.shots=5,100000")
    with caplog.at_level(logging.INFO):
        code, _ = sweep("model.shots=5,100000")
    assert code == 1
    assert "2 points: 1 complete, 1 to do" in caplog.text


def test_a_data_set_that_is_not_there_fails_its_points_only(tmp_path, sweep, small_ped2):
    code, out = sweep(f"dataset.root={small_ped2},/no/such/place")
    assert code == 1
    assert len(scores_by_point(tmp_path)) == 1
    assert "/no/such/place" in out


def _points(results: Path) -> list[dict]:
    return json.loads(next(results.glob("sweeps/*/sweep.json")).read_text())["points"]


def test_two_processes_make_what_one_makes(tmp_path, sweep):
    outputs = {}
    for jobs in (1, 2):
        results = tmp_path / str(jobs)
        code, out = sweep(LEVELS, f"launcher.jobs={jobs}", f"results={results}")
        assert code == 0
        outputs[jobs] = (table_of(out), scores_by_point(results))
    assert outputs[1] == outputs[2]
    assert len(outputs[1][1]) == 3


def test_on_existing(tmp_path, sweep, capsys):
    sweep("model.pca_level=0.7,0.8")
    before = files_of(tmp_path / "runs")
    assert sweep("model.pca_level=0.7,0.8", "on_existing=error")[0] == 2
    assert files_of(tmp_path / "runs") == before
    assert sweep("model.pca_level=0.7,0.8", "on_existing=rerun")[0] == 0
    after = files_of(tmp_path / "runs")
    again = [name for name in before if name.endswith("run.json") and before[name] != after[name]]
    assert len(again) == 2


def test_points_that_can_not_differ_in_their_result_are_one_run(tmp_path, sweep):
    code, out = sweep("runtime.batch_size=1,2", "model.pca_level=0.8")
    assert code == 0
    assert len(scores_by_point(tmp_path)) == 1
    assert len(table_of(out)) == 3


# Seeds 0 and 1 run at once, every other run waits until the file "go" exists: a signal finds a sweep half done.
_WAIT_FOR_GO = """
import time
from pathlib import Path
import vadbench.experiment.run as runner
real = runner._work
def work(config, *arguments):
    while config.seed > 1 and not Path({go!r}).exists():
        time.sleep(0.05)
    return real(config, *arguments)
runner._work = work
"""


@pytest.mark.parametrize(
    "blow",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_a_sweep_that_is_ended_goes_on(tmp_path, base_words, blow):
    """Signalled once its first point is complete: no worker outlives the command, and the next start ends the work."""
    results, go = tmp_path / "results", tmp_path / "go"
    (tmp_path / "sitecustomize.py").write_text(_WAIT_FOR_GO.format(go=str(go)))
    words = [
        "-m",
        *base_words,
        f"results={results}",
        "seed=range(12)",
        "model.shots=5",
        "tracking=none",
        "launcher.jobs=2",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "vadbench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONPATH=str(tmp_path)),
    )
    wait_until(lambda: scores_by_point(results) or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    at_work = workers(psutil.Process(process.pid))
    process.send_signal(blow)
    code = process.wait(DEADLINE)
    process.stdout.close()
    process.stderr.close()
    assert code == (130 if blow != signal.SIGKILL else -signal.SIGKILL)
    assert len(at_work) == 2
    _, alive = psutil.wait_procs(at_work, timeout=DEADLINE)
    assert alive == []
    assert 1 <= len(scores_by_point(results)) <= 2
    assert not [p["state"] for p in _points(results) if p["state"] == "failed"]
    go.touch()
    done = vadbench(*words)
    assert done.returncode == 0, done.stderr
    assert len(scores_by_point(results)) == 12
    assert not list(results.glob("runs/*/*/*/state.json"))
    assert not list(results.rglob("*.tmp"))


def test_a_point_that_kills_its_process_gets_a_second_chance_and_is_then_reported(tmp_path, base_words):
    """One seed's runs die like a crash in native code; every other point is complete, and nobody loops."""
    results = tmp_path / "results"
    code = (
        "import os, sys; import vadbench.experiment.run as runner; real = runner._work\n"
        "def work(config, *a):\n"
        f"    open({str(tmp_path / 'tries')!r}, 'a').write(str(config.seed))\n"
        "    if config.seed == 2: os.abort()\n"
        "    return real(config, *a)\n"
        "runner._work = work\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    words = [
        "-m",
        *base_words,
        f"results={results}",
        "seed=range(5)",
        "model.shots=5",
        "tracking=none",
        "launcher.jobs=2",
    ]
    done = vadbench(*words, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1, done.stderr
    assert len(scores_by_point(results)) == 4
    assert (tmp_path / "tries").read_text().count("2") == 2
    assert "| interrupted | seed=2 | its process died" in " ".join(done.stdout.split())


def test_the_runs_of_a_sweep_are_children_of_one_parent(tmp_path, sweep):
    from mlflow.tracking import MlflowClient

    sweep(LEVELS, tracking="mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/tracking/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("ucsd_ped2").experiment_id])
    (parent,) = [run for run in runs if "vadbench.sweep" in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.tags["vadbench.points_complete"] == "3"


def test_a_sweep_without_a_reachable_server_is_complete_and_synced_later(tmp_path, sweep, caplog):
    code, _ = sweep("model.pca_level=0.7,0.8", "tracking.uri=http://127.0.0.1:9", tracking="mlflow")
    assert code == 0
    assert "sync" in caplog.text
    assert main(["sync", "--results", str(tmp_path)]) == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/tracking/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("ucsd_ped2").experiment_id])
    assert len(runs) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_plan_says_what_will_be_done_and_does_nothing(tmp_path, base_words, capsys, sweep):
    words = ["plan", "-m", *base_words, f"results={tmp_path}", LEVELS]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "3 points, 3 runs: 3 absent" in out
    assert "to extract: 1 passes of 1" in out
    assert "5 of 5 videos (120 frames), unknown" in out
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.glob("runs/*/*/*"))
    sweep("model.pca_level=0.7")
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "3 points, 3 runs: 2 absent, 1 complete" in out
    assert "to do: 2 fits" in out
    assert "grid: all 5 videos are stored" in out
    assert "expected on one process: about" in out


def test_extraction_is_the_same_for_any_split(tmp_path, base_words, capsys):
    """One rank, and three ranks for five videos: the same entries, byte for byte."""
    stores = {}
    for world in (1, 3):
        results = tmp_path / str(world)
        for rank in range(world):
            words = ["extract", "--rank", str(rank), "--world", str(world), *base_words, f"results={results}"]
            assert main(words) == 0
        stores[world] = {h.entry.key: h.entry.data.read_bytes() for h in held(results / "cache")}
    assert stores[1] == stores[3]
    assert len(stores[1]) == 2 * 5  # of each video the flow and what the grid makes of it
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4
    assert "10 outputs extracted" in out[0]


def test_float16_features_change_auroc_by_less_than_a_thousandth(tmp_path, sweep, capsys):
    from vadbench.report.rows import rows

    values = {}
    for dtype in ("float32", "float16"):
        sweep(f"store.dtype={dtype}", "model.pca_level=0.9", "model.evaluator=true")
    for path in tmp_path.glob("runs/*/*/*"):
        if path.is_dir():
            dtype = yaml.safe_load((path / "config.yaml").read_text())["store"]["dtype"]
            values[dtype] = rows([path])[0].metrics["frame_auroc_micro"].mean
    assert len(values) == 2
    assert abs(values["float32"] - values["float16"]) < 1e-3
