"""``explain RUN --video ID --frame N``: which region and which stream made a score, with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vadbench.cli.commands import RUN_HELP, add_results, parser_of
from vadbench.report.explanation import draw, explain, load_frame
from vadbench.runs.find_run import find_run
from vadbench.untrusted import component, require_plain


def run(argv: Sequence[str]) -> int:
    """``explain RUN --video ID --frame N``: print the explanation, draw it, print where the picture is; 0."""
    parser = parser_of(__doc__)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_results(parser)
    parser.add_argument("--video", required=True, help="id of a test video")
    parser.add_argument("--frame", type=int, help="frame number, from 0; by default the one with the highest score")
    parser.add_argument("--top", type=int, default=8, help="regions to print and to draw (8)")
    parser.add_argument("--out", type=Path, help="picture to write (RUN/pictures/explain_VIDEO_FRAME.png)")
    parser.add_argument("--no-picture", action="store_true", help="print only; needs no frames")
    words = parser.parse_args(list(argv))
    folder = find_run(words.run, words.results)
    found = explain(folder, words.video, words.frame)
    print(found.sentence())
    if found.regions:
        shown = pd.DataFrame(found.regions[: words.top])
        print(shown.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    if len(found.regions) > words.top:
        print(f"... and {len(found.regions) - words.top} more (--top)")
    if not words.no_picture:
        out = words.out
        if out is None:
            require_plain(folder)
            out = folder / "pictures" / component(f"explain_{found.video}_{found.frame:04d}.png")
        draw(found, load_frame(folder, found.video, found.source), out, words.top)
        print(out)
    return 0
