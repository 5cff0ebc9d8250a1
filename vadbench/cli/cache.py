"""``cache ls|prune|verify``: list, prune and verify the feature store."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from vadbench.cli.commands import parser_of
from vadbench.store.entry import entries, leftovers
from vadbench.store.prune import held, prune
from vadbench.store.remote import is_remote, local_copy
from vadbench.untrusted import printable

_EPILOG = """examples:
  python -m vadbench cache ls                          what is stored, by extractor and output
  python -m vadbench cache prune --max-gb 20           remove what is unused for longest until 20 GB are left
  python -m vadbench cache prune --unused-days 30      remove what nobody used for 30 days
  python -m vadbench cache verify --remove             read every byte; remove what is damaged
"""


def run(argv: list[str]) -> int:
    """``cache ls|prune|verify``; returns the exit status: 0, or 1 if ``verify`` found damage that stays."""
    parser = _parser()
    given = parser.parse_args(argv)
    root = local_copy(given.path, given.local) if is_remote(given.path) else Path(given.path).absolute()
    if not root.is_dir():
        print(f"No feature store at {root}. Runs make one; give --path for a store elsewhere.")
        return 0
    if given.command == "ls":
        return _ls(root, given.json)
    if given.command == "prune":
        if given.max_gb is None and given.unused_days is None and not given.leftovers:
            parser.error("prune needs --max-gb N, --unused-days N or --leftovers: it never guesses what may go")
        return _prune(root, given.max_gb, given.unused_days)
    return _verify(root, given.remove)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(__doc__, _EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("ls", "list what is stored"),
        ("prune", "make it smaller"),
        ("verify", "compare every entry with its digest"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--path", default="results/cache", help="folder or URL of the store (default: %(default)s)"
        )
        command.add_argument("--local", help="folder of the local copy of a URL")
    commands.choices["ls"].add_argument("--json", action="store_true", help="one JSON object an entry")
    commands.choices["prune"].add_argument("--max-gb", type=float, help="keep at most this much")
    commands.choices["prune"].add_argument("--unused-days", type=float, help="remove what is unused for so long")
    commands.choices["prune"].add_argument("--leftovers", action="store_true", help="only clean up after crashes")
    commands.choices["verify"].add_argument("--remove", action="store_true", help="remove damaged entries")
    return parser


def _ls(root: Path, as_json: bool) -> int:
    groups: dict[tuple[str, str, str], list[tuple[int, float, float]]] = defaultdict(list)
    for h in held(root):
        note = h.entry.note()
        if note is None:
            continue
        if as_json:
            print(json.dumps({**note, "used": _when(h.used), "path": str(h.entry.data)}, sort_keys=True))
        groups[_title(note)].append((h.size, h.used, float(note.get("seconds", 0))))
    if as_json:
        return 0
    print(f"{'output':<28} {'made by':<36} {'dtype':<8} {'entries':>7} {'MB':>9} {'made in s':>9}  last used (UTC)")
    for (output, by, dtype), rows in sorted(groups.items()):
        size, used, seconds = sum(r[0] for r in rows), max(r[1] for r in rows), sum(r[2] for r in rows)
        print(f"{output:<28} {by:<36} {dtype:<8} {len(rows):>7} {size / 1e6:>9.1f} {seconds:>9.1f}  {_when(used)}")
    total = sum(r[0] for rows in groups.values() for r in rows)
    print(f"{sum(map(len, groups.values()))} entries, {total / 1e6:.1f} MB in {root}")
    return 0


def _prune(root: Path, max_gb: float | None, unused_days: float | None) -> int:
    done = prune(
        root,
        None if max_gb is None else int(max_gb * 1e9),
        unused_since=None if unused_days is None else time.time() - unused_days * 86400,
    )
    print(
        f"removed {done.removed} entries ({done.bytes_freed / 1e6:.1f} MB) and {done.leftovers} leftovers of crashes; "
        f"{done.bytes_left / 1e6:.1f} MB left in {root}"
    )
    return 0


def _verify(root: Path, remove: bool) -> int:
    sound, damaged = 0, 0
    for entry in entries(root):
        fault = entry.fault(fresh=True)
        if fault is None:
            sound += 1
            continue
        damaged += 1
        print(f"damaged: {entry.data}: {fault}")
        if remove:
            entry.lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(entry.lock):
                if entry.fault(fresh=True) is not None:
                    entry.remove()
    dead = sum(1 for _ in leftovers(root))
    left = "removed" if remove else "recomputed when next needed, or remove them with --remove"
    print(f"{sound} sound, {damaged} damaged{f' ({left})' if damaged else ''}, {dead} leftovers of crashes in {root}")
    return 1 if damaged and not remove else 0


def _title(note: dict[str, Any]) -> tuple[str, str, str]:
    """(output, what made it, dtype) of an entry, short enough for a table."""
    spec = note.get("spec", {})
    named = [spec[k] for k in ("extractor", "architecture", "backbone", "name") if k in spec]
    named = [str(word.get("backbone", "?") if isinstance(word, dict) else word) for word in named]
    output = str(note.get("output", "?"))
    if isinstance(spec.get("fit"), dict):  # derived: "basis64", "scores0 of 14 clips from 0"
        named = [str(spec["fit"].get(k, "")) for k in ("fit", "layer")]
        output = re.split(r"[\d ]", output, maxsplit=1)[0]
    return printable(output), printable(" ".join(named))[:36] or "?", printable(str(note.get("dtype", "exact")))


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
