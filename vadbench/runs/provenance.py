"""The machine, the packages and the source that a run ran on."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

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
    """Git commit of the source and whether it was changed since; None where the source is no checkout."""
    here = Path(__file__).resolve().parents[1]
    try:
        sha = _git(here, "rev-parse", "HEAD").strip()
        top = Path(_git(here, "rev-parse", "--show-toplevel").strip())
        if here.parent != top:  # installed somewhere inside an unrelated checkout
            return {"git_sha": None, "git_dirty": None}
        return {"git_sha": sha, "git_dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.SubprocessError):
        return {"git_sha": None, "git_dirty": None}


def _git(folder: Path, *words: str) -> str:
    # Without a lock: a run that is killed meanwhile would leave it behind, and no command of git would work any more.
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    ).stdout
