"""``sync``: bring MLflow up to date with the run folders, and end what dead writers left open."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vadbench.cli.commands import parser_of
from vadbench.config.schema import TrackingConfig
from vadbench.errors import DataError, VadbenchError
from vadbench.runs.find_run import run_folders
from vadbench.runs.run_folder import RunFolder
from vadbench.runs.sweep_record import read_sweep
from vadbench.tracking.mlflow_mirror import Mirror, tracking_uri, warn
from vadbench.tracking.run_entry import tag_value

log = logging.getLogger(__name__)

_EPILOG = """A run folder is the truth and MLflow its mirror, so this may be run at any time, as often as you like:
after a server was out of reach, after a crash, on a machine that the folders were copied to, or into a new store.
"""


def run(argv: list[str]) -> int:
    """``sync [--results FOLDER] [--uri URI]``; returns 1 if the store can't be reached or a run can't be mirrored."""
    parser = parser_of(__doc__, _EPILOG)
    parser.add_argument("--results", default="results", help="folder of results (default: %(default)s)")
    parser.add_argument("--uri", help="tracking store (default: MLFLOW_TRACKING_URI, else SQLite under the results)")
    given = parser.parse_args(argv)
    results = Path(given.results).absolute()
    if not results.is_dir():
        raise VadbenchError(f"--results {results}: there is no such folder. Runs make one where results=FOLDER says.")
    tally = sync(results, TrackingConfig("mlflow", given.uri))
    uri = tracking_uri(TrackingConfig("mlflow", given.uri), results)
    print(
        ", ".join(f"{count} {what}" for what, count in sorted(tally.items()) if count) or "nothing to mirror",
        f"({uri})",
    )
    return 1 if tally["failed"] or tally["damaged"] else 0


def sync(results: Path, config: TrackingConfig) -> Counter[str]:
    """Mirror every finished run under ``results``; counts by outcome: mirrored, unchanged, left out, failed, damaged,
    closed.

    Failed and interrupted runs are mirrored as such, and replaced once they are complete. Sweeps become parents.
    """
    tally: Counter[str] = Counter()
    uri = tracking_uri(config, results)
    try:
        with Mirror(uri, results) as mirror:
            tally["closed"] = mirror.close_stale()
            _put_all(mirror, results, tally)
    except Exception as error:
        warn(error, uri)
        tally["failed"] += 1
    return tally


def _put_all(mirror: Mirror, results: Path, tally: Counter[str]) -> None:
    sweeps = list(read_sweeps(results))
    parents = {key: sweep["id"] for sweep in reversed(sweeps) for key in sweep["fingerprints"]}
    for folder in run_folders(results):
        damage = RunFolder(folder).damage
        if damage:
            log.warning("Left out: %s: this run is damaged: %s. Its command recomputes it.", folder, damage)
            tally["damaged"] += 1
            continue
        try:
            sweep = parents.get(folder.name)
            outcome = mirror.put(folder, mirror.parent(sweep, folder) if sweep else None)
        except DataError as error:
            log.warning("Left out: %s", error)
            outcome = "left out"
        except Exception as error:  # one odd folder must not keep the others out
            warn(error, f"{mirror.uri} ({folder})")
            outcome = "failed"
        if outcome != "nothing":
            tally[outcome] += 1
    for sweep in sweeps:
        mirror.close_sweep(sweep["id"], sweep["tally"], sweep["command"])


def read_sweeps(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of sweeps, oldest first: id, command, fingerprints, tally of states."""
    found = []
    for path in results.glob("sweeps/*/sweep.json"):
        try:
            record = read_sweep(path.parent)
        except DataError as error:
            log.warning("Left out: %s", error)
            continue
        points = record["points"]
        found.append(
            {
                "id": tag_value(path.parent.name),
                "command": " ".join(record["words"]),
                "created": record["created"],
                "fingerprints": [p["fingerprint"] for p in points if p["fingerprint"]],
                "tally": dict(Counter(p["state"] for p in points)),
            }
        )
    yield from sorted(found, key=lambda s: (s["created"], s["id"]))
