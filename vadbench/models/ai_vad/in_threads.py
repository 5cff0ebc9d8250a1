"""Work on single frames by as many threads as the numeric libraries may use; OpenCV and onnxruntime leave Python to
others while they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def n_threads() -> int:
    """Return how many: ``runtime.threads``, or what the environment or the sweep leaves to this process."""
    import torch

    return torch.get_num_threads()


def in_threads(work: Callable[..., Result], *arguments: Iterable[Any]) -> list[Result]:
    """Return ``work(*one)`` for the first, second, ... of each of ``arguments``, in this order.

    ``work`` must not change what it shares. An error is the one that comes first in that order.
    """
    tasks = list(zip(*arguments, strict=True))
    threads = min(n_threads(), len(tasks))
    if threads < 2:
        return [work(*task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda task: work(*task), tasks))
