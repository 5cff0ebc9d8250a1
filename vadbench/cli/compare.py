"""``compare RUN RUN``: two runs, by their folders or ids, with a paired interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vadbench.cli.commands import RUN_HELP, add_results, parser_of
from vadbench.report.comparison import compare, format_comparison
from vadbench.runs.find_run import find_run
from vadbench.runs.run_folder import plain


def run(argv: Sequence[str]) -> int:
    """``compare RUN RUN``: print the comparison; 0."""
    parser = parser_of(__doc__)
    parser.add_argument("first", help=RUN_HELP)
    parser.add_argument("second", help="another run on the same test videos")
    add_results(parser)
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples of the videos (2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the comparison there too")
    words = parser.parse_args(list(argv))
    first, second = (find_run(given, words.results) for given in (words.first, words.second))
    result = compare(first, second, words.resamples, words.seed)
    print(format_comparison(result))
    if words.json:
        words.json.write_text(json.dumps(plain(result), indent=1))
    return 0
