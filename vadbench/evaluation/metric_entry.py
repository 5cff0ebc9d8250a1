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


_NOT_MEASURED = ("undefined_videos", "single_class", "oracle", "unit", "false_alarm_rate", "n_events")


def blanked(known: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The entry ``known`` without what was measured and with ``"blank": reason``; as it is where there is no reason."""
    if reason is None:
        return known
    kept = {key: known[key] for key in _NOT_MEASURED if key in known}
    return entry(float("nan"), known["n_videos"], known["protocol"], blank=reason) | kept
