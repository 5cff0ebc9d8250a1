"""The machine, the packages and the source that a run ran on."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from vadbench.files import sha256

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "av", "opencv-python-headless")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def forget_peak_memory() -> None:
    """Let ``peak_memory_mb`` count from now on, where the system can (Linux): a sweep's worker does many runs."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in MB (1e6 bytes), since it started or last forgot it."""
    try:  # not ru_maxrss on Linux: a child inherits there the peak of the process that started it
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


@cache
def environment() -> dict[str, Any]:
    """Return the machine, the packages and the source that ran, as they were when this process first asked."""
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    versions = {package: installed.get(package) for package in ("vadbench", *_PACKAGES)}
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "packages": versions,
        **source_version(),
    }


@cache
def source_version() -> dict[str, Any]:
    """Git commit of the source, whether it was changed since (both None where the source is no checkout), and a digest
    of its Python files, 16 hex digits: the state of the source, which commits of documents leave alone."""
    here = Path(__file__).resolve().parents[1]
    files = sorted(here.rglob("*.py"))
    blocks = (part for path in files for part in (str(path.relative_to(here)).encode(), b"\0", path.read_bytes()))
    return {**_commit(here), "source_digest": sha256(blocks)[:16]}


def _commit(here: Path) -> dict[str, Any]:
    try:
        sha = _git(here, "rev-parse", "HEAD").strip()
        top = Path(_git(here, "rev-parse", "--show-toplevel").strip())
        if here.parent != top:  # installed somewhere inside an unrelated checkout
            return {"git_sha": None, "git_dirty": None}
        return {"git_sha": sha, "git_dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.SubprocessError):
        return {"git_sha": None, "git_dirty": None}


def made_by(device: str, batch_size: int | None, threads: int | None) -> dict[str, Any]:
    """Return what else can change numbers and is not in the key of a run: source, packages, machine, and how it ran.

    device, batch_size, threads: as ``runtime`` has them; a batch size of None is chosen by the device.
    """
    there = environment()
    return {
        **source_version(),
        "python": there["python"],
        "packages": there["packages"],
        "cpu": _cpu(),
        "device": _device(device),
        "batch_size": batch_size,
        "threads": threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
    }


def same_source(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of one state of the source: one digest, or in older records one clean commit."""
    digests = one.get("source_digest"), other.get("source_digest")
    if None not in digests:
        return digests[0] == digests[1]
    clean = one.get("git_dirty") is False and other.get("git_dirty") is False
    return clean and one.get("git_sha") == other.get("git_sha")


def source_name(made: Mapping[str, Any]) -> str:
    """Return the state of the source for people: its commit, and its digest where that is no commit."""
    sha, digest = made.get("git_sha"), str(made.get("source_digest") or "unknown")[:8]
    if not sha:
        return f"source {digest}"
    return f"commit {str(sha)[:7]}" + (f" with changes ({digest})" if made.get("git_dirty") else "")


def differences(made: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return "made by X, this is Y" of what two records say differently; empty where they agree, as far as both say."""
    pairs = [] if same_source(made, now) else [(source_name(made), source_name(now))]
    keys = ("python", "cpu", "device", "batch_size", "threads", "decoders")
    known = [(key, made[key], now[key]) for key in keys if made.get(key) is not None and now.get(key) is not None]
    before, after = made.get("packages") or {}, now.get("packages") or {}
    known += [(name, before[name], after[name]) for name in sorted(before.keys() & after.keys() - {"vadbench"})]
    pairs += [(f"{key} {_shown(then)}", f"{key} {_shown(today)}") for key, then, today in known if then != today]
    sides = [", ".join(side) for side in zip(*pairs, strict=True)]
    return f"made by {sides[0]}; this is {sides[1]}" if sides else ""


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


@cache
def _cpu() -> str:
    """Return the kind of processor, as the system calls it."""
    with suppress(OSError, IndexError):
        return Path("/proc/cpuinfo").read_text().split("model name")[1].partition(":")[2].partition("\n")[0].strip()
    return platform.processor() or platform.machine()


def _device(name: str) -> str | None:
    """Return what ``runtime.device`` stands for; None for a GPU or "auto" as long as nothing has loaded torch."""
    torch = sys.modules.get("torch")
    if name == "cpu" or torch is None:
        return "cpu" if name == "cpu" else None
    if name == "auto" and not torch.cuda.is_available():
        return "cpu"
    return str(torch.cuda.get_device_name(None if name in ("auto", "cuda") else name))


def _git(folder: Path, *words: str) -> str:
    # Without a lock: a run that is killed meanwhile would leave it behind, and no command of git would work any more.
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    ).stdout
