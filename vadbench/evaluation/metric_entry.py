"""One metric as a run record holds it."""

from __future__ import annotations

from typing import Any

from vadbench.evaluation.intervals import Interval


def entry(value: float | Interval, n_videos: int, protocol: str, **more: Any) -> dict[str, Any]:
    """``{"value", "ci_low", "ci_high", "n_videos", "protocol", "undefined_videos", ...}``; NaN is undefined."""
    low, high = (value.low, value.high) if isinstance(value, Interval) else (float("nan"), float("nan"))
    number = value.value if isinstance(value, Interval) else float(value)
    head = {"value": number, "ci_low": low, "ci_high": high, "n_videos": n_videos, "protocol": protocol}
    return head | {"undefined_videos": []} | more
