"""One run's result as the text that is printed when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vadbench.report.rows import HEADLINES
from vadbench.untrusted import read_text


def format_result(record: Mapping[str, Any], folder: Path, existed: bool, store: str | None, card: bool = False) -> str:
    """Return what was run, on what, the numbers beside the baselines, the caveats, and the folder as the last line.

    ``store``: address of the tracking store, None where runs are not tracked. ``card``: with the protocol card, as
    under the protocol ``all``.
    """
    lines = [_title(record), *_data_lines(record), ""]
    lines += _metric_lines(record)
    if (card or record["names"]["protocol"] == "all") and (folder / "card.txt").is_file():
        lines += [read_text(folder / "card.txt").rstrip(), ""]
    lines += [f"  ! {warning}" for warning in record["warnings"]]
    if existed:
        lines.append("This run exists; nothing was computed (on_existing=rerun recomputes it).")
    lines.append("")
    if store is not None:
        how = store if store.startswith("http") else f"mlflow ui --backend-store-uri {store}"
        lines.append(f"compare runs:  {how}")
    lines.append(f"run folder:    {folder}")
    return "\n".join(lines)


def _title(record: Mapping[str, Any]) -> str:
    names = record["names"]
    parts = [names["model"], names["backbone"], names["layer"]]
    return " · ".join(str(part) for part in parts if part) + f" on {names['dataset']} (seed {record['seed']})"


def _data_lines(record: Mapping[str, Any]) -> list[str]:
    data, coverage = record["dataset"], record["coverage"]
    weights = ", ".join(f"{w['part']} {w['name']}" for w in record["weights"]) or "none needed"
    anomalous = data["anomalous_frames"]
    known = "not all labelled" if anomalous is None else f"{anomalous} anomalous"
    engines = ", ".join(record.get("engines", {}))
    return [
        f"  {data['train_videos']} training videos ({data['train_frames']} frames), "
        f"{data['test_videos']} test videos ({data['test_frames']} frames, {known})",
        f"  weights: {weights}" + (f"; network run by {engines}" if engines else ""),
        f"  every frame has a score, {coverage['filled']} of {coverage['frames']} interpolated",
    ]


def _metric_lines(record: Mapping[str, Any]) -> list[str]:
    if not record["metrics"]:
        return ["  no metrics: no labels, or the evaluator is switched off", ""]
    from vadbench.evaluation.intervals.metric_entry import INTERVAL_HEADS, interval_cells, note_lines

    own = record.get("objects", {}).get("evaluator") is not None
    outside = {name: name.replace("_", " ") for name, entry in record["metrics"].items() if entry.get("plugin")}
    names = {name: name for name in record["metrics"]} if own else HEADLINES | outside
    shown = {label: record["metrics"][name] for name, label in names.items() if name in record["metrics"]}
    lines = [f"  {'':<24}{'value':>8}   " + "".join(f"{head:<17}" for head in INTERVAL_HEADS) + "videos"]
    for label, entry in shown.items():
        cells = "".join(f"{cell:<17}" for cell in interval_cells(entry))
        undefined = entry.get("undefined_videos") or []
        note = f", undefined on {len(undefined)}: {', '.join(undefined)}" if undefined else ""
        value = "blank" if entry.get("blank") else _number(entry["value"])
        lines.append(f"  {label:<24}{value:>8}   {cells}{entry['n_videos']}{note}")
    lines += [f"  ! {note}" for note in note_lines(shown)]
    entries = record["metrics"].values()
    lines += [f"  blank: {reason}" for reason in dict.fromkeys(e["blank"] for e in entries if e.get("blank"))]
    for scene, metrics in record.get("scenes", {}).items():
        entry = metrics["frame_auroc_micro"]
        lines.append(f"    scene {scene:<16}{_number(entry['value']):>8}   ({entry['n_videos']} videos)")
    protocol, rivals = record["names"]["protocol"], record["baselines"]
    theirs = next((entry["protocol"] for entry in rivals.values()), protocol)
    under = "" if theirs in (protocol, "raw" if protocol == "all" else protocol) else f" under protocol {theirs}"
    lines.append(f"  under protocol {protocol}" + (f"; baselines, frame AUROC micro{under}:" if rivals else ""))
    for name, entry in rivals.items():
        lines.append(f"    {name.replace('_', ' '):<22}{_number(entry['value']):>8}")
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
