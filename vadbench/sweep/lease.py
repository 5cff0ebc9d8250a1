"""One GPU a process: the first free slot, held by a file lock that the operating system frees when the holder dies.

Numbering jobs modulo the GPUs would put two on one GPU as soon as their lengths differ. Under Slurm or Ray the GPU is
theirs to give, and no lease is taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

# Set by the schedulers that hand out GPUs themselves.
_SCHEDULERS = ("SLURM_JOB_ID", "RAY_JOB_ID", "RAY_RAYLET_PID", "VADBENCH_RAY")
_POLL_S = 0.2


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none if there are none."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
    )
    return asked.stdout.split() if asked.returncode == 0 else []


def scheduled(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True where Slurm or Ray has given this process its GPU."""
    return any(name in environment for name in _SCHEDULERS)


def lease_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the locks lie: one place for all sweeps of this user on this machine."""
    named = environment.get("VADBENCH_LEASES")
    return Path(named) if named else Path(tempfile.gettempdir()) / f"vadbench-gpus-{os.getuid()}"


@contextmanager
def leased_gpu(gpus: list[str], jobs_per_gpu: int = 1, folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of ``gpus`` inside, waiting until one is free; yields its name, or None if there are none to lease.

    Inside, CUDA_VISIBLE_DEVICES names that GPU alone. It must be entered before CUDA is initialised: afterwards the
    variable has no effect, which is why every process of a sweep is a fresh one.
    """
    if not gpus or scheduled():
        yield None
        return
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpu, lock = _first_free(gpus, jobs_per_gpu, folder or lease_folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        yield gpu
    finally:
        lock.release()
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _first_free(gpus: list[str], jobs_per_gpu: int, folder: Path) -> tuple[str, FileLock]:
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        # Slots before GPUs: a second job goes to a GPU only when every GPU has one.
        for slot in range(jobs_per_gpu):
            for gpu in gpus:
                lock = FileLock(folder / f"gpu{gpu.replace('/', '-')}.slot{slot}.lock")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                return gpu, lock
        time.sleep(_POLL_S)
