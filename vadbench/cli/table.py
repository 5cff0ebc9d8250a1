"""``table [FOLDER]``: results as a table (markdown, csv, latex)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vadbench.cli.commands import parser_of
from vadbench.report.rows import rows
from vadbench.report.tables import FORMATS, find_runs, format_rows

_EPILOG = """examples:
  python -m vadbench table                              every complete run under results
  python -m vadbench table results/runs/avenue          those on one dataset
  python -m vadbench table results/sweeps/<id>          those of one sweep
  python -m vadbench table --format csv > runs.csv      every metric, mean, spread and n in columns of their own

Runs that differ in their seed only are one row: mean ± sample standard deviation, n seeds. A seed counts once, and a
method that does not use its seed counts once (n is 1, with the interval over videos). The column data says how much of
the official split was there (6/12: six of twelve test videos; own: no official split); compare full rows only. Digests
are shown where rows would look alike but were made from other videos, labels or weights.
"""


def run(argv: Sequence[str]) -> int:
    """``table [FOLDER] [--format markdown|csv|latex] [--metrics NAMES]``: print the table; 0."""
    parser = parser_of(__doc__, _EPILOG)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("results"), help="results, a part of it, or a sweep"
    )
    parser.add_argument("--format", choices=sorted(FORMATS), default="markdown")
    parser.add_argument("--metrics", help="names, separated by commas (default: the usual ones; csv: all)")
    words = parser.parse_args(list(argv))
    found = rows(find_runs(words.folder))
    if not found:
        print(f"no complete run under {words.folder}")
        return 0
    print(format_rows(found, words.format, words.metrics.split(",") if words.metrics else None), end="")
    return 0
