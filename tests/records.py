"""Records of runs held against the schema of their version."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


@cache
def validator(version: int) -> Draft202012Validator:
    """The validator of records of ``version``."""
    file = resources.files("vadbench.runs") / f"run.v{version}.schema.json"
    assert file.is_file(), f"schema version {version} has no {file}: copy that of the version before and change it"
    schema = json.loads(file.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(record: dict[str, Any]) -> list[str]:
    """What in ``record`` is not as the schema of its version says: path and message."""
    errors = validator(record.get("schema_version", 0)).iter_errors(record)
    return sorted(f"{error.json_path}: {error.message}" for error in errors)


def require_valid(folder: Path) -> None:
    """Fail with all faults of the run.json in ``folder``."""
    found = faults(json.loads((folder / "run.json").read_text()))
    assert not found, f"{folder / 'run.json'}:\n" + "\n".join(found)


def smallest() -> dict[str, Any]:
    """What a record must hold beside its version and status."""
    names = dict.fromkeys(("backbone", "layer", "density"))
    counts = dict.fromkeys(("train_videos", "test_videos", "train_frames", "test_frames", "anomalous_frames"), 0)
    store = dict.fromkeys(
        ("hits", "misses", "fetched", "remade", "extract_s", "waited_s", "written_bytes"),
        0,
    )
    dataset = {"name": "synthetic", "digest": "", "label_digest": "", "label_source": "none", "tree": ""}
    return {
        "fingerprint": "0" * 16,
        "created": "2026-11-22T10:00:00+00:00",
        "names": {**names, "model": "random", "dataset": "synthetic", "protocol": "raw"},
        "seed": 0,
        "fit": {},
        "weights": [],
        "dataset": {**dataset, **counts, "expected": {}, "partial": False, "comparable": False},
        "coverage": {"frames": 0, "filled": 0, "share": None},
        "metrics": {},
        "baselines": {},
        "scenes": {},
        "timings": {},
        "frames_per_second": None,
        "store": store,
        "peak_memory_mb": 0.0,
        "provenance": {"git_sha": None, "git_dirty": None},
        "warnings": [],
    }
