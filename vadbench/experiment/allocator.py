"""How the C library hands memory back to the system: not after every large array.

By default glibc maps each array above 32 MB afresh and unmaps it when it is freed. A network on a CPU makes and frees
such activations all the time, and the kernel then clears every page anew: a third of the time of a forward pass.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Numbers of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_freed_memory() -> bool:
    """Let freed arrays of up to 1 GiB be reused without a way through the kernel; changes no number.

    Holds for the whole process. Returns False, and does nothing, where the C library is not glibc.
    """
    libc = _glibc()
    return libc is not None and bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE) and libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE - 1)
    )


def release_freed_memory() -> None:
    """Give back to the system what is free now: after the last forward pass nothing large is needed again."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
