"""MLflow as a mirror of run folders: it can be refilled at any time, and its faults never cost a run.

The folder is the truth. An entry is found by its fingerprint, is up to date if it was made from the same record, and is
made anew otherwise; so mirroring the same folder twice changes nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from vadbench.config.schema import TrackingConfig
from vadbench.tracking.run_entry import (
    CONTENT,
    FINGERPRINT,
    FOLDER,
    RunEntry,
    dataset_digest,
    experiment_of,
    read_entry,
)
from vadbench.untrusted import component

log = logging.getLogger(__name__)

SWEEP = "vadbench.sweep"
_PARENT = "mlflow.parentRunId"
_SQLITE = "sqlite:///"


def tracking_uri(config: TrackingConfig, results: Path) -> str:
    """Return the URI of the store: the configured one, else that of MLFLOW_TRACKING_URI, else SQLite under
    ``results``; always absolute."""
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return f"{_SQLITE}{results.absolute() / 'tracking' / 'mlflow.db'}"
    if uri.startswith(_SQLITE):
        return _SQLITE + str(Path(uri[len(_SQLITE) :]).absolute())
    return uri


def log_run(folder: Path, config: TrackingConfig, results: Path | None = None, sweep: str | None = None) -> str:
    """Mirror one run folder; never raises.

    Parameters
    ----------
    folder: ``<results>/runs/<dataset>/<model>/<fingerprint>``.
    sweep: id of the sweep that the run belongs to; its parent entry is made if need be.

    Returns
    -------
    ``"mirrored"``, ``"unchanged"``, ``"off"``, or ``"failed: ..."`` (a warning was logged; ``sync`` repairs it).
    """
    if config.name == "none":
        return "off"
    results = results or folder.absolute().parents[3]
    try:
        with Mirror(tracking_uri(config, results), results) as mirror:
            return mirror.put(folder, mirror.parent(sweep, folder) if sweep else None)
    except Exception as error:  # whatever the client, its database or its server raise
        reason = warn(error, tracking_uri(config, results))
        return f"failed: {reason}"


def warn(error: Exception, uri: str) -> str:
    """Log why tracking failed and how to repair it; returns the reason in one line."""
    if isinstance(error, ImportError):
        reason = f"MLflow can't be imported ({error})"
    else:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    log.warning("Not mirrored to %s: %s. The run is on disk; 'python -m vadbench sync' mirrors it later.", uri, reason)
    return reason


class Mirror:
    """An open tracking store; use it as a context manager, which holds the lock of the store.

    One writer at a time: SQLite allows no more, and two that mirror the same folder would both find it missing.
    """

    def __init__(self, uri: str, results: Path) -> None:
        self.uri = uri
        self.results = results
        self._database = Path(uri[len(_SQLITE) :]) if uri.startswith(_SQLITE) else None
        self._local = self._database.parent if self._database is not None else None
        self._lock = FileLock((self._local or results.absolute() / "tracking") / "mlflow.lock")
        self._experiments: dict[str, str] = {}
        self._client: Any = None

    def __enter__(self) -> Mirror:
        _import_client(self.uri)  # seconds, the first time in a process: not while others wait for the lock
        Path(self._lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            if self._database is not None and not self._database.exists():
                self._database.touch()  # SQLite would make it without the group's right to write that a umask may give
            self._client = _connect(self.uri)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def put(self, folder: Path, parent: str | None = None) -> str:
        """Mirror a folder: ``"mirrored"``, ``"unchanged"``, or ``"nothing"`` if it holds no finished run."""
        entry = read_entry(folder)
        if entry is None:
            return "nothing"
        experiment = self.experiment(entry.experiment)
        current, stale = self._known(experiment, entry)
        for run in stale:
            self._client.delete_run(run.info.run_id)
        if current is not None:
            known = current.data.tags
            new = {_PARENT: parent} if parent and _PARENT not in known else {}
            if known.get(FOLDER) != entry.tags[FOLDER]:  # the results folder was moved or copied
                new[FOLDER] = entry.tags[FOLDER]
            for key, value in new.items():
                self._client.set_tag(current.info.run_id, key, value)
            return "mirrored" if new else "unchanged"
        parent = parent or next((run.data.tags[_PARENT] for run in stale if _PARENT in run.data.tags), None)
        self._create(experiment, entry, folder, parent)
        return "mirrored"

    def put_all(self, folders: Sequence[Path], sweep: str, name: str | None = None) -> bool:
        """Mirror folders as children of a sweep called ``name``; False, with a warning, if one of them could not be."""
        try:
            for folder in folders:
                self.put(folder, self.parent(sweep, folder, name))
        except Exception as error:
            warn(error, self.uri)
            return False
        return True

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if need be."""
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            # Only this machine's store knows where this machine's files are; a server has its own place for them.
            place = None
            if self._local is not None:
                place = (self._local / "artifacts" / quote(component(name), safe=" ")).as_uri()
            if found and place and found.artifact_location != place:
                self._repoint(found.artifact_location, place)
            self._experiments[name] = (
                found.experiment_id if found else self._client.create_experiment(name, artifact_location=place)
            )
        return self._experiments[name]

    def _repoint(self, old: str, new: str) -> None:
        """Let an experiment and its runs have their files at ``new``, below this store, if their place ``old`` was made
        by this program and the folder of the store was moved or copied since: else new files would go to ``old``.

        MLflow has no call for that.
        """
        tail = "/".join(new.rsplit("/", 2)[1:])
        if self._database is None or not old.endswith(f"/{tail}"):
            return
        with closing(sqlite3.connect(self._database)) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
            database.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )
        log.info("%s: files of runs are now at %s, no longer at %s", self.uri, new, old)

    def parent(self, sweep: str, folder: Path, name: str | None = None) -> str:
        """Return the entry of a sweep in the experiment of ``folder``'s run, made if need be under ``name``; its run
        id."""
        entry = read_entry(folder)
        experiment = self.experiment(entry.experiment if entry else experiment_of(folder))
        for run in self._search(experiment, f"tags.`{SWEEP}` = '{sweep}'"):
            return str(run.info.run_id)
        run = self._client.create_run(experiment, tags={SWEEP: sweep}, run_name=name or f"sweep {sweep}")
        return str(run.info.run_id)

    def close_sweep(self, sweep: str, tally: Mapping[str, int], command: str) -> None:
        """Say how a sweep ended; ``tally`` counts its points by state. Safe to repeat."""
        status = "FINISHED" if set(tally) <= {"complete"} else "FAILED"
        for experiment in self._client.search_experiments():
            for run in self._search(experiment.experiment_id, f"tags.`{SWEEP}` = '{sweep}'"):
                said = {**{f"points_{k}": str(v) for k, v in tally.items()}, "command": command[:4000]}
                known = run.data.tags
                for key, value in said.items():
                    if known.get(f"vadbench.{key}") != value:
                        self._client.set_tag(run.info.run_id, f"vadbench.{key}", value)
                if run.info.status != status:
                    self._client.set_terminated(run.info.run_id, status)

    def close_stale(self) -> int:
        """End every entry of ours that was left RUNNING by a writer that died; returns how many.

        The lock is held, so no writer of ours is at work on any of them.
        """
        closed = 0
        for experiment in self._client.search_experiments():
            for run in self._search(experiment.experiment_id, "attributes.status = 'RUNNING'"):
                if FINGERPRINT in run.data.tags or SWEEP in run.data.tags:
                    self._client.set_terminated(run.info.run_id, "KILLED")
                    closed += 1
        return closed

    def _known(self, experiment: str, entry: RunEntry) -> tuple[Any, list[Any]]:
        """Return the finished, up-to-date entry of a run if there is one, and all others of the same run."""
        current, stale = None, []
        for run in self._search(experiment, f"tags.`{FINGERPRINT}` = '{entry.tags[FINGERPRINT]}'"):
            good = run.info.status == entry.status and run.data.tags.get(CONTENT) == entry.tags[CONTENT]
            if good and current is None:
                current = run
            else:
                stale.append(run)
        return current, stale

    def _search(self, experiment: str, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs([experiment], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, experiment: str, entry: RunEntry, folder: Path, parent: str | None) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        tags = {"mlflow.user": os.environ.get("USER", "unknown"), FINGERPRINT: entry.tags[FINGERPRINT]}
        if parent:
            tags[_PARENT] = parent
        run = self._client.create_run(experiment, start_time=entry.start_ms, tags=tags, run_name=entry.name)
        run_id = run.info.run_id
        metrics = [Metric(k, v, entry.end_ms, 0) for k, v in entry.metrics.items()]
        params = [Param(k, v) for k, v in entry.params.items()]
        self._batches(run_id, metrics, params, [RunTag(k, v) for k, v in entry.tags.items()])
        if entry.dataset:
            name, digest = str(entry.dataset.get("name", entry.experiment)), dataset_digest(entry.dataset)
            data = Dataset(name, digest, source_type="vadbench", source="{}")
            self._client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "test")])])
        for path in entry.files:
            below = path.parent.relative_to(folder).as_posix()
            self._client.log_artifact(run_id, str(path), None if below == "." else below)
        # Last: an entry that is not terminated is not believed.
        self._client.set_terminated(run_id, entry.status, entry.end_ms)

    def _batches(self, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        """MLflow takes at most 1000 metrics, 100 params and 100 tags at a time."""
        while metrics or params or tags:
            self._client.log_batch(run_id, metrics[:500], params[:100], tags[:100])
            metrics, params, tags = metrics[500:], params[100:], tags[100:]


def _import_client(uri: str) -> None:
    """Import what a client of ``uri`` needs, quietly and without telemetry."""
    # A dead server should cost seconds, not the minutes of the defaults; a user's own settings stay.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import_module("mlflow.tracking")
    if uri.startswith(_SQLITE):
        import_module("alembic.command")
        import_module("mlflow.store.tracking.sqlalchemy_store")
        import_module("sqlalchemy.orm").configure_mappers()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _connect(uri: str) -> Any:
    """Return a client of the store at ``uri``; the first contact with a new SQLite file makes its tables (seconds)."""
    from mlflow.tracking import MlflowClient

    started = time.perf_counter()
    client = MlflowClient(tracking_uri=uri)
    _first_contact(client.get_experiment, "0")
    log.debug("connected to %s in %.1f s", uri, time.perf_counter() - started)
    return client


def _first_contact(ask: Callable[[str], Any], experiment: str) -> None:
    """Reach the store once. A missing default experiment (somebody deleted it) is fine; no answer is not."""
    from mlflow.exceptions import MlflowException

    try:
        ask(experiment)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


@contextmanager
def opened(config: TrackingConfig, results: Path) -> Iterator[Mirror | None]:
    """Return the mirror of a configuration, or None (with a warning) where it is off or can't be reached."""
    if config.name == "none":
        yield None
        return
    mirror: Mirror | None = Mirror(tracking_uri(config, results), results)
    try:
        assert mirror is not None
        mirror.__enter__()
    except Exception as error:
        warn(error, tracking_uri(config, results))
        mirror = None
    try:
        yield mirror
    finally:
        if mirror is not None:
            mirror.__exit__()
