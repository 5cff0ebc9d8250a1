"""``verify [RUN|FOLDER ...]``: read every file of complete runs; name those that are damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vadbench.cli.commands import add_results, parser_of
from vadbench.report.tables import find_runs
from vadbench.runs.file_list import damage
from vadbench.runs.find_run import locate

_EPILOG = """The files that run.json lists are held against their sizes and SHA-256 digests. Pictures and reports, which
can be drawn again, are not listed; score maps may have been deleted to make room.

examples:
  python -m vadbench verify                             every complete run under results
  python -m vadbench verify results/sweeps/<id>         those of one sweep
  python -m vadbench verify 3f2a                        the run whose id begins so
"""


def run(argv: Sequence[str]) -> int:
    """``verify [RUN|FOLDER ...]``: print what is damaged and how many runs are sound; 1 if one is damaged."""
    parser = parser_of(__doc__, _EPILOG)
    text = "folder or id of a run, a results folder, a part of it, or a sweep folder (default: the results)"
    parser.add_argument("places", nargs="*", metavar="RUN|FOLDER", help=text)
    add_results(parser)
    words = parser.parse_args(list(argv))
    places = [locate(place, words.results) for place in words.places] or [words.results]
    folders: dict[Path, None] = dict.fromkeys(folder for place in places for folder in find_runs(place))
    damaged = 0
    for folder in folders:
        fault = damage(folder, digests=True)
        if fault:
            damaged += 1
            print(f"damaged: {folder}: {fault}")
    print(
        f"{len(folders) - damaged} sound, {damaged} damaged" + (" (their commands recompute them)" if damaged else "")
    )
    return 1 if damaged else 0
