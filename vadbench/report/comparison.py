"""Two runs side by side: what differs in their settings, and whether the difference of their numbers holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench import registry
from vadbench.errors import DataError
from vadbench.runs.run_folder import RunFolder, leaves
from vadbench.untrusted import damage, read_config, read_table

if TYPE_CHECKING:
    from vadbench.evaluation.intervals.interval import Interval


def compare(first: Path, second: Path, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Differences in settings and, on raw scores, in metrics, each with a paired interval over resampled videos.

    Raises
    ------
    DataError: a folder without a complete run, or runs on different test videos or labels.
    """
    from vadbench.evaluation.intervals.bootstrap import paired_bootstrap
    from vadbench.evaluation.metrics.frame import average_precision, equal_error_rate, frame_auroc
    from vadbench.evaluation.plugin_metrics import paired_metrics

    records = [_record(folder) for folder in (first, second)]
    tables = [read_scores(folder) for folder in (first, second)]
    labels = _common_labels(tables, (first, second))
    rows = {}
    metrics = {"frame AUROC micro": frame_auroc, "frame AP": average_precision, "frame EER": equal_error_rate}
    scores = [scores for scores, _ in tables]
    for name, metric in metrics.items():
        found = paired_bootstrap(metric, scores[0], scores[1], labels, resamples, seed)
        rows[name] = _row([metric(*_pooled(one, labels)) for one in scores], found)
    for name, (values, found) in paired_metrics(scores[0], scores[1], labels, resamples, seed).items():
        rows[name.replace("_", " ")] = _row(values, found)
    return {
        "first": str(first),
        "second": str(second),
        "settings": _differences(first, second),
        "videos": len(labels),
        "resamples": resamples,
        "metrics": rows,
        "caveats": sorted({w for record in records for w in record["warnings"]}) + _not_loaded(records),
    }


def _record(folder: Path) -> dict[str, Any]:
    """Return the record with what a comparison reads: warnings, and entries of metrics."""
    with damage(folder):
        record = RunFolder(folder).read()
        warnings = [str(warning) for warning in record["warnings"]]
        entries = {name: entry for name, entry in record["metrics"].items() if isinstance(entry, dict)}
        return {**record, "warnings": warnings, "metrics": entries}


def _row(values: Sequence[float], found: Interval) -> dict[str, Any]:
    from vadbench.evaluation.intervals.metric_entry import RANGES

    return {
        "first": values[0],
        "second": values[1],
        "difference": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "ci_notes": list(found.notes),
        **{name: getattr(found, name) for name in RANGES},
        "share_above_zero": found.share_above_zero,
    }


def _not_loaded(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each metric of a plug-in that both runs have and that is not there to compare them."""
    plugins = [{n: e["plugin"] for n, e in record["metrics"].items() if "plugin" in e} for record in records]
    names = [name for name in plugins[0] if name in plugins[1] and registry.find("metric", name) is None]
    return [f"{name} is not compared: it is a metric of a plug-in ({plugins[0][name]}); load it" for name in names]


def read_scores(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores and labels by video from a run's scores.parquet; DataError if a label is unknown or a score infinite."""
    columns = {"video": "text", "frame": "number", "score": "number", "label": "flag"}
    table = read_table(folder / "scores.parquet", columns).sort_values(["video", "frame"])
    if not len(table) or not np.isfinite(table["score"].to_numpy(dtype=np.float64)).all():
        raise DataError(f"{folder / 'scores.parquet'}: it holds no scores, or some that are no finite numbers")
    if table["label"].isna().any():
        raise DataError(f"{folder}: this run was scored without labels, so it can't be compared by metrics")
    parts = {str(video): part for video, part in table.groupby("video", sort=True)}
    return (
        {video: part["score"].to_numpy(dtype=np.float64) for video, part in parts.items()},
        {video: part["label"].to_numpy(dtype=bool) for video, part in parts.items()},
    )


def format_comparison(result: Mapping[str, Any]) -> str:
    """Return the comparison as text."""
    from vadbench.evaluation.intervals.metric_entry import INTERVAL_HEADS, note_lines

    lines = [f"first:   {result['first']}", f"second:  {result['second']}", ""]
    for key, (a, b) in result["settings"].items():
        lines.append(f"  {key}: {a} -> {b}")
    if not result["settings"]:
        lines.append("  the same settings")
    heads = "".join(f"{head:<20}" for head in INTERVAL_HEADS)
    width = max(20, *(len(name) + 1 for name in result["metrics"]))
    lines += ["", f"  {'raw scores':<{width}}{'first':>9}{'second':>9}{'change':>9}   {heads}of the change"]
    for name, row in result["metrics"].items():
        lines.append(
            f"  {name:<{width}}{row['first']:>9.4f}{row['second']:>9.4f}{row['difference']:>+9.4f}   {_interval(row)}"
        )
    lines += [f"  ! {note}" for note in note_lines(result["metrics"])]
    lines.append(f"  paired bootstrap over {result['videos']} videos, {result['resamples']} resamples")
    return "\n".join([*lines, *(f"  ! {caveat}" for caveat in result["caveats"])])


def _interval(row: Mapping[str, Any]) -> str:
    """Return the interval of the change, whether it holds, and the ranges of the change that stand beside it."""
    ends = {
        name: f"[{row[f'{name}_low']:+.4f}, {row[f'{name}_high']:+.4f}]"
        for name in ("ci", "video", "without")
        if not math.isnan(row[f"{name}_low"])
    }
    if "ci" not in ends:
        verdict = "no verdict"
    else:
        verdict = "holds" if row["ci_low"] > 0 or row["ci_high"] < 0 else "can't be told from zero"
    found = (ends.get(name, "none") for name in ("ci", "video", "without"))
    return "".join(f"{cell:<20}" for cell in found) + verdict


def _common_labels(tables: list[Any], folders: tuple[Path, Path]) -> dict[str, np.ndarray]:
    first, second = tables[0][1], tables[1][1]
    if first.keys() != second.keys():
        only = sorted(first.keys() ^ second.keys())
        raise DataError(
            f"the runs have different test videos (only in one: {', '.join(only)}): {folders[0]}, {folders[1]}"
        )
    for video, labels in first.items():
        if not np.array_equal(labels, second[video]):
            raise DataError(f"the runs have different labels for video {video}: {folders[0]}, {folders[1]}")
    return dict(first)


def _pooled(scores: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([scores[v] for v in labels]), np.concatenate([labels[v] for v in labels])


def _differences(first: Path, second: Path) -> dict[str, tuple[str, str]]:
    """Keys of the configuration whose values differ."""
    a, b = (dict(leaves(read_config(folder / "config.yaml"))) for folder in (first, second))
    return {key: (str(a.get(key, "-")), str(b.get(key, "-"))) for key in sorted({*a, *b}) if a.get(key) != b.get(key)}
