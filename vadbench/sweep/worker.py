"""One worker of a sweep: extracts its share of the videos, then runs its share of the points, then helps the others.

Workers share nothing but files. Who finishes early takes over what nobody has begun, and what a killed worker leaves
behind is free again, because its locks are.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench import registry
from vadbench.errors import VadbenchError

if TYPE_CHECKING:
    from vadbench.data.video import Video
    from vadbench.store.features import FeatureStore
    from vadbench.sweep.inventory import Item
    from vadbench.sweep.passes import Pass
    from vadbench.sweep.sweep_folder import SweepFolder, Task, Work

log = logging.getLogger(__name__)

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def thread_variables(threads: int) -> dict[str, str]:
    """Environment that bounds the numeric threads; it counts only before the numeric libraries are imported."""
    return dict.fromkeys(_THREADS, str(threads))


@contextmanager
def bounded_threads(threads: int) -> Iterator[None]:
    """Bound the numeric threads of this process inside, whether their libraries are imported yet or not; 0: don't."""
    if not threads:
        yield
        return
    from threadpoolctl import threadpool_limits

    os.environ.update(thread_variables(threads))
    with threadpool_limits(threads):
        yield


def work_in(folder: str, rank: int, world: int, items: Sequence[Item] | None = None) -> None:
    """Be worker ``rank`` of ``world`` on the work that lies in a sweep's folder.

    ``items``: what its tasks stand for, where the caller knows. Imports nothing heavy before the GPU and the threads
    are settled.
    """
    from vadbench.sweep.lease import leased_gpu, visible_gpus
    from vadbench.sweep.sweep_folder import SweepFolder

    sweep = SweepFolder(Path(folder))
    work = sweep.read_work()
    os.chdir(work.directory)
    if work.plugins:
        registry.add_plugins(work.plugins)
    with bounded_threads(work.threads), leased_gpu(visible_gpus() if work.wants_gpu else [], work.jobs_per_gpu) as gpu:
        if gpu is not None:
            log.info("worker %d holds GPU %s", rank, gpu)
        _work(sweep, work, rank, world, _items(work.tasks) if items is None else items)


def _items(tasks: Sequence[Task]) -> list[Item]:
    from vadbench.sweep.inventory import Inventory
    from vadbench.sweep.points import point_of

    return Inventory().items([point_of(task.words, task.label, task.values) for task in tasks])


def _work(sweep: SweepFolder, work: Work, rank: int, world: int, items: Sequence[Item]) -> None:
    from vadbench.experiment.run import open_store
    from vadbench.sweep.passes import passes

    sound = [(task, item) for task, item in zip(work.tasks, items, strict=True) if not item.fault]
    for task, item in zip(work.tasks, items, strict=True):
        if item.fault:
            sweep.write_fault(task, item.fault)
    if sound:
        pending = [item for _, item in sound if _wanted(item, work)]
        extract(passes(pending), open_store(sound[0][1].point.config), rank, world)
    for task, item in _own_first(sound, rank, world):
        if _wanted(item, work):
            _run_point(sweep, task, item, work)


def extract(wanted: Sequence[Pass], store: FeatureStore, rank: int, world: int, help_others: bool = True) -> int:
    """Make the features of this worker's share of the videos, then, where ``help_others``, of all the others; returns
    how many videos could not be extracted.

    After that every feature is there: the last videos are being made by others, and opening them waits for that. A
    video that can't be extracted is logged here and reported by the points that need it.
    """
    from vadbench.experiment.allocator import keep_freed_memory, release_freed_memory
    from vadbench.sweep.passes import shares

    keep_freed_memory()
    turns = range(world if help_others else 1)
    mine = [(one, v) for turn in turns for one in wanted for v in shares(one.videos, world)[(rank + turn) % world]]
    failed = sum(not _extract_one(one, video, store) for one, video in mine)
    release_freed_memory()
    return failed


def _extract_one(one: Pass, video: Video, store: FeatureStore) -> bool:
    from vadbench.store.one_pass import get_all

    try:
        get_all(store, one.extractor, one.watching if video.labels is not None else (), video)
    except Exception as error:
        log.warning("video %s can't be extracted: %s", video.id, error, exc_info=log.isEnabledFor(logging.DEBUG))
        return False
    return True


def _own_first(pairs: list[Any], rank: int, world: int) -> list[Any]:
    """Neighbouring points for one worker, so that workers rarely meet; then those of the next worker, and so on."""
    cuts = [len(pairs) * i // world for i in range(world + 1)]
    parts = [pairs[a:b] for a, b in itertools.pairwise(cuts)]
    return [pair for turn in range(world) for pair in parts[(rank + turn) % world]]


def _wanted(item: Item, work: Work) -> bool:
    """Return True unless a point is done, was tried in this start, or is in another worker's hands."""
    from vadbench.runs.states import attempt, state_since, tried_since

    assert item.folder is not None
    state = state_since(item.folder, work.since) if work.rerun else item.folder.state
    if state in ("complete", "running"):
        return False
    if state == "absent" or not tried_since(item.folder, work.since):
        return True
    # A run that could still say that it was interrupted is taken up again, such as by a Slurm task that was requeued.
    # One that fell silent killed its worker and might kill the next: it gets its second chance alone.
    return state == "interrupted" and (work.retry or attempt(item.folder).mark().get("state") == "interrupted")


def _run_point(sweep: SweepFolder, task: Task, item: Item, work: Work) -> None:
    """Run one point; what goes wrong is recorded and stops nothing but this point."""
    from vadbench.experiment.run import run
    from vadbench.runs.states import attempt

    assert item.folder is not None
    config = item.point.config
    config = replace(
        config,
        # The sweep mirrors its runs itself, from one process, and a name for all of it is no name of a run.
        tracking=replace(config.tracking, name="none", run_name=None),
        on_existing="rerun" if work.rerun else "skip",
    )
    log.info("begin: %s", task.label)
    try:
        run(config, list(task.words), dataset=item.dataset)
    except Exception as error:
        recorded = attempt(item.folder).state == "failed"  # then the traceback is in the log of the run
        unforeseen = not recorded and not isinstance(error, VadbenchError)
        log.error("failed: %s: %s", task.label, error, exc_info=unforeseen)
        if not recorded:
            sweep.write_fault(task, f"{type(error).__name__}: {error}")
    else:
        log.info("done: %s", task.label)


def main(argv: Sequence[str]) -> None:
    """``python -m vadbench.sweep.worker FOLDER RANK WORLD``, started by the local launcher."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work_in(argv[0], int(argv[1]), int(argv[2]))
    except KeyboardInterrupt:
        log.warning("interrupted")
        sys.exit(130)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Nobody waits for a worker whose parent was killed: the pipe to it closes, whatever the parent died of."""
    while os.read(0, 1):  # not sys.stdin, whose lock Python wants at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
