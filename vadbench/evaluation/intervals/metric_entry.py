"""One metric as a run record holds it, and its interval as it is printed; records of older versions lack some keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_UP, Context
from typing import Any

from vadbench.evaluation.intervals.interval import Interval, interval_notes

INTERVAL_HEADS = ("95% interval", "single videos", "one left out")
"""What the columns of :func:`interval_cells` are."""


_UP = Context(prec=2, rounding=ROUND_UP)  # a bound that is rounded down is none

RANGES = ("video_low", "video_high", "without_low", "without_high")
"""Keys of the ranges that stand beside an interval; see :class:`Interval`."""


def entry(value: float | Interval, n_videos: int, protocol: str, **more: Any) -> dict[str, Any]:
    """``{"value", "ci_low", "ci_high", "n_videos", "protocol", "undefined_videos", ...}``; NaN is undefined.

    Of an :class:`Interval` also ``video_low``, ``video_high`` (range of single videos), ``without_low``,
    ``without_high`` (range with one video left out) and ``ci_notes``, a list of sentences.
    """
    number, low, high = (
        (value.value, value.low, value.high) if isinstance(value, Interval) else (float(value), math.nan, math.nan)
    )
    head: dict[str, Any] = {"value": number, "ci_low": low, "ci_high": high, "n_videos": n_videos, "protocol": protocol}
    head["undefined_videos"] = []
    if isinstance(value, Interval):
        head |= {name: getattr(value, name) for name in RANGES} | {"ci_notes": list(value.notes)}
    return head | more


_NOT_MEASURED = ("undefined_videos", "single_class", "oracle", "unit", "false_alarm_rate", "n_events")


def blanked(known: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """Return the entry ``known`` without what was measured and with ``"blank": reason``; as it is where there is no
    reason."""
    if reason is None:
        return known
    kept = {key: known[key] for key in _NOT_MEASURED if key in known}
    return entry(float("nan"), known["n_videos"], known["protocol"], blank=reason, ci_notes=[]) | kept


def interval_cells(found: Mapping[str, Any], digits: int = 3) -> tuple[str, str, str]:
    """``[low, high]`` of the interval, of single videos and with one video left out; "" for what is not known.

    Where there is a bound of the value's own error in place of an interval, ``"value ± bound"`` stands first.
    """
    pairs = (("ci_low", "ci_high"), ("video_low", "video_high"), ("without_low", "without_high"))
    first, second, third = (_bracket(_number(found, low), _number(found, high), digits) for low, high in pairs)
    bound = _number(found, "bound")
    return first or ("" if math.isnan(bound) else f"value ± {_UP.create_decimal(bound):.1e}"), second, third


def note_lines(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """``"frame AP; frame EER: the interval is wider ..."``: each note once, with the entries that it is about."""
    about: dict[str, list[str]] = {}
    for name, found in entries.items():
        for note in _notes(found):
            about.setdefault(note, []).append(name)
    return [f"{'; '.join(names)}: {note}" for note, names in about.items()]


def _notes(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the entry's own notes; those of its numbers where it is older than the notes."""
    if "ci_notes" in found:
        return tuple(found["ci_notes"])
    return interval_notes(int(found.get("n_videos") or 0), _number(found, "ci_low"), _number(found, "ci_high"))


def _number(found: Mapping[str, Any], name: str) -> float:
    """NaN where the key is missing or null."""
    value = found.get(name)
    return math.nan if value is None else float(value)


def _bracket(low: float, high: float, digits: int) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f"[{low:.{digits}f}, {high:.{digits}f}]"
