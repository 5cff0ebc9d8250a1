"""Complete runs as a table, and the table that ends a sweep: markdown, CSV or LaTeX, even while runs go on."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vadbench.errors import DataError, nearest
from vadbench.report.rows import ENDS, HEADLINES, TOO_WIDE, Row, Spread, rows
from vadbench.runs.find_run import run_folders
from vadbench.runs.run_folder import RunFolder, holds_run
from vadbench.runs.sweep_record import read_sweep
from vadbench.untrusted import printable

_LONGEST_CELL = 200
# What GitHub's markdown reads as markup; an underscore inside a word, as in names, is none.
_MARKUP = re.compile(r"[\\|`*<~]|\](?=\()|(?<![^\W_])_|_(?![^\W_])")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders below ``folder``: of a results folder, a part of it, one run, or the points of a sweep."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Give a results folder, a part of it, or a sweep folder.")
    if (folder / "run.json").is_file():
        return [folder]
    if (folder / "sweep.json").is_file():
        keys = {point["fingerprint"] for point in read_sweep(folder)["points"]}
        return [path for path in run_folders(folder.absolute().parents[1]) if path.name in keys]
    root = folder / "runs" if (folder / "runs").is_dir() else folder
    return sorted(path.parent for path in root.rglob("run.json") if holds_run(path.parent))


def sweep_table(folders: Sequence[RunFolder], points: Sequence[Mapping[str, Any]]) -> str:
    """Return the points of a sweep: complete ones as a table, then every other one with its state, reason and log."""
    parts = []
    found = rows([folder.path for folder in folders])
    if found:
        parts.append(format_rows(found, "markdown", None))
    open_points = [point for point in points if point["state"] != "complete"]
    if open_points:
        lines = [f"{len(open_points)} of {len(points)} points are not complete:", ""]
        cells = [["state", "point", "reason", "log"]]
        cells += [[p["state"], p["label"], _one_line(p.get("reason", "")), p.get("log", "")] for p in open_points]
        parts.append("\n".join(lines) + "\n" + _markdown(cells))
    return "\n".join(parts).rstrip("\n")


def format_rows(found: Sequence[Row], how: str, metrics: Sequence[str] | None) -> str:
    """``found`` as text, one of markdown, csv, latex; ``metrics`` None takes the usual ones (csv: all)."""
    present = list(dict.fromkeys(name for row in found for name in row.metrics))
    if metrics is None:
        usual = (*HEADLINES, *dict.fromkeys(name for row in found for name in row.outside))
        metrics = present if how == "csv" else [name for name in usual if name in present] or present
    for name in metrics:
        if name not in present:
            raise DataError(f"--metrics {name}: no run has it. {nearest(name, present)}")
    table = _wide(found, metrics) if how == "csv" else _narrow(found, metrics)
    text = FORMATS[how]([[_one_line(cell) for cell in row] for row in table])
    if how == "csv":
        return text
    repeats = sum(len(row.left_out) for row in found)
    if how == "markdown" and repeats:
        runs = "1 run is" if repeats == 1 else f"{repeats} runs are"
        text += f"\n{runs} not counted: the same seed again, or another seed of a method that does not use it.\n"
    if how == "markdown" and (mixed := [row for row in found if len(row.sources) > 1]):
        sources = "; ".join(dict.fromkeys(source for row in mixed for source in row.sources))
        text += f"\n† seeds from several states of the source ({sources}); on_existing=same_code makes them alike.\n"
    return text


def _narrow(found: Sequence[Row], metrics: Sequence[str]) -> list[list[str]]:
    """Header and rows for people: names that are empty in all rows are left out."""
    names = [key for key in found[0].names if any(row.names[key] for row in found)]
    settings = list(found[0].settings)
    header = [
        *names,
        *(_short(key, settings) for key in settings),
        "data",
        "n",
        *(m.replace("_", " ") for m in metrics),
    ]
    table = [header]
    for row in found:
        cells = [_shouted(key, row.names[key]) for key in names]
        cells += [*row.settings.values(), row.data, f"{len(row.seeds)}{'†' * (len(row.sources) > 1)}"]
        cells += [_cell(row.metrics.get(name), len(row.seeds), name not in row.outside) for name in metrics]
        table.append(cells)
    return table


def _wide(found: Sequence[Row], metrics: Sequence[str]) -> list[list[str]]:
    """Header and rows for programs: every number in a column of its own, unrounded."""
    fields = ("mean", "sd", "n", *ENDS)
    columns = [f"{m}.{f}" for m in metrics for f in fields]
    header = [*found[0].names, *found[0].settings, "data", "seeds", "sources", *columns]
    table = [header]
    for row in found:
        numbers = [getattr(row.metrics.get(name, Spread(math.nan, math.nan, 0)), f) for name in metrics for f in fields]
        cells = [*row.names.values(), *row.settings.values(), row.data, " ".join(map(str, row.seeds))]
        cells.append("; ".join(row.sources))
        table.append(cells + ["" if value != value else repr(value) for value in numbers])
    return table


def _cell(spread: Spread | None, seeds: int, is_share: bool) -> str:
    """``is_share``: of a metric in [0, 1], for which there is a width that is too wide."""
    if spread is None or spread.n == 0:
        return "-"
    text = f"{spread.mean:.4f}"
    if spread.n > 1:
        text += f" ± {spread.sd:.4f}"
    elif not math.isnan(spread.ci_low):
        text += f" [{spread.ci_low:.3f}, {spread.ci_high:.3f}]"
        text += " (too wide to mean much)" if is_share and spread.ci_high - spread.ci_low > TOO_WIDE else ""
    return text if spread.n == seeds else f"{text} (n={spread.n})"


def _shouted(key: str, text: str) -> str:
    """Random weights are never mistaken for a method's own."""
    return text.replace("random", "RANDOM") if key == "weights" else text


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the last part of a key where that is enough to tell it from the others."""
    leaf = key.rpartition(".")[2]
    return leaf if sum(k.rpartition(".")[2] == leaf for k in keys) == 1 else key


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", printable(text)).strip()[:_LONGEST_CELL]


def _markdown(table: Sequence[Sequence[str]]) -> str:
    cells = [[_MARKUP.sub(r"\\\g<0>", cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines) + "\n"


def _latex(table: Sequence[Sequence[str]]) -> str:
    escaped = [[_escaped(cell) for cell in row] for row in table]
    # After a line's end a bracket would be its optional argument.
    lines = [("{}" if row[0].startswith(("[", "*")) else "") + " & ".join(row) + r" \\" for row in escaped]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(table[0])}}}", *body, r"\end{tabular}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def _csv(table: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_no_formula(cell) for cell in row] for row in table)
    return out.getvalue()


def _no_formula(cell: str) -> str:
    """Return ``cell``, quoted where a spreadsheet would run it as a formula; a number is none."""
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
    return cell


FORMATS: dict[str, Callable[[Sequence[Sequence[str]]], str]] = {
    "markdown": _markdown,
    "csv": _csv,
    "latex": _latex,
}
