"""MLflow under load and over the network: many writers on a new database, a real server on loopback."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.unit.tracking.run_folders import write_run
from vadbench.cli.sync import sync
from vadbench.config.schema import TrackingConfig
from vadbench.tracking.mlflow_mirror import _import_client, log_run, tracking_uri

MLFLOW = TrackingConfig("mlflow", None)


def _mirror(folder: Path, config: TrackingConfig, answers) -> None:
    answers.put(log_run(folder, config))


def test_32_writers_on_a_new_database_lose_no_run(tmp_path):
    from mlflow.tracking import MlflowClient

    _import_client("sqlite:///")  # once, before the fork: 32 times would take a minute
    folders = [write_run(tmp_path, f"{i:016x}", auroc=i / 32) for i in range(32)]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    jobs = [context.Process(target=_mirror, args=(folder, MLFLOW, answers)) for folder in folders]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert [job.exitcode for job in jobs] == [0] * 32
    assert [answers.get(timeout=5) for _ in jobs] == ["mirrored"] * 32
    client = MlflowClient(tracking_uri=tracking_uri(MLFLOW, tmp_path))
    runs = client.search_runs([client.get_experiment_by_name("synthetic").experiment_id])
    assert sorted(run.data.metrics["frame_auroc_micro"] for run in runs) == [i / 32 for i in range(32)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sync(tmp_path, MLFLOW) == {"unchanged": 32, "closed": 0}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path):
    """The address of an ``mlflow server`` on loopback."""
    url = f"http://127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", url.rsplit(":", 1)[1]]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "far"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.5)
        else:
            pytest.fail(f"no server after 2 minutes: {(tmp_path / 'server.log').read_text()}")
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def test_a_real_server(tmp_path, server):
    from mlflow.tracking import MlflowClient

    config = TrackingConfig("mlflow", server)
    folder = write_run(tmp_path)
    assert log_run(folder, config, sweep="grid") == "mirrored"
    assert log_run(folder, config, sweep="grid") == "unchanged"
    client = MlflowClient(tracking_uri=server)
    runs = client.search_runs([client.get_experiment_by_name("synthetic").experiment_id])
    (run,) = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert run.data.metrics["frame_auroc_micro"] == 0.75
    assert "run.json" in [item.path for item in client.list_artifacts(run.info.run_id)]
    assert list((tmp_path / "far").rglob("run.json"))  # the server's place, not the client's
    assert not (tmp_path / "tracking" / "mlflow.db").exists()
