"""Complete runs as rows of a table: settings that matter, numbers over seeds, and what must be said beside them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeGuard

from vadbench.config.defaults import without_written_out
from vadbench.config.schema import without
from vadbench.errors import DataError
from vadbench.runs.provenance import source_name
from vadbench.runs.run_folder import RunFolder
from vadbench.untrusted import damage, read_config

log = logging.getLogger(__name__)

TOO_WIDE = 0.3
"""Width above which an interval means little: ``WIDE`` of the module of intervals, which takes long to import."""

HEADLINES = {
    "frame_auroc_micro": "frame AUROC, micro",
    "frame_auroc_macro": "frame AUROC, macro",
    "frame_ap": "frame AP",
    "frame_eer": "frame EER",
    "pixel_auroc": "pixel AUROC, pooled",
    "aupro": "AUPRO at FPR 0.3",
    "rbdc": "RBDC",
    "tbdc": "TBDC",
}
"""Metrics that a run prints and that the default table shows, where a run has them: name to label."""

_NAMES = ("dataset", "model", "backbone", "layer")
_DIGESTS = ("data digest", "label digest", "weights digest")
_SHOWN_DIGITS = 8
_LARGEST = 1e100  # no metric is near it, and statistics of what is would overflow


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
    """One configuration on one set of videos, labels and weights; its runs differ in their seed only.

    Attributes
    ----------
    names: dataset, model, backbone, layer, weights, protocol; "" where there is none.
    settings: keys of the configuration that differ between the rows of the table, and the digests of data, labels and
        weights where rows would look alike without them.
    seeds: one for each run that counts; a single one for a method that does not use its seed.
    data: ``"full"``, ``"6/12"`` (test videos of the official split), ``"subset"`` or ``"own"`` (no official split);
        ``", unlabelled"`` after it where no number can be computed.
    outside: names of the metrics that are from plug-ins.
    sources: states of the source that made the runs that count, with their result versions; several are mixed.
    left_out: folders of runs that repeat one that counts: the same seed again, or another seed of a method that does
        not use it.
    """

    names: dict[str, str]
    settings: dict[str, str]
    seeds: tuple[int, ...]
    metrics: dict[str, Spread]
    data: str
    folders: tuple[Path, ...] = field(repr=False, default=())
    left_out: tuple[Path, ...] = field(repr=False, default=())
    outside: tuple[str, ...] = field(repr=False, default=())
    sources: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class _Run:
    """A complete run as a row sees it."""

    folder: Path
    record: dict[str, Any]
    names: dict[str, str]
    settings: dict[str, str]
    digests: dict[str, str]
    seed: int
    metrics: dict[str, Any]
    data: str


def rows(folders: Sequence[Path]) -> list[Row]:
    """One row for each group of complete runs that differ in nothing but the seed; other folders are left out, and
    what can't be read is named in the log."""
    runs = list(_sound(folder for folder in folders if (folder / "run.json").is_file()))
    varying = _varying([(run.names, run.settings) for run in runs])
    shown = [{key: run.settings.get(key, "") for key in varying} for run in runs]
    alike = [{**run.names, **seen, "data": run.data} for run, seen in zip(runs, shown, strict=True)]
    digests = _varying([(seen, run.digests) for run, seen in zip(runs, alike, strict=True)])
    groups: dict[str, list[tuple[_Run, dict[str, str]]]] = {}
    for run, seen in zip(runs, shown, strict=True):
        key = json.dumps([run.names, run.settings, run.digests], sort_keys=True)
        told = seen | {name: run.digests[name][:_SHOWN_DIGITS] for name in digests}
        groups.setdefault(key, []).append((run, told))
    return sorted((_row([run for run, _ in group], group[0][1]) for group in groups.values()), key=_order)


def _row(group: Sequence[_Run], shown: dict[str, str]) -> Row:
    counted = _repetitions(group)
    metrics = list(dict.fromkeys(name for run in counted for name in run.metrics))
    return Row(
        names=counted[0].names,
        settings=shown,
        seeds=tuple(run.seed for run in counted),
        metrics={name: _spread([run.metrics.get(name) for run in counted]) for name in metrics},
        data=counted[0].data,
        folders=tuple(run.folder for run in counted),
        left_out=tuple(run.folder for run in group if all(run is not one for one in counted)),
        sources=tuple(dict.fromkeys(_source(run.record) for run in counted)),
        outside=tuple(n for n in metrics if any("plugin" in _fields(run.metrics.get(n)) for run in counted)),
    )


def _repetitions(group: Sequence[_Run]) -> list[_Run]:
    """Return the runs that count, in the order of their seeds: the newest of each seed, or the newest of all where
    the method does not use its seed."""
    by_age = sorted(group, key=lambda run: str(run.record.get("created", "")))
    newest = {run.seed: run for run in by_age}
    if len(newest) > 1 and not _uses_seed(list(newest.values())):
        return by_age[-1:]
    return [newest[seed] for seed in sorted(newest)]


def _uses_seed(runs: Sequence[_Run]) -> bool:
    """Return whether runs of several seeds are repetitions: not if their records say that the seed is not used (older
    records say nothing), nor if no metric differs in any digit."""
    if all(run.record.get("uses_seed") is False for run in runs):
        return False
    values = [{name: _value(entry) for name, entry in run.metrics.items()} for run in runs]
    return not values[0] or any(one != values[0] for one in values)


def _source(record: Mapping[str, Any]) -> str:
    """Return the state of the source that made a run, and the version of its scores."""
    made = record.get("provenance", {})
    name = f"source {made['source_digest'][:8]}" if made.get("source_digest") else source_name(made)
    return f"{name}, result version {record.get('result_version', 1)}"


def _fields(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {}


def _value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, Mapping) else entry


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


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what the run was made of; random weights differ with the seed and are no other weights for that."""
    weights = [w for w in record.get("weights", []) if w.get("name") != "random"]
    found = (
        record["dataset"].get("digest"),
        record["dataset"].get("label_digest"),
        " ".join(str(w.get("digest")) for w in weights),
    )
    return {name: str(digest or "") for name, digest in zip(_DIGESTS, found, strict=True)}


def _data(record: Mapping[str, Any]) -> str:
    data = record["dataset"]
    expected = data.get("expected") or {}
    if not expected:
        extent = "own"
    elif data.get("partial"):
        extent = f"{data.get('test_videos')}/{expected.get('test_videos')}"
    else:
        extent = "full" if data.get("comparable") else "subset"
    return f"{extent}, unlabelled" if data.get("label_source") == "none" else extent


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    kept = dict(_leaves(without(without_written_out(config), "shown"), ""))
    for key in ("seed", "objects.visualizer"):  # seeds are repetitions; who draws changes no number
        kept.pop(key, None)
    if density := (config.get("density") or {}).get("name"):
        kept["density"] = density
    return {key: "" if value is None else str(value) for key, value in kept.items()}


def _varying(named: Sequence[tuple[dict[str, str], Mapping[str, str]]]) -> list[str]:
    """Keys that differ between runs of the same names; what differs because backbone or density do is no setting."""
    keys = sorted({key for _, flat in named for key in flat})
    alike: dict[str, list[Mapping[str, str]]] = {}
    of_one_density: dict[str, list[Mapping[str, str]]] = {}
    for names, flat in named:
        alike.setdefault(json.dumps(names), []).append(flat)
        of_one_density.setdefault(json.dumps([names, flat.get("density")]), []).append(flat)

    def differs(key: str) -> bool:
        groups = alike if key == "density" else of_one_density
        return any(len({f.get(key, "") for f in group}) > 1 for group in groups.values())

    return [key for key in keys if differs(key)]


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
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _sound(folders: Iterable[Path]) -> Iterator[_Run]:
    for folder in folders:
        try:
            yield _read(folder)
        except DataError as error:  # noqa: PERF203
            log.warning("Left out: %s", error)


def _read(folder: Path) -> _Run:
    with damage(folder):
        record = RunFolder(folder).read()
        settings = _settings(read_config(folder / "config.yaml"))
        seed, metrics = int(record.get("seed", 0)), dict(record.get("metrics", {}))
        return _Run(folder, record, _names(record), settings, _digests(record), seed, metrics, _data(record))
