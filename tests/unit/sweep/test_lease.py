"""GPU leases: never two holders of a slot, no idle GPU while somebody waits, a killed holder frees its slot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from vadbench.sweep.lease import lease_folder, leased_gpu, scheduled, visible_gpus


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch):
    for name in ("SLURM_JOB_ID", "RAY_JOB_ID", "RAY_RAYLET_PID", "VADBENCH_RAY", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


_HOLDER = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path
    from vadbench.sweep.lease import leased_gpu
    folder, diary, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    seconds, per_gpu = float(sys.argv[4]), int(sys.argv[5])
    def note(word, gpu):
        with open(diary, "a") as file:
            file.write(f"{time.monotonic()} {word} {gpu} {name} {os.environ['CUDA_VISIBLE_DEVICES']}\\n")
    print("waits", flush=True)
    with leased_gpu(["0", "1"], per_gpu, folder) as gpu:
        note("take", gpu)
        time.sleep(max(seconds, 0))
        while seconds < 0 and open(diary).read().count("give") < -seconds:
            time.sleep(0.05)
        note("give", gpu)
""")


def _start(folder: Path, name: str, seconds: float, per_gpu: int = 1) -> subprocess.Popen:
    arguments = [str(folder / "locks"), str(folder / "diary"), name, str(seconds), str(per_gpu)]
    return subprocess.Popen([sys.executable, "-c", _HOLDER, *arguments], stdout=subprocess.PIPE, text=True)


def _diary(folder: Path) -> list[tuple[float, str, str, str]]:
    rows = []
    for line in (folder / "diary").read_text().splitlines():
        when, word, gpu, name, seen = line.split()
        assert seen == gpu  # the process sees its GPU and no other
        rows.append((float(when), word, gpu, name))
    return sorted(rows)


def _wait_for_takers(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "diary").exists() or len(_diary(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _end(job: subprocess.Popen) -> int:
    job.communicate(timeout=120)
    return job.returncode


@pytest.mark.parametrize("per_gpu", [1, 2])
def test_uneven_jobs_never_share_a_slot_and_leave_no_gpu_idle(tmp_path, per_gpu):
    """Two fake GPUs, one job that lasts until all others are done, and seven short ones, which stream past it.

    Numbered modulo the GPUs, half of the short ones would wait for the long one for ever.
    """
    jobs = [_start(tmp_path, "long", -7, per_gpu)]
    _wait_for_takers(tmp_path, 1)
    jobs += [_start(tmp_path, f"short{i}", 0.15, per_gpu) for i in range(7)]
    assert [_end(job) for job in jobs] == [0] * 8
    held = {"0": 0, "1": 0}
    rows = _diary(tmp_path)
    for _, word, gpu, _ in rows:
        held[gpu] += 1 if word == "take" else -1
        assert 0 <= held[gpu] <= per_gpu
    (long_gpu,) = {gpu for _, _, gpu, name in rows if name == "long"}
    if per_gpu == 1:
        assert {gpu for _, _, gpu, name in rows if name != "long"} == {str(1 - int(long_gpu))}


def test_a_killed_holder_frees_its_gpu(tmp_path):
    first = _start(tmp_path, "a", 60)
    second = _start(tmp_path, "b", 60)
    _wait_for_takers(tmp_path, 2)
    third = _start(tmp_path, "c", 0)
    assert third.stdout is not None and third.stdout.readline() == "waits\n"
    assert "c" not in {name for _, _, _, name in _diary(tmp_path)}  # both GPUs are held
    gpu_of_first = next(gpu for _, _, gpu, name in _diary(tmp_path) if name == "a")
    first.send_signal(signal.SIGKILL)
    assert _end(third) == 0
    assert next(gpu for _, word, gpu, name in _diary(tmp_path) if (word, name) == ("take", "c")) == gpu_of_first
    second.kill()
    assert {_end(first), _end(second)} == {-signal.SIGKILL}


def test_a_second_job_goes_to_a_gpu_only_when_every_gpu_has_one(tmp_path):
    with leased_gpu(["0", "1"], 2, tmp_path) as a, leased_gpu(["0", "1"], 2, tmp_path) as b:
        assert {a, b} == {"0", "1"}


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "VADBENCH_RAY"])
def test_under_a_scheduler_the_lease_stands_aside(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert scheduled()
    with leased_gpu(["0", "1"], 1, tmp_path) as gpu:
        assert gpu is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_as_before_and_the_slot_free(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(RuntimeError), leased_gpu(visible_gpus(), 1, tmp_path) as gpu:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu == "0"
        with pytest.raises(Timeout):
            FileLock(tmp_path / "gpu0.slot0.lock").acquire(timeout=0)
        raise RuntimeError
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    FileLock(tmp_path / "gpu0.slot0.lock").acquire(timeout=0)


def test_which_gpus_are_visible():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2,3"}) == ["2", "3"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-1a2b"}) == ["GPU-1a2b"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_no_gpu_no_lease(tmp_path):
    with leased_gpu([], 1, tmp_path) as gpu:
        assert gpu is None
    assert list(tmp_path.iterdir()) == []


def test_all_sweeps_of_a_user_lease_from_one_place():
    assert lease_folder({}) == lease_folder({"HOME": "/elsewhere"})
    assert lease_folder({"VADBENCH_LEASES": "/x/y"}) == Path("/x/y")
