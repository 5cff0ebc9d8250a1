"""Who does the work of a sweep: processes on this machine, a Slurm array, or a Ray cluster. All run the same worker."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig
from vadbench.errors import MissingExtra, VadbenchError
from vadbench.sweep.worker import thread_variables, work_in

if TYPE_CHECKING:
    from vadbench.sweep.sweep_folder import SweepFolder

log = logging.getLogger(__name__)

Count = Annotated[int, Field(ge=1)]

_GRACE_S = 15


@dataclass(config=STRICT, kw_only=True)
class LocalLauncher(PartConfig):
    """A sweep on this machine; each process leases a GPU by a file lock, without GPUs they share the cores."""

    jobs: Count | None = None  # processes at once; None: one for each GPU slot, or one where there is no GPU
    jobs_per_gpu: Count = 1  # processes that may share a GPU


@dataclass(config=STRICT, kw_only=True)
class SlurmLauncher(PartConfig):
    """A sweep as a Slurm array (pip install 'vadbench[slurm]'); all nodes must share the file system of results."""

    jobs: Count = 4  # tasks of the array
    gpus_per_job: Annotated[int, Field(ge=0)] = 1
    cpus_per_job: Count = 8
    mem_gb: Count = 32
    minutes: Count = 240  # time limit of a task; a task that is preempted or timed out is queued again and resumes
    partition: str | None = None
    account: str | None = None
    cluster: Literal["slurm", "local"] = "slurm"  # local: submitit's own processes on this machine, to try things out
    options: dict[str, str | int] = field(
        default_factory=dict
    )  # further sbatch options by their long names, such as {constraint: a100}


@dataclass(config=STRICT, kw_only=True)
class RayLauncher(PartConfig):
    """A sweep on a Ray cluster (pip install 'vadbench[ray]'); all nodes must share the file system of results."""

    jobs: Count = 2  # tasks at once
    address: str | None = None  # auto or host:port of a running cluster; None: a cluster of its own on this machine
    cpus_per_job: Annotated[float, Field(gt=0)] = 1
    gpus_per_job: Annotated[float, Field(ge=0)] = 0  # 0.5: two tasks share a GPU


class Worker(Protocol):
    """A worker that was started."""

    def fault(self) -> str | None:
        """None while it runs; then an empty string, or what ended it."""

    def stop(self) -> None:
        """End it; what it has finished stays."""


class Process:
    """A fresh process on this machine.

    Fresh, because CUDA binds to a GPU once in a process, and alone, because a pool of reused processes is lost as a
    whole when one of them is killed.
    """

    def __init__(self, folder: SweepFolder, rank: int, world: int, threads: int) -> None:
        self.log = folder.workers / f"{rank}.txt"
        environment = {**os.environ, **(thread_variables(threads) if threads else {})}
        command = [sys.executable, "-m", "vadbench.sweep.worker", str(folder.path), str(rank), str(world)]
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    def fault(self) -> str | None:
        """See :class:`Worker`."""
        code = self._process.poll()
        if code is None:
            return None
        self._close()
        return "" if code == 0 else f"it was killed by signal {-code}" if code < 0 else f"it ended with status {code}"

    def stop(self) -> None:
        """See :class:`Worker`."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


class SlurmTask:
    """A task of a Slurm array, by submitit."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def fault(self) -> str | None:
        """See :class:`Worker`."""
        if not self._job.done():
            return None
        try:
            self._job.result()
        except Exception as error:
            return str(error).strip().splitlines()[-1][:300]
        return ""

    def stop(self) -> None:
        """See :class:`Worker`."""
        self._job.cancel()


class RequeuedWork:
    """What a Slurm task runs; submitit queues it again when the task is preempted or runs out of time."""

    def __call__(self, folder: str, rank: int, world: int) -> None:
        """Be a worker."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s", stream=sys.stderr)
        work_in(folder, rank, world)

    def checkpoint(self, *arguments: Any) -> Any:
        """Start again: whatever is finished by then is on disk and is skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


class RayTask:
    """A task on a Ray cluster."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def fault(self) -> str | None:
        """See :class:`Worker`."""
        import ray

        ready, _ = ray.wait([self._reference], timeout=0)
        if not ready:
            return None
        try:
            ray.get(self._reference)
        except ray.exceptions.RayError as error:
            return str(error).strip().splitlines()[-1][:300]
        return ""

    def stop(self) -> None:
        """See :class:`Worker`."""
        import ray

        ray.cancel(self._reference, force=True)


def start(launcher: Any, folder: SweepFolder, world: int, threads: int) -> list[Worker]:
    """Start ``world`` workers on the work that lies in ``folder``, by the launcher that is configured.

    Raises
    ------
    MissingExtra: the launcher's package is not installed. VadbenchError: its cluster can't be reached.
    """
    workers: list[Worker] = registry.get("launcher", launcher.name).make(launcher, folder, world, threads)
    return workers


def finish(launcher: Any) -> None:
    """Let go of a cluster that was started for the sweep."""
    registry.get("launcher", launcher.name).facts.get("finish", lambda: None)()


@registry.launcher("local", config=LocalLauncher)
def _start_local(launcher: LocalLauncher, folder: SweepFolder, world: int, threads: int) -> list[Worker]:
    return [Process(folder, rank, world, threads) for rank in range(world)]


@registry.launcher("slurm", config=SlurmLauncher)
def _start_slurm(launcher: SlurmLauncher, folder: SweepFolder, world: int, threads: int) -> list[Worker]:
    try:
        import submitit
    except ImportError:
        raise MissingExtra("submitit", "slurm", "launcher=slurm") from None
    try:
        # A task may time out and go on as often as it takes; by default submitit gives up after three times.
        limits = {"slurm_max_num_timeout": 100} if launcher.cluster == "slurm" else {}
        executor = submitit.AutoExecutor(folder=folder.path / "slurm", cluster=launcher.cluster, **limits)
    except RuntimeError as error:  # no sbatch on this machine
        raise VadbenchError(
            f"launcher=slurm: {error}. Start the sweep on a login node of the cluster, or try it out on this machine "
            "with launcher.cluster=local."
        ) from None
    settings: dict[str, Any] = {
        "name": "vadbench",
        "timeout_min": launcher.minutes,
        "cpus_per_task": launcher.cpus_per_job,
        "mem_gb": launcher.mem_gb,
        "gpus_per_node": launcher.gpus_per_job,
    }
    if launcher.cluster == "slurm":
        named = {"slurm_partition": launcher.partition, "slurm_account": launcher.account}
        settings |= {name: value for name, value in named.items() if value is not None}
        settings |= {"slurm_array_parallelism": launcher.jobs, "slurm_additional_parameters": launcher.options}
    executor.update_parameters(**settings)
    ranks = range(world)
    jobs = executor.map_array(RequeuedWork(), [str(folder.path)] * world, ranks, [world] * world)
    return [SlurmTask(job) for job in jobs]


def _shut_down_ray() -> None:
    import ray

    ray.shutdown()


@registry.launcher("ray", config=RayLauncher, finish=_shut_down_ray)
def _start_ray(launcher: RayLauncher, folder: SweepFolder, world: int, threads: int) -> list[Worker]:
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", "launcher=ray") from None
    if not ray.is_initialized():
        own = {} if launcher.address else {"num_cpus": int(launcher.jobs * launcher.cpus_per_job) or 1}
        try:
            ray.init(address=launcher.address, include_dashboard=False, log_to_driver=False, **own)
        except ConnectionError as error:
            raise VadbenchError(
                f"launcher.address={launcher.address}: no Ray cluster answers there ({error})."
            ) from None
    # A process for each task: CUDA binds to a GPU once in a process.
    options = {"num_cpus": launcher.cpus_per_job, "num_gpus": launcher.gpus_per_job, "max_calls": 1, "max_retries": 0}
    task = ray.remote(**options)(_ray_worker)
    return [RayTask(task.remote(str(folder.path), rank, world)) for rank in range(world)]


def _ray_worker(folder: str, rank: int, world: int) -> None:
    # Ray has given this process its GPU; the lease stands aside.
    os.environ["VADBENCH_RAY"] = "1"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s", stream=sys.stderr)
    work_in(folder, rank, world)
