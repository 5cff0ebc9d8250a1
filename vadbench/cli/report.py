"""``report RUN``: one HTML file with numbers, baselines, curves, settings, data and caveats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vadbench.cli.commands import RUN_HELP, add_results, parser_of
from vadbench.errors import StoreError
from vadbench.files import write_atomically
from vadbench.report.pages import page
from vadbench.runs.find_run import find_run


def run(argv: Sequence[str]) -> int:
    """``report RUN``: write the page, print where it is; 0."""
    parser = parser_of(__doc__)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_results(parser)
    parser.add_argument("--out", type=Path, help="where to write it (RUN/report.html)")
    words = parser.parse_args(list(argv))
    folder = find_run(words.run, words.results)
    out = words.out or folder / "report.html"
    content = page(folder)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise StoreError(f"{out} can't be written ({error.strerror}). --out FILE writes the page elsewhere.") from error
    print(out)
    return 0
