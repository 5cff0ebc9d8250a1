"""How long the missing work will take, from what the store and earlier runs say it took before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from vadbench.errors import DataError
from vadbench.runs.run_folder import RunFolder
from vadbench.store.entry import entries
from vadbench.store.key import canonical, digest
from vadbench.untrusted import damage

_EXTRACTION = ("load", "extract_train", "extract_test")


class Experience:
    """Seconds a frame of every extractor in a store, seconds a point of every method in a results folder."""

    def __init__(self, store: Path, results: Path) -> None:
        self._frames: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        for note in _notes(store):
            with suppress(KeyError, TypeError, ValueError, AttributeError):  # a damaged note is no experience
                seconds, frames = float(note["seconds"]), float(note["video"]["n_frames"])
                for key in _keys(note.get("spec", {})):
                    self._seconds[key] = self._seconds.get(key, 0.0) + seconds
                    self._frames[key] = self._frames.get(key, 0.0) + frames
        self._points = _point_seconds(results)

    def extraction(self, outputs: Mapping[str, Mapping[str, Any]], frames: int) -> float | None:
        """Return expected seconds to extract ``outputs`` of ``frames`` frames; None without experience.

        The same outputs count first, else those of the same architecture at another layer.
        """
        total = 0.0
        for spec in outputs.values():
            rates = [self._seconds[k] / self._frames[k] for k in _keys(spec) if self._frames.get(k)]
            if not rates:
                return None
            # Layers of one network come in one pass: the longest stands for all.
            total = max(total, rates[0] * frames)
        return total

    def point(self, dataset: str, model: str) -> float | None:
        """Return expected seconds of one point without extraction; None without experience."""
        times = self._points.get((dataset, model)) or self._points.get(("", model))
        return median(times) if times else None


def _keys(spec: Mapping[str, Any]) -> Iterator[str]:
    """Names under which experience with a spec is filed: the spec itself, then what is alike about it."""
    yield digest(spec)
    backbone = spec.get("backbone")
    if isinstance(backbone, Mapping):
        alike = {k: v for k, v in backbone.items() if k in ("name", "architecture", "backbone", "options")}
        if alike:
            yield "alike " + canonical([alike, spec.get("clip")])


def _notes(store: Path) -> Iterator[dict[str, Any]]:
    for entry in entries(store):
        note = entry.note()
        if note is not None and "video" in note and "seconds" in note:
            yield note


def _point_seconds(results: Path) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for path in results.glob("runs/*/*/*/run.json"):
        try:
            with damage(path.parent):
                timings = RunFolder(path.parent).read()["timings"]
                seconds = sum(float(value) for name, value in timings.items() if name not in _EXTRACTION)
        except DataError:  # the points say so
            continue
        dataset, model = path.parts[-4:-2]
        for key in ((dataset, model), ("", model)):
            found.setdefault(key, []).append(seconds)
    return found


def total(parts: Sequence[float | None]) -> float | None:
    """Return the sum, or None if a part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def as_text(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "unknown, nothing like it was run here"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
