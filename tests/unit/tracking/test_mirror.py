"""MLflow mirrors the folders: once, completely, again without change, and its faults cost a warning."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from tests.unit.tracking.run_folders import write_failed, write_run
from vadbench.cli.sync import run as sync_verb
from vadbench.cli.sync import sync
from vadbench.config.schema import TrackingConfig
from vadbench.tracking.mlflow_mirror import Mirror, log_run, tracking_uri

MLFLOW = TrackingConfig("mlflow", None)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database with its tables made, which takes MLflow seconds; every test gets a copy."""
    results = tmp_path_factory.mktemp("template")
    with Mirror(tracking_uri(MLFLOW, results), results):
        pass
    return results / "tracking" / "mlflow.db"


@pytest.fixture
def results(tmp_path, empty_database):
    (tmp_path / "tracking").mkdir()
    shutil.copy(empty_database, tmp_path / "tracking" / "mlflow.db")
    return tmp_path


def _runs(results: Path, experiment: str = "synthetic") -> list:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(MLFLOW, results))
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def _history(results: Path, run_id: str, metric: str) -> list:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri(MLFLOW, results)).get_metric_history(run_id, metric)


def test_a_run_arrives_whole(results):
    folder = write_run(results)
    assert log_run(folder, MLFLOW) == "mirrored"
    (run,) = _runs(results)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["frame_auroc_micro"] == 0.75
    assert run.data.params["model.pca_level"] == "0.9"
    assert run.data.tags["vadbench.git_sha"] == "c0ffee"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("synthetic", "d" * 32)
    place = results / "tracking" / "artifacts" / "synthetic" / run.info.run_id / "artifacts"
    assert (place / "run.json").read_bytes() == (folder / "run.json").read_bytes()
    assert (place / "plots" / "curve.png").is_file()
    assert not (place / "maps").exists()


def test_twice_is_once(results):
    folder = write_run(results)
    assert log_run(folder, MLFLOW) == "mirrored"
    assert log_run(folder, MLFLOW) == "unchanged"
    assert sync(results, MLFLOW) == {"unchanged": 1, "closed": 0}
    (run,) = _runs(results)
    assert len(_history(results, run.info.run_id, "frame_auroc_micro")) == 1


def test_a_run_made_again_replaces_its_entry(results):
    log_run(write_run(results, auroc=0.75), MLFLOW)
    log_run(write_run(results, auroc=0.5), MLFLOW)
    (run,) = _runs(results)
    assert run.data.metrics["frame_auroc_micro"] == 0.5


def test_a_failed_run_is_shown_and_then_replaced(results):
    write_failed(results, "a" * 16)
    assert sync(results, MLFLOW)["mirrored"] == 1
    (run,) = _runs(results)
    assert (run.info.status, run.data.tags["vadbench.reason"]) == ("FAILED", "ValueError: no")
    log_run(write_run(results, "a" * 16), MLFLOW)
    (run,) = _runs(results)
    assert run.info.status == "FINISHED"


def test_a_writer_that_is_killed_leaves_nothing_running_after_sync(results):
    """A process dies by SIGKILL before it ends its entry; sync ends up with one finished entry."""
    folder = write_run(results)
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from vadbench.config.schema import TrackingConfig
        from vadbench.tracking.mlflow_mirror import log_run
        from mlflow.tracking import MlflowClient
        MlflowClient.set_terminated = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
        log_run(Path({str(folder)!r}), TrackingConfig("mlflow", None))
    """)
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert [run.info.status for run in _runs(results)] == ["RUNNING"]
    tally = sync(results, MLFLOW)
    assert (tally["closed"], tally["mirrored"]) == (1, 1)
    assert [run.info.status for run in _runs(results)] == ["FINISHED"]


def test_the_runs_of_a_sweep_are_its_children(results):
    for key in ("a" * 16, "b" * 16):
        assert log_run(write_run(results, key), MLFLOW, sweep="grid1") == "mirrored"
    runs = {run.data.tags.get("vadbench.fingerprint", "parent"): run for run in _runs(results)}
    assert len(runs) == 3
    parent = runs["parent"]
    assert {runs[k * 16].data.tags["mlflow.parentRunId"] for k in "ab"} == {parent.info.run_id}
    with Mirror(tracking_uri(MLFLOW, results), results) as mirror:
        mirror.close_sweep("grid1", {"complete": 1, "failed": 1}, "model=fuvas seed=0,1")
    (parent,) = [run for run in _runs(results) if "vadbench.sweep" in run.data.tags]
    assert parent.info.status == "FAILED"
    assert parent.data.tags["vadbench.points_failed"] == "1"
    assert parent.data.tags["vadbench.command"] == "model=fuvas seed=0,1"


def test_the_store_of_mlflows_variable_is_used_unless_a_word_names_one(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(MLFLOW, results))
    elsewhere = results / "elsewhere"
    folder = write_run(elsewhere)
    assert tracking_uri(MLFLOW, elsewhere) == tracking_uri(MLFLOW, results)
    assert tracking_uri(TrackingConfig("mlflow", "http://h:1"), elsewhere) == "http://h:1"
    assert log_run(folder, MLFLOW) == "mirrored"
    assert sync_verb(["--results", str(elsewhere)]) == 0
    assert len(_runs(results)) == 1
    assert not (elsewhere / "tracking").exists()


def test_an_empty_variable_of_mlflow_names_no_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking_uri(MLFLOW, tmp_path) == f"sqlite:///{tmp_path}/tracking/mlflow.db"


def test_an_experiment_and_a_run_have_the_names_that_were_given(results):
    folder = write_run(results, tracking={"name": "mlflow", "experiment": "/team/mine", "run_name": "first try"})
    assert log_run(folder, MLFLOW) == "mirrored"
    assert _runs(results) == []
    (run,) = _runs(results, "/team/mine")
    assert run.info.run_name == "first try"
    assert run.info.artifact_uri.startswith((results / "tracking" / "artifacts").as_uri())
    assert sync(results, MLFLOW)["unchanged"] == 1  # not once more under the name of the dataset


def test_a_sweep_has_the_name_that_was_given_and_its_runs_have_their_own(results):
    folder = write_run(results, tracking={"name": "none", "experiment": "mine", "run_name": None})
    with Mirror(tracking_uri(MLFLOW, results), results) as mirror:
        assert mirror.put_all([folder], "grid1", "first sweep")
    names = {run.info.run_name for run in _runs(results, "mine")}
    assert names == {"first sweep", "fuvas flow_grid flow pca 0.9 seed 3"}


def test_run_folders_of_an_earlier_version_are_mirrored(results):
    shutil.copytree(Path(__file__).parents[2] / "old_runs" / "runs", results / "runs")
    assert sync(results, MLFLOW)["mirrored"] == 5
    assert sync(results, MLFLOW)["unchanged"] == 5
    assert {run.data.params["model"] for run in _runs(results)} == {"fuvas", "random"}


def test_a_server_that_is_not_there_costs_a_warning_and_seconds(results, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    folder = write_run(results)
    status = log_run(folder, TrackingConfig("mlflow", "http://127.0.0.1:9"))
    assert status.startswith("failed")
    assert "python -m vadbench sync" in caplog.text
    assert (folder / "run.json").is_file()
    assert sync_verb(["--results", str(results), "--uri", "http://127.0.0.1:9"]) == 1
    assert sync_verb(["--results", str(results)]) == 0
    assert len(_runs(results)) == 1


def test_without_mlflow_the_run_stays_on_disk(results):
    folder = write_run(results)
    code = (
        "import sys, logging; sys.modules['mlflow'] = None; logging.basicConfig(); from pathlib import Path; "
        "from vadbench.config.schema import TrackingConfig; from vadbench.tracking.mlflow_mirror import log_run; "
        f"print(log_run(Path({str(folder)!r}), TrackingConfig('mlflow', None)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "MLflow can't be imported" in done.stdout
    assert "sync" in done.stderr


def test_a_database_that_can_not_be_opened_costs_a_warning(tmp_path, caplog):
    folder = write_run(tmp_path)
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "mlflow.db").write_bytes(b"this is no database" * 100)
    assert log_run(folder, MLFLOW).startswith("failed")
    assert "Not mirrored" in caplog.text


def test_tracking_can_be_off(tmp_path):
    assert log_run(write_run(tmp_path), TrackingConfig("none", None)) == "off"
    assert not (tmp_path / "tracking").exists()


def test_the_default_store_is_absolute_and_so_is_a_relative_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(MLFLOW, Path("results")) == f"sqlite:///{tmp_path}/results/tracking/mlflow.db"
    assert tracking_uri(TrackingConfig("mlflow", "sqlite:///x.db"), Path("r")) == f"sqlite:///{tmp_path}/x.db"
    assert tracking_uri(TrackingConfig("mlflow", "http://h:1"), Path("r")) == "http://h:1"


def test_the_lock_is_free_after_a_failure(tmp_path):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "mlflow.db").write_bytes(b"this is no database" * 100)
    for _ in range(2):
        with pytest.raises(Exception, match="database"), Mirror(tracking_uri(MLFLOW, tmp_path), tmp_path):
            pass
    with FileLock(tmp_path / "tracking" / "mlflow.lock", timeout=0):
        pass


def test_sync_of_a_folder_that_is_not_there_is_refused(tmp_path):
    from vadbench.errors import VadbenchError

    with pytest.raises(VadbenchError, match="there is no such folder"):
        sync_verb(["--results", str(tmp_path / "none")])


def test_tracking_does_not_touch_the_programs_logging(results):
    import logging

    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    log_run(write_run(results), MLFLOW)
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_foreign_name_of_a_data_set_is_no_path(results):
    """The files of a run stay below the store, whatever its record calls its dataset."""
    root = results / "inner"
    (root / "results").mkdir(parents=True)
    shutil.copytree(results / "tracking", root / "results" / "tracking")
    for name in ("../../../X", "..", "/tmp/x", "%2e%2e%2f%2e%2e%2fX"):
        write_run(root / "results", fingerprint=f"{len(name):016x}", dataset={"name": name, "digest": "d"})
    tally = sync(root / "results", MLFLOW)
    assert tally["mirrored"] == 4 and not tally["failed"]
    assert sorted(path.name for path in results.iterdir()) == ["inner", "tracking"]
    assert [path.name for path in root.iterdir()] == ["results"]
    assert sorted(path.name for path in (root / "results").iterdir()) == ["runs", "tracking"]
    artifacts = root / "results" / "tracking" / "artifacts"
    assert len(list(artifacts.iterdir())) == 4 and len(list(artifacts.glob("*/*/artifacts/run.json"))) == 4


def test_files_behind_links_are_not_mirrored_and_a_broken_folder_keeps_no_other_out(results, caplog):
    (results / "secret.png").write_bytes(b"secret")
    folder, broken = write_run(results), write_run(results, fingerprint="e" * 16)
    (folder / "leak.png").symlink_to(results / "secret.png")
    (folder / "more").symlink_to(results, target_is_directory=True)
    (broken / "run.json").write_text('{"metrics": [')
    (results / "runs" / "synthetic" / "fuvas" / ("f" * 16)).symlink_to(folder)
    tally = sync(results, MLFLOW)
    assert (tally["mirrored"], tally["damaged"], tally["failed"]) == (1, 1, 0)
    assert str(broken) in caplog.text
    names = {path.name for path in (results / "tracking").rglob("*")}
    assert "curve.png" in names and "leak.png" not in names and "secret.png" not in names


def test_a_record_can_not_replace_the_entry_of_another_run(results):
    write_run(results, auroc=0.75)
    assert sync(results, MLFLOW)["mirrored"] == 1
    foreign = write_run(results, fingerprint="b" * 16, auroc=0.1)
    text = (foreign / "run.json").read_text().replace("b" * 16, "a" * 16)
    (foreign / "run.json").write_text(text)
    assert sync(results, MLFLOW)["mirrored"] == 1
    assert sorted(run.data.metrics["frame_auroc_micro"] for run in _runs(results)) == [0.1, 0.75]
