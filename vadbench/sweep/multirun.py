"""A sweep: what is done stays, what is missing is done, what fails is listed; the same command again goes on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vadbench import registry
from vadbench.config.schema import RunConfig
from vadbench.data.video import Dataset
from vadbench.errors import StoreError, VadbenchError
from vadbench.experiment.run import check_device, other_source, prepare, update
from vadbench.files import require_writable, unwritable
from vadbench.runs.run_folder import RunFolder
from vadbench.runs.states import attempt, clear_rerun, complete_since, settle, state_since, tried_since
from vadbench.sweep.inventory import Inventory, Item
from vadbench.sweep.launchers import LocalLauncher, Worker, finish, start
from vadbench.sweep.lease import visible_gpus
from vadbench.sweep.mirroring import SweepMirror
from vadbench.sweep.outdated import differing, outdated
from vadbench.sweep.points import Point, expand
from vadbench.sweep.sweep_folder import SweepFolder, Task, Work
from vadbench.untrusted import require_plain

log = logging.getLogger(__name__)

_POLL_S = 0.3
# A point whose process dies gets one more chance, alone; a second death is its own fault.
_TRIES = 2


def run(words: list[str]) -> int:
    """Run every point of the grid ``words`` that is not done yet; prints the table of all points.

    Returns
    -------
    0 if every point is complete, 1 if one failed, 130 if it was interrupted.

    Raises
    ------
    VadbenchError: overrides that make no grid, ``on_existing=error`` and an existing point, a launcher that fails.
    """
    from vadbench.report.tables import sweep_table

    points = expand(words)
    if isinstance(points[0].config.launcher, LocalLauncher | None):  # other machines may have other devices
        for device in dict.fromkeys(point.config.runtime.device for point in points):
            check_device(device)
    sweep = Sweep(words, points)
    try:
        if writable := _writable(sweep):
            require_plain(sweep.folder.path)
        code = sweep.run() if writable else 0
    except OSError as error:
        raise unwritable(f"the sweep folder {sweep.folder.path}", error) from error
    print(sweep_table(sweep.folders, sweep.rows()))
    print(f"\nsweep folder:  {sweep.folder.path}")
    return code


def _writable(sweep: Sweep) -> bool:
    """Whether the sweep can be recorded; StoreError where it can't and a point is missing."""
    try:
        require_writable(sweep.folder.path)
    except StoreError as error:
        if sweep.config.on_existing != "skip" or sweep.todo() or len(sweep.folders) < len(sweep.unique):
            raise
        log.warning("all points are complete, and nothing can be added to them: %s", error)
        return False
    return True


class Sweep:
    """The points of one command and their progress."""

    def __init__(self, words: Sequence[str], points: Sequence[Point]) -> None:
        self.words = list(words)
        self.config: RunConfig = points[0].config
        self.results = Path(self.config.results).absolute()
        self.items = Inventory().items(points)
        self.unique = _unique(self.items)
        self.idle_seed = _idle_seed(points, self.items)
        self.folder = SweepFolder.of(self.results, self.items)
        self.launcher: Any = self.config.launcher or LocalLauncher(name="local", jobs=None, jobs_per_gpu=1)
        self.since = time.time()
        self._tries: Counter[str] = Counter()

    def run(self) -> int:
        """Do what is missing; returns the exit status."""
        for folder in self.folders:
            clear_rerun(folder)
        todo = self.todo()
        existing = len(self.unique) - len(todo)
        if self.config.on_existing == "error" and existing:
            raise VadbenchError(
                f"{existing} of {len(self.unique)} points exist in {self.results}. on_existing=skip reuses them, rerun "
                "replaces them."
            )
        again = sum(item.folder is not None and item.folder.complete for item in todo)
        rerun = f", {again} again" if self._wanted_again else ""
        log.info("%d points: %d complete, %d to do%s", len(self.unique), existing, len(todo), rerun)
        if self.idle_seed:
            log.warning("%s", self.idle_seed)
        for line in outdated(todo, self.folder.read(), self.results):
            log.warning(line)
        for line in differing([item for item in self.unique if item not in todo]):
            log.warning(line)
        self.folder.note(f"start: {len(self.unique)} points, {len(todo)} to do: {' '.join(self.words)}")
        for item in self.unique:
            if item not in todo and item.folder is not None and item.dataset is not None:
                self._update(item.point.config, item.dataset, item.folder)
        mirror = SweepMirror(self.folder, self.config, self.results)
        interrupted = False
        if todo:
            with self.folder.alone(), _signals_interrupt():
                self.since = self.folder.begin()
                self._record(mirror)
                try:
                    self._rounds(todo, mirror)
                except KeyboardInterrupt:
                    interrupted = True
                    log.warning("interrupted; the same command goes on from here")
        for folder in self.folders:
            settle(folder)
        states = Counter(self.state(item) for item in self.unique)
        mirror.finish([folder.path for folder in self.folders], states, self.words)
        self._record(mirror)
        self.folder.note(f"end: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}")
        return 130 if interrupted else 0 if set(states) <= {"complete"} else 1

    def _update(self, config: RunConfig, dataset: Dataset, folder: RunFolder) -> None:
        """Draw what a complete point is asked for and does not have yet; a fault there stops nothing."""
        wanted = config.evaluation.pixels == "exact" or bool(getattr(config.model, "heatmap_frames", 0))
        if wanted or registry.outside("metric"):
            try:
                update(config, *prepare(config, dataset), folder)
            except (VadbenchError, OSError) as error:
                log.warning("nothing added to %s: %s", folder.path, error)

    @property
    def _rerun(self) -> bool:
        return self.config.on_existing == "rerun"

    @property
    def folders(self) -> list[RunFolder]:
        """The run folders of the points that can be run."""
        return [item.folder for item in self.unique if item.folder is not None]

    def rows(self) -> list[dict[str, Any]]:
        """One row a point: label, fingerprint, state, and for those that are not complete the reason and the log."""
        rows = []
        for item in self.unique:
            state = self.state(item)
            row = {
                "words": list(item.point.words),
                "label": item.point.label,
                "fingerprint": item.fingerprint,
                "state": state,
            }
            if state != "complete":
                row |= {"reason": self._reason(item, state), "log": self._log(item)}
            rows.append(row)
        return rows

    def state(self, item: Item) -> str:
        """Return the state of a point: that of its run folder, or failed if it has none."""
        if item.folder is None:
            return "failed"
        again = self._rerun or other_source(self.config, item.folder)
        state = state_since(item.folder, self.since) if again else item.folder.state
        if state == "absent" and self.folder.fault(item.point.words):
            return "failed"
        return state

    def _reason(self, item: Item, state: str) -> str:
        fault = item.fault or self.folder.fault(item.point.words)
        if fault:
            return fault
        if item.folder is None or state == "absent":
            return "not begun"
        reason = attempt(item.folder).mark().get("reason") or ("its process died" if state == "interrupted" else state)
        return f"{reason} (the old result stays)" if item.folder.complete else str(reason)

    def _log(self, item: Item) -> str:
        path = attempt(item.folder).path / "log.txt" if item.folder else None
        return str(path if path is not None and path.is_file() else self.folder.workers)

    def todo(self) -> list[Item]:
        """Points that can be run and are not complete in this start's sense."""
        if self._rerun:
            return [i for i in self.unique if i.folder and not complete_since(i.folder, self.since)]
        return [i for i in self.unique if i.folder and not self._done(i.folder)]

    @property
    def _wanted_again(self) -> bool:
        return self.config.on_existing in ("rerun", "same_code")

    def _done(self, folder: RunFolder) -> bool:
        return folder.complete and not other_source(self.config, folder)

    def _rounds(self, todo: list[Item], mirror: SweepMirror) -> None:
        """Start workers until every point is complete, has failed, or has killed its process twice."""
        retry: list[Item] = []
        stalled = 0
        while todo or retry:
            alone = not todo
            self._round([retry[0]] if alone else todo, mirror, alone)
            left = self.todo()
            died = [i for i in left if self.state(i) == "interrupted" and self._tried(i)]
            for item in died:
                if item in (retry[:1] if alone else todo):
                    self._tries[str(item.fingerprint)] += 1
            fresh = [item for item in left if not self._tried(item) and not self.folder.fault(item.point.words)]
            fresh = self._in_no_other_hands(fresh)
            stalled = stalled + 1 if not alone and len(fresh) == len(todo) else 0
            if stalled == _TRIES:
                log.error("no worker could begin; see %s", self.folder.workers)
                return
            retry = [item for item in died if self._tries[str(item.fingerprint)] < _TRIES]
            todo = fresh

    def _in_no_other_hands(self, items: Sequence[Item]) -> list[Item]:
        """Those of ``items`` that are left once no other sweep is at work on any of them."""
        busy = [item for item in items if self.state(item) == "running"]
        if busy:
            log.info("waiting for %d points that another process runs", len(busy))
        while any(self.state(item) == "running" for item in busy):
            time.sleep(_POLL_S)
        return [item for item in items if self.state(item) != "complete"]

    def _tried(self, item: Item) -> bool:
        return item.folder is not None and tried_since(item.folder, self.since)

    def _round(self, todo: Sequence[Item], mirror: SweepMirror, alone: bool) -> None:
        """One generation of workers on ``todo``, from start to end."""
        jobs = 1 if alone else self._jobs(todo)
        inline = isinstance(self.launcher, LocalLauncher) and jobs == 1 and not alone
        self.folder.write_work(self._work(todo, 0 if inline else jobs, retry=alone))
        if inline:
            from vadbench.sweep.worker import work_in

            work_in(str(self.folder.path), 0, 1, todo)
            return
        launcher = (
            LocalLauncher(name="local", jobs=1, jobs_per_gpu=1)
            if alone and isinstance(self.launcher, LocalLauncher)
            else self.launcher
        )
        workers = start(launcher, self.folder, jobs, self._threads(jobs))
        try:
            self._watch(workers, mirror)
        except BaseException:
            for worker in workers:
                worker.stop()
            raise
        finally:
            finish(launcher)

    def _watch(self, workers: Sequence[Worker], mirror: SweepMirror) -> None:
        """Until all workers have ended: say what is done, mirror it."""
        ended: set[int] = set()
        left = {folder.path: folder for folder in self.folders if not folder.complete}
        while len(ended) < len(workers):
            time.sleep(_POLL_S)
            for rank, worker in enumerate(workers):
                fault = None if rank in ended else worker.fault()
                if fault is not None:
                    ended.add(rank)
                    if fault:
                        log.warning("worker %d: %s; see %s", rank, fault, self.folder.workers)
            new = [path for path, folder in left.items() if folder.complete]  # those that are done are not asked again
            if new:
                left = {path: folder for path, folder in left.items() if path not in new}
                log.info("%d of %d points complete", len(self.folders) - len(left), len(self.unique))
                mirror.put([folder.path for folder in self.folders if folder.path not in left])

    def _jobs(self, todo: Sequence[Item]) -> int:
        """Return the number of workers: the launcher's, but no more than there are videos or points to do."""
        jobs = self.launcher.jobs or max(1, len(self._gpus()) * getattr(self.launcher, "jobs_per_gpu", 1))
        videos = max((len(i.dataset.train) + len(i.dataset.test) for i in todo if i.dataset is not None), default=1)
        return max(1, min(jobs, max(len(todo), videos)))

    def _gpus(self) -> list[str]:
        return visible_gpus() if self._wants_gpu() else []

    def _wants_gpu(self) -> bool:
        # Who names a device of his own ("cuda:1") has chosen it; a lease would renumber it.
        return self.config.runtime.device in ("auto", "cuda") and isinstance(self.launcher, LocalLauncher)

    def _threads(self, jobs: int) -> int:
        """Numeric threads of a worker; 0: as the environment says, as in a single run."""
        if self.config.runtime.threads:
            return self.config.runtime.threads
        if isinstance(self.launcher, LocalLauncher):
            return max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 and "OMP_NUM_THREADS" not in os.environ else 0
        cpus = getattr(self.launcher, "cpus_per_job", 1)
        return max(1, int(cpus))

    def _work(self, todo: Sequence[Item], jobs: int, retry: bool) -> Work:
        return Work(
            tasks=tuple(Task.of(item) for item in todo),
            since=self.since,
            rerun=self._wanted_again,  # of the tasks, which are those to do
            retry=retry,
            threads=self._threads(jobs),
            wants_gpu=self._wants_gpu(),
            jobs_per_gpu=getattr(self.launcher, "jobs_per_gpu", 1),
            directory=str(Path.cwd()),
            plugins=tuple(registry.plugin_files()),
        )

    def _record(self, mirror: SweepMirror) -> None:
        rows = [{k: v for k, v in row.items() if k != "log"} for row in self.rows()]
        self.folder.write(self.words, rows, mirror.mirrored)


def _unique(items: Sequence[Item]) -> list[Item]:
    """One item for each run: points that differ only in what can't change a result are the same run."""
    found: dict[str, Item] = {}
    for item in items:
        found.setdefault(item.fingerprint or " ".join(item.point.words), item)
    return list(found.values())


def _idle_seed(points: Sequence[Point], items: Sequence[Item]) -> str:
    """Say of which methods the sweep asks for seeds that they don't use; nothing where there is no such method."""
    pairs = [(point, item) for point, item in zip(points, items, strict=True) if point.config.seed]
    idle = dict.fromkeys(f"model={p.config.model.name}" for p, item in pairs if not item.point.config.seed)
    return f"seed has no effect on {', '.join(idle)}: nothing is drawn, all seeds are one run" if idle else ""


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM ends a sweep like Ctrl-C: workers are told, states are recorded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stdout.flush()
