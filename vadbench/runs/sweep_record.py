"""The record of a sweep, ``sweep.json``, as its readers see it: anybody may have made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vadbench.untrusted import damage, read_json


def read_sweep(folder: Path) -> dict[str, Any]:
    """Return the record of the sweep in ``folder``, whose points have a label, a state and a fingerprint or None.

    Raises
    ------
    DataError: no record that can be read.
    """
    with damage(folder):
        record = read_json(folder / "sweep.json")
        return {
            **record,
            "words": [str(word) for word in record.get("words", [])],
            "created": str(record.get("created", "")),
            "points": list(_points(record)),
        }


def _points(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for point in record["points"]:
        key = point.get("fingerprint")
        name = str(key) if key and str(key).isalnum() else None  # else it would be a pattern, or a path
        yield {
            **point,
            "label": str(point.get("label", "")),
            "state": str(point.get("state", "absent")),
            "fingerprint": name,
        }
