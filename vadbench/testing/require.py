"""What all checks share: a fault is one sentence; numbers are equal to the bit, or to 1e-6 of the largest."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.errors import VadbenchError

TOLERANCE = 1e-6


class Nonconformance(AssertionError):
    """A part that does not keep its contract. ``held``: what was found to hold before."""

    held: tuple[str, ...] = ()


def run_checks(part: str, checks: Callable[[], Iterable[str]]) -> list[str]:
    """Return what holds, which ``checks`` yields step by step; Nonconformance with the first fault of ``part``."""
    held: list[str] = []
    try:
        for holds in checks():
            held.append(holds)  # noqa: PERF402 (what held before a fault is kept)
    except Exception as error:
        if isinstance(error, (Nonconformance, VadbenchError)):
            said = str(error)
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = f"raises {type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        fault = Nonconformance(f"{part}: {said}")
        fault.held = tuple(held)
        raise fault from error
    return held


def require(holds: Any, fault: str) -> None:
    """Raise Nonconformance with ``fault`` unless ``holds``."""
    if not holds:
        raise Nonconformance(fault)


def require_same(first: Any, other: Any, fault: str) -> None:
    """Nonconformance unless two arrays are equal to the bit."""
    first, other = np.asarray(first), np.asarray(other)
    same = first.shape == other.shape and np.array_equal(first, other, equal_nan=first.dtype.kind == "f")
    require(same, fault)


def is_close(first: Any, other: Any) -> bool:
    """Return whether two arrays differ by no more than 1e-6 of the largest magnitude."""
    first, other = np.asarray(first, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != other.shape:
        return False
    bound = TOLERANCE * np.abs(first).max(initial=0.0)
    return bool(np.all((np.abs(first - other) <= bound) | (np.isnan(first) & np.isnan(other))))


def require_close(first: Any, other: Any, fault: str) -> None:
    """Nonconformance unless two arrays are equal to 1e-6 of the largest magnitude."""
    require(is_close(first, other), fault)


def require_finite(values: Any, shape: tuple[int, ...], what: str) -> None:
    """Nonconformance unless ``values`` has this shape and holds no NaN or infinity."""
    values = np.asarray(values)
    require(values.shape == shape, f"{what} have the shape {values.shape}, not {shape}")
    require(np.issubdtype(values.dtype, np.number), f"{what} are no numbers but {values.dtype}")
    bad = np.argwhere(~np.isfinite(values))
    require(not len(bad), f"{what} hold {values[tuple(bad[0])] if len(bad) else ''} at {bad[:1].ravel().tolist()}")


@contextmanager
def one_kernel() -> Iterator[None]:
    """Switch oneDNN off in the block.

    It takes another convolution kernel for another batch size, which rounds differently by some 1e-6. Without it
    networks give the same to the bit, and a part that looks at the rest of its batch can be told from rounding.
    """
    import torch

    # Not mkldnn.flags(): on leaving it sets a flag of Intel GPUs and warns.
    before, torch.backends.mkldnn.enabled = bool(torch.backends.mkldnn.enabled), False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # type: ignore[assignment]


@contextmanager
def unchanged(inputs: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Nonconformance that names an input whose array is not the same after the block."""
    before = {name: array.copy() for name, array in inputs.items()}
    yield
    for name, array in inputs.items():
        require_same(before[name], array, f"changes its inputs: {name}")
