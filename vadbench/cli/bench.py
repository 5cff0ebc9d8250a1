"""``bench [--peer PYTHON]``: what FUVAS costs on this machine, held against the machine and against anomalib."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vadbench.bench.machine import constants, description
from vadbench.bench.sides import PEER, SIZES, Measured, Side, compare, largest_difference
from vadbench.cli.commands import parser_of
from vadbench.errors import ConfigError
from vadbench.runs.provenance import source_version

# Multiply-adds of x3d_s up to blocks.4 for a clip of 13 frames at 256 x 256, counted over its convolutions.
_GFLOP_A_CLIP = 9.9


def run(argv: Sequence[str]) -> int:
    """Measure, print the table, write it where wanted; 0."""
    parser = parser_of(__doc__)
    parser.add_argument("--peer", metavar="PYTHON", help="the Python of an environment with anomalib 2.7.0")
    parser.add_argument("--peer-first", type=Path, metavar="FILE", help="Python file that PYTHON imports first")
    parser.add_argument("--repetitions", type=int, default=3, help="of every command; the least CPU time counts (3)")
    parser.add_argument("--side", action="append", default=[], metavar="NAME=OVERRIDES", help="measure these sides")
    parser.add_argument("--out", type=Path, help="write the table there too (markdown)")
    given = parser.parse_args(argv)
    if given.repetitions < 1:
        raise ConfigError("--repetitions: at least 1")
    sides = [_side(text) for text in given.side] or default_sides()
    peer = None
    if given.peer:
        sides.insert(0, Side(PEER, None))
        peer = [given.peer, "-c", _starter(given.peer_first)]
    figures = constants()
    with tempfile.TemporaryDirectory(prefix="vadbench_bench_") as name:
        measured = compare(sides, given.repetitions, Path(name), peer)
    text = as_markdown(figures, sides, measured, given.repetitions)
    print(text)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n")
    return 0


def default_sides() -> list[Side]:
    """Return the reference, the default engine, and the fastest precision."""
    return [
        Side("vadbench eager", ("backbone.engine=eager",)),
        Side("vadbench", ()),
        Side("vadbench bfloat16", ("backbone.precision=bfloat16",)),
    ]


def as_markdown(
    figures: Mapping[str, float], sides: Sequence[Side], measured: Mapping[str, Measured], repetitions: int
) -> str:
    """Return the page: machine, constants, costs of a clip with ratios, phases."""
    first, largest = measured[sides[0].name], SIZES[max(SIZES)]
    floor = _GFLOP_A_CLIP / figures["float32 matrix product, GFLOP/s"]
    lines = [
        "# What FUVAS costs: x3d_s, 13 frames at 256 x 256, a clip at every frame",
        "",
        "Fit and evaluation of generated videos in the layout of UCSD Ped2, the same weights and clips on every side,",
        f"sides in turns, one thread each. CPU seconds of whole commands; the least of {repetitions}. Costs of a clip",
        f"are slopes between {SIZES[min(SIZES)]} and {largest} clips. Written by `python -m vadbench bench`.",
        "",
        f"{description()}; {time.strftime('%Y-%m-%d')}, commit {(source_version()['git_sha'] or 'unknown')[:7]}.",
        "",
        "| this machine, one thread | |",
        "|---|---|",
        *(f"| {name} | {value:.3g} |" for name, value in figures.items()),
        f"| floor of a clip by float32 matrix products, s | {floor:.3f} |",
        "",
        "| side | CPU s a clip | ratio | floor / cost | "
        f"CPU s, {largest} clips: least to most | peak MB | scores differ from the first side by |",
        "|---|---|---|---|---|---|---|",
    ]
    for side in sides:
        one = measured[side.name]
        whole = sorted(each.cpu for each in one.costs[max(SIZES)])
        cells = (
            side.name,
            f"{one.per_clip():.3f}",
            f"{first.per_clip() / one.per_clip():.2f}",
            f"{floor / one.per_clip():.2f}",
            f"{whole[0]:.1f} to {whole[-1]:.1f}",
            f"{one.peak_mb():.0f}",
            f"{largest_difference(first, one):.1e}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    ours = [side for side in sides if measured[side.name].phases]
    if ours:
        names = list(measured[ours[0].name].phases)
        lines += ["", f"Wall seconds by phase, last run of {largest} clips:", ""]
        lines += ["| side | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for side in ours:
            phases = measured[side.name].phases
            lines.append(f"| {side.name} | " + " | ".join(f"{phases.get(name, 0):.1f}" for name in names) + " |")
    lines += [
        "",
        *(f"`{side.name}`: {' '.join(side.overrides) or 'defaults'}  " for side in sides if side.overrides is not None),
    ]
    return "\n".join(lines)


def _side(text: str) -> Side:
    name, equals, overrides = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--side {text!r}: NAME=OVERRIDES, such as --side 'no cache=store.dtype=float16'")
    return Side(name, tuple(overrides.split()))


def _starter(first: Path | None) -> str:
    from vadbench.bench import peer

    before = f"sys.path.insert(0, {str(first.resolve().parent)!r}); __import__({first.stem!r}); " if first else ""
    return f"import runpy, sys; {before}runpy.run_path({peer.__file__!r}, run_name='__main__')"
