"""Why complete points are to be run again, as what their keys stand for changed, and how others were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vadbench.data.registry import dataset_digest, label_digest
from vadbench.errors import DataError
from vadbench.experiment.record import plugins, provenance, result_versions
from vadbench.runs.provenance import differences
from vadbench.runs.run_folder import SCHEMA_VERSION, RunFolder
from vadbench.sweep.inventory import Item
from vadbench.untrusted import damage


def outdated(items: Sequence[Item], record: Mapping[str, Any], results: Path) -> list[str]:
    """Return a line for each reason why points of ``items`` are not the complete runs that ``record``, of the same
    sweep, names; empty where none is."""
    before = {row["label"]: row["fingerprint"] for row in record.get("points", []) if row["state"] == "complete"}
    points: dict[str, list[str]] = {}
    for item in items:
        known = before.get(item.point.label)
        if known in (None, item.fingerprint):
            continue
        for path in results.glob(f"runs/*/*/{known}"):
            try:
                with damage(path):
                    reason = _reason(RunFolder(path).read(), item)
            except DataError:  # it is no complete run
                continue
            points.setdefault(reason, []).append(item.point.label)
    return [
        f"{len(labels)} complete runs of an earlier start don't count, {reason}; they stay: {', '.join(labels)}"
        for reason, labels in points.items()
    ]


def differing(items: Sequence[Item]) -> list[str]:
    """Return a line for each way in which complete runs of ``items`` were made otherwise than they would be now."""
    counts: Counter[str] = Counter()
    for item in items:
        if item.folder is not None and item.folder.complete and item.dataset is not None:
            made = item.folder.read().get("provenance", {})
            counts[differences(made, provenance(item.point.config, item.dataset))] += 1
    return [f"{count} complete runs were {how}" for how, count in counts.items() if how]


def _reason(record: Mapping[str, Any], item: Item) -> str:
    assert item.dataset is not None and item.detector is not None
    schema, data, commit = record.get("schema_version"), record["dataset"], record.get("provenance", {}).get("git_sha")
    if schema != SCHEMA_VERSION:
        return f"their records have schema version {schema} and today's {SCHEMA_VERSION}"
    changed = [
        what
        for what, known, now in (
            ("videos", data["digest"], dataset_digest(item.dataset)),
            ("labels", data["label_digest"], label_digest(item.dataset)),
        )
        if known != now
    ]
    now = plugins(item.point.config)
    for part, said in record.get("plugins", {}).items():
        if part in now and said["digest"] != now[part]["digest"]:
            changed.append(f"plug-in {part}")
    if changed:
        return f"because of what differs: {', '.join(changed)}"
    versions = result_versions(item.dataset, item.detector)
    before = record.get("result_versions", {"result_version": record.get("result_version", 1)})
    raised = {name: (before.get(name, 1), version) for name, version in versions.items()}
    raised = {name: pair for name, pair in raised.items() if pair[0] != pair[1]}
    if raised:
        what = [f"{name.replace('_', ' ')} {new} in place of {old}" for name, (old, new) in raised.items()]
        note = getattr(item.detector, "result_note", "") if "result_version" in raised else ""
        return f"because numbers changed: {', '.join(what)}" + (f" ({note})" if note else "")
    return f"because configuration, features or scores changed since commit {str(commit)[:7]}, which made them"
