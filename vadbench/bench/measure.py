"""CPU seconds, wall seconds and peak memory of a whole command."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vadbench.errors import VadbenchError

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """What one command took: of the process and of all its descendants that it waited for.

    Attributes
    ----------
    cpu: user and system seconds. wall: seconds.
    peak_mb: the largest sum of proportional set sizes (shared pages counted once) that was seen, MB; 0 where
        the system does not tell.
    """

    cpu: float
    wall: float
    peak_mb: float


def cost(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Cost:
    """Run ``command`` in ``folder``; VadbenchError with the end of its output if it fails."""
    started = time.perf_counter()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment), cwd=folder, start_new_session=True
        )
        peak, done = [0], threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, peak, done), daemon=True)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        done.set()
        watch.join()
    if status:
        last = (folder / "output.txt").read_text(errors="replace").strip().splitlines()[-15:]
        raise VadbenchError(f"{' '.join(command)} failed:\n" + "\n".join(last))
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, peak[0] / 1e6)


def one_thread(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with one numeric thread. OpenMP's spinning counts as CPU time on a busy machine
    and is switched off."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1"), "OMP_WAIT_POLICY": "PASSIVE", **(extra or {})}


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(_POLL_SECONDS):
        peak[0] = max(peak[0], sum(_proportional(each) for each in _family(pid)))


def _family(pid: int) -> list[int]:
    """``pid`` and its living descendants."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
