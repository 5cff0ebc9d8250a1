"""Writes run folders as a run leaves them, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


def write_run(results: Path, fingerprint: str = "a" * 16, auroc: Any = 0.75, **changes: Any) -> Path:
    """A complete run folder; ``changes`` replace parts of its record."""
    folder = results / "runs" / "synthetic" / "fuvas" / fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    tracking = changes.pop("tracking", {"name": "mlflow", "uri": None})
    config = {
        "tracking": tracking,
        "model": {"name": "fuvas", "layer": None, "pca_level": 0.9, "shots": None},
        "backbone": {"name": "flow_grid", "clip_length": 4, "clip_stride": 5, "options": {"cell": 12}},
        "density": {"name": "pca", "components": "enough"},
        "runtime": {"device": "cpu"},
        "seed": 3,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.txt").write_text("model=fuvas\n")
    (folder / "environment.json").write_text(json.dumps({"host": "box"}))
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots" / "curve.png").write_bytes(b"png")
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "01.safetensors").write_bytes(b"large")
    record = {
        "schema_version": 1,
        "status": "complete",
        "fingerprint": fingerprint,
        "created": "2026-11-22T10:00:00+00:00",
        "names": {"model": "fuvas", "backbone": "flow_grid", "layer": "flow", "density": "pca", "dataset": "synthetic"},
        "seed": 3,
        "metrics": {
            "frame_auroc_micro": {"value": auroc, "ci_low": 0.7, "ci_high": 0.8, "n_videos": 4, "protocol": "raw"},
            "frame_auroc_macro": {"value": float("nan"), "n_videos": 0, "protocol": "raw"},
            "sigma=3": {"value": 0.8},
        },
        "baselines": {"random": {"value": 0.5}},
        "timings": {"fit": 1.5, "score": 0.5},
        "frames_per_second": 100.0,
        "peak_memory_mb": 321.0,
        "provenance": {"git_sha": "c0ffee", "git_dirty": True},
        "dataset": {"name": "synthetic", "digest": "d" * 64, "partial": True, "comparable": False},
        "weights": [{"part": "backbone", "name": "random", "digest": "f" * 64}],
        "warnings": ["a mask is missing"],
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def write_failed(results: Path, fingerprint: str = "b" * 16, state: str = "failed", pid: int = 1) -> Path:
    """The folder of a run that did not finish."""
    import socket

    folder = results / "runs" / "synthetic" / "fuvas" / fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    mark = {"state": state, "host": socket.gethostname(), "pid": pid, "since": "2026-11-22T10:00:00+00:00"}
    (folder / "state.json").write_text(json.dumps({**mark, "reason": "ValueError: no"}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"name": "fuvas", "pca_level": 0.9}, "seed": 0}))
    return folder
