"""A run folder as the entry of a tracking store: names, parameters, metrics, tags, files. Knows nothing of MLflow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vadbench.config.schema import without
from vadbench.errors import DataError
from vadbench.files import digest_of
from vadbench.runs.run_folder import RunFolder, leaves
from vadbench.untrusted import damage, plain_files, printable, read_config, read_json

FINGERPRINT = "vadbench.fingerprint"
"""Tag by which an entry is found again."""

CONTENT = "vadbench.content"
"""Tag that tells whether an entry is up to date: digest of the record that it was made from."""

FOLDER = "vadbench.folder"
"""Tag that says where the run is."""

_STATUS = {"complete": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
# Limits of MLflow's SQL store: what is longer would raise.
_KEY, _PARAM, _TAG, _DIGEST = 250, 500, 4000, 32
_LARGE_BYTES = 50_000_000
_NOT_FILES = {"state.json"}


@dataclass(frozen=True)
class RunEntry:
    """What a tracking store is told of one run.

    Attributes
    ----------
    experiment: the dataset, because comparisons are made within one, unless ``tracking.experiment`` named another.
    status: FINISHED, FAILED or KILLED.
    start_ms, end_ms: milliseconds since the epoch.
    metrics: finite numbers only; a number that is undefined is left out and named in the tag ``vadbench.undefined``.
    files: paths in the folder that are worth a copy.
    """

    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: tuple[Path, ...]
    dataset: dict[str, Any] = field(default_factory=dict)


def safe_name(name: str) -> str:
    """``name`` with what MLflow refuses (``[ ] = , @`` and the like) replaced, at most 250 characters.

    >>> safe_name("layers[0]=x@y")
    'layers_0_x_y'
    """
    cleaned = re.sub(r"[^\w\-. /]+", "_", name, flags=re.ASCII).strip("_/. ")
    return (re.sub(r"/{2,}", "/", cleaned) or "_")[:_KEY]


def read_entry(folder: Path) -> RunEntry | None:
    """Return the entry of a run folder in any state but running; None if there is nothing to tell yet.

    Raises
    ------
    DataError: it does not hold what a run writes.
    """
    with damage(folder):
        run = RunFolder(folder)
        if run.complete:
            return _of_complete(folder, run.read())
        state = run.state
        return _of_unfinished(folder, state) if state in _STATUS else None


def _of_complete(folder: Path, record: Mapping[str, Any]) -> RunEntry:
    config = _read(read_config, folder / "config.yaml")
    names = {k: v for k, v in record.get("names", {}).items() if v is not None}
    metrics, undefined = _numbers(record.get("metrics", {}))
    rivals, _ = _numbers(record.get("baselines", {}), "baseline/")
    timings = {f"seconds/{k}": float(v) for k, v in record.get("timings", {}).items() if _finite(v)}
    extra = {k: float(record[k]) for k in ("frames_per_second", "peak_memory_mb") if _finite(record.get(k))}
    data = dict(record.get("dataset", {}))
    end = _milliseconds(record.get("created")) or int((folder / "run.json").stat().st_mtime * 1000)
    return RunEntry(
        experiment=_text(
            _chosen(config, "experiment") or data.get("name") or names.get("dataset") or _data_set(folder), _KEY
        ),
        name=_text(_chosen(config, "run_name") or _title(names, config, record.get("seed")), _KEY),
        status="FINISHED",
        start_ms=end - int(1000 * sum(timings.values())),
        end_ms=end,
        params=_params(names, config, record.get("seed")),
        metrics={safe_name(k): v for k, v in {**metrics, **rivals, **timings, **extra}.items()},
        tags=_tags(folder, record, data, undefined),
        files=tuple(_files(folder)),
        dataset=data,
    )


def _of_unfinished(folder: Path, state: str) -> RunEntry:
    mark = RunFolder(folder).mark()
    config = _read(read_config, folder / "config.yaml")
    names = {"model": folder.parent.name, "dataset": _data_set(folder)}
    began = _milliseconds(mark.get("since")) or int((folder / "state.json").stat().st_mtime * 1000)
    tags = {
        FINGERPRINT: tag_value(folder.name),
        CONTENT: _digest(folder / "state.json"),
        "vadbench.state": state,
        "vadbench.reason": str(mark.get("reason", ""))[:_TAG],
        "vadbench.host": str(mark.get("host", "")),
        FOLDER: str(folder.absolute()),
    }
    return RunEntry(
        experiment=_text(_chosen(config, "experiment") or names["dataset"], _KEY),
        name=_text(_chosen(config, "run_name") or _title(names, config, config.get("seed")), _KEY),
        status=_STATUS[state],
        start_ms=began,
        end_ms=int((folder / "state.json").stat().st_mtime * 1000),
        params=_params(names, config, config.get("seed")),
        metrics={},
        tags=tags,
        files=tuple(_files(folder)),
    )


def experiment_of(folder: Path) -> str:
    """Return the experiment of a run folder that may hold nothing to tell yet."""
    with damage(folder):
        return _text(_chosen(_read(read_config, folder / "config.yaml"), "experiment") or _data_set(folder), _KEY)


def _chosen(config: Mapping[str, Any], key: str) -> str | None:
    """Return what ``tracking.<key>`` of the run said, if anything."""
    value = (config.get("tracking") or {}).get(key)
    return str(value) if value else None


def _data_set(folder: Path) -> str:
    return folder.parent.parent.name


def _title(names: Mapping[str, Any], config: Mapping[str, Any], seed: Any) -> str:
    """Return what the list of runs shows: enough to tell the points of a usual sweep apart."""
    level = config.get("model", {}).get("pca_level")
    parts = [names.get("model"), names.get("backbone"), names.get("layer"), None if level is None else f"pca {level}"]
    return " ".join(str(p) for p in (*parts, f"seed {seed}") if p is not None)


def _params(names: Mapping[str, Any], config: Mapping[str, Any], seed: Any) -> dict[str, str]:
    """Return the choices that a person compares: flat, no paths, no switches of the machine."""
    found: dict[str, Any] = {**names, "seed": seed}
    for group, values in without(config, "shown").items():
        if isinstance(values, Mapping):
            found.update(leaves(values, f"{group}."))
    return {safe_name(k): str(v)[:_PARAM] for k, v in found.items() if v is not None}


def _tags(folder: Path, record: Mapping[str, Any], data: Mapping[str, Any], undefined: list[str]) -> dict[str, str]:
    source = record.get("provenance", {})
    weights = [f"{w.get('part')}: {w.get('name')} {str(w.get('digest') or '')[:12]}" for w in record.get("weights", [])]
    tags = {
        FINGERPRINT: tag_value(folder.name),  # the record may name another run, whose entry this one would replace
        CONTENT: _digest(folder / "run.json"),
        "vadbench.state": "complete",
        "vadbench.git_sha": source.get("git_sha"),
        "vadbench.git_dirty": source.get("git_dirty"),
        "vadbench.dataset_digest": data.get("digest"),
        "vadbench.weights": "; ".join(w.strip() for w in weights) or "none",
        "vadbench.partial": data.get("partial", False),
        "vadbench.comparable": data.get("comparable", False),
        "vadbench.warnings": "; ".join(map(str, record.get("warnings", []))),
        "vadbench.undefined": ", ".join(undefined),
        "vadbench.host": _read(read_json, folder / "environment.json").get("host"),
        FOLDER: folder.absolute(),
    }
    return {k: str(v)[:_TAG] for k, v in tags.items() if v is not None and v != ""}


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, float], list[str]]:
    """Every ``value`` with its interval, by name, and the names of those that are undefined."""
    found: dict[str, float] = {}
    undefined: list[str] = []
    for name, entry in metrics.items():
        key = prefix + name
        if isinstance(entry, Mapping) and "value" not in entry:
            below, missing = _numbers(entry, f"{key}/")
            found.update(below)
            undefined += missing
            continue
        fields = entry if isinstance(entry, Mapping) else {"value": entry}
        if _finite(fields.get("value")):
            found[key] = float(fields["value"])
        else:
            undefined.append(key)
        found.update({f"{key}/{b}": float(fields[b]) for b in ("ci_low", "ci_high") if _finite(fields.get(b))})
    return found, undefined


def _files(folder: Path) -> Iterator[Path]:
    """Files of a run that belong into a tracking store: not the state, not what is hidden, not score maps."""
    for path in plain_files(folder):
        wanted = path.relative_to(folder).parts[0] != "maps" and path.name not in _NOT_FILES
        if wanted and path.stat().st_size <= _LARGE_BYTES:
            yield path


def dataset_digest(data: Mapping[str, Any]) -> str:
    """Return the digest of a dataset, short enough for MLflow."""
    return str(data.get("digest") or "unknown")[:_DIGEST]


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _milliseconds(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return None


def _digest(path: Path) -> str:
    return digest_of(path)[:16]


def tag_value(name: str) -> str:
    """Return ``name`` as it can stand between quotation marks in a condition of a search."""
    return re.sub(r"['\"`\\]", "_", printable(name))


def _text(value: Any, longest: int) -> str:
    return printable(str(value))[:longest]


def _read(reader: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    """Return what a file holds, nothing where it can't be read: an entry can do without it."""
    try:
        return reader(path)
    except DataError:
        return {}
