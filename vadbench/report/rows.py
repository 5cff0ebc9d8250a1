"""Complete runs as rows of a table: settings that matter, numbers over seeds, and what must be said beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeGuard

import yaml

TOO_WIDE = 0.3
"""Width above which an interval means little: ``WIDE`` of vadbench.evaluation.intervals, which takes long to import."""

HEADLINES = ("frame_auroc_micro", "frame_auroc_macro", "frame_ap", "frame_eer", "pixel_auroc")
"""Metrics of the default table, where a run has them."""

_NAMES = ("dataset", "model", "backbone", "layer")
# What differs between machines and not between methods, and what the other columns say already.
_NO_SETTING: tuple[str, ...] = (
    "runtime.",
    "results",
    "tracking.",
    "store.path",
    "store.local",
    "store.max_gb",
    "launcher",
    "on_existing",
    "seed",
    "dataset.root",
)
_NO_SETTING += ("dataset.masks_root", "model.evaluator", "model.visualizer", "model.heatmap_frames", "model.layer")


@dataclass(frozen=True)
class Spread:
    """One metric over the seeds of a row.

    Attributes
    ----------
    sd: sample standard deviation; NaN for a single seed.
    n: seeds for which the metric is defined.
    ci_low, ci_high: the interval of a single run; NaN for several.
    video_low, video_high, without_low, without_high: of a single run; see :class:`vadbench.evaluation.Interval`.
    """

    mean: float
    sd: float
    n: int
    ci_low: float = math.nan
    ci_high: float = math.nan
    video_low: float = math.nan
    video_high: float = math.nan
    without_low: float = math.nan
    without_high: float = math.nan


ENDS = tuple(f.name for f in fields(Spread) if f.name not in ("mean", "sd", "n"))
"""Ends of the interval and of the ranges beside it, as a record and a :class:`Spread` call them."""


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed only.

    Attributes
    ----------
    names: dataset, model, backbone, layer, weights, protocol; "" where there is none.
    settings: keys of the configuration that differ between the rows of the table.
    data: ``"full"``, ``"6/12"`` (test videos of the official split), ``"subset"`` or ``"own"`` (no official split).
    """

    names: dict[str, str]
    settings: dict[str, str]
    seeds: tuple[int, ...]
    metrics: dict[str, Spread]
    data: str
    folders: tuple[Path, ...] = field(repr=False, default=())


def rows(folders: Sequence[Path]) -> list[Row]:
    """One row for each group of complete runs that differ in nothing but the seed; other folders are left out."""
    found = [(folder, *_read(folder)) for folder in folders if (folder / "run.json").is_file()]
    flats = [_settings(config) for _, _, config in found]
    varying = _varying([(_names(record), flat) for (_, record, _), flat in zip(found, flats, strict=True)])
    groups: dict[str, list[tuple[Path, dict[str, Any], dict[str, str]]]] = {}
    for (folder, record, _), flat in zip(found, flats, strict=True):
        names = _names(record)
        shown = {key: flat.get(key, "") for key in varying}
        key = json.dumps([names, flat, record["dataset"].get("digest"), record.get("weights")], sort_keys=True)
        groups.setdefault(key, []).append((folder, record, shown))
    return sorted((_row(group) for group in groups.values()), key=_order)


def _row(group: Sequence[tuple[Path, dict[str, Any], dict[str, str]]]) -> Row:
    group = sorted(group, key=lambda run: int(run[1].get("seed", 0)))
    _, first, shown = group[0]
    metrics = list(dict.fromkeys(name for _, record, _ in group for name in record.get("metrics", {})))
    spreads = {name: _spread([record.get("metrics", {}).get(name) for _, record, _ in group]) for name in metrics}
    return Row(
        names=_names(first),
        settings=shown,
        seeds=tuple(int(record.get("seed", 0)) for _, record, _ in group),
        metrics=spreads,
        data=_data(first["dataset"]),
        folders=tuple(folder for folder, _, _ in group),
    )


def _spread(entries: Sequence[Any]) -> Spread:
    given = [e if isinstance(e, Mapping) else {"value": e} for e in entries if e is not None]
    kept = [e for e in given if _finite(e.get("value"))]
    values = [float(e["value"]) for e in kept]
    if not values:
        return Spread(math.nan, math.nan, 0)
    if len(values) > 1:
        return Spread(mean(values), stdev(values), len(values))
    return Spread(values[0], math.nan, 1, **{end: float(kept[0][end]) for end in ENDS if _finite(kept[0].get(end))})


def _names(record: Mapping[str, Any]) -> dict[str, str]:
    names = record.get("names", {})
    weights = record.get("weights", [])
    several = len({w.get("name") for w in weights}) > 1
    said = dict.fromkeys(f"{w.get('part')}: {w.get('name')}" if several else str(w.get("name")) for w in weights)
    shown = {key: str(names.get(key) or "") for key in _NAMES}
    shown["weights"] = ", ".join(said) or "none needed"
    shown["protocol"] = str(names.get("protocol") or "raw")
    return shown


def _data(data: Mapping[str, Any]) -> str:
    expected = data.get("expected") or {}
    if not expected:
        return "own"
    if data.get("partial"):
        return f"{data.get('test_videos')}/{expected.get('test_videos')}"
    return "full" if data.get("comparable") else "subset"


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    kept = [(k, v) for k, v in _leaves(config, "") if not k.startswith(_NO_SETTING) and not k.endswith(".name")]
    return {key: "" if value is None else str(value) for key, value in kept}


def _varying(named: Sequence[tuple[dict[str, str], Mapping[str, str]]]) -> list[str]:
    """Keys that differ between runs of the same names; what differs because the backbone does is no setting."""
    alike: dict[str, list[Mapping[str, str]]] = {}
    for names, flat in named:
        alike.setdefault(json.dumps(names), []).append(flat)
    keys = sorted({key for _, flat in named for key in flat})
    return [key for key in keys if any(len({f.get(key, "") for f in group}) > 1 for group in alike.values())]


def _leaves(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _order(row: Row) -> tuple[Any, ...]:
    """By name, then by setting; numbers as numbers."""
    return (*row.names.values(), *(_number_first(value) for value in row.settings.values()))


def _number_first(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text)


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    record = json.loads((folder / "run.json").read_text())
    config = yaml.load((folder / "config.yaml").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return record, config or {}
