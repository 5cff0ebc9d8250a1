"""``evaluate SCORES --labels LABELS``: scores of any method under every protocol, with all that was assumed.

Shape legend: T frames of a clip.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from vadbench.errors import ConfigError, DataError
from vadbench.evaluation.compute import Evaluation, evaluate
from vadbench.evaluation.inputs import as_labels, as_scores
from vadbench.evaluation.intervals.metric_entry import INTERVAL_HEADS, interval_cells, note_lines
from vadbench.evaluation.metrics.frame import frame_auroc, micro
from vadbench.evaluation.protocols.card import format_card
from vadbench.evaluation.protocols.protocol import load_protocol
from vadbench.evaluation.score_files.align import Aligned, align
from vadbench.evaluation.score_files.known_sets import INVERTED, recognise
from vadbench.evaluation.score_files.numbering import counted_from_0, labels_of_intervals, read_intervals
from vadbench.evaluation.score_files.read import has_labels, read_values
from vadbench.runs.run_folder import plain
from vadbench.untrusted import printable

EXAMPLES = """\
examples:
  python -m vadbench evaluate results/runs/synthetic/fuvas/32b203ca3ed2b204 --protocol all
  python -m vadbench evaluate scores.csv --labels labels.csv --protocol all
  python -m vadbench evaluate scores.csv --labels intervals.csv --intervals from_1_inclusive
  python -m vadbench evaluate dump.npz --array arr_4 --labels frame_labels.npy --offset 4 --direction lower
  python -m vadbench evaluate folder_of_npy --labels UCSDped2.m --json out.json
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"evaluate: {message}. See: python -m vadbench evaluate --help")


def run(argv: Sequence[str]) -> int:
    """Run the command ``evaluate``: print the evaluation of a score file, write JSON where asked; return the status."""
    words = _parser().parse_args(list(argv))
    result, text = exam(words)
    print(printable(text))
    if words.json:
        out = Path(words.json)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(plain(result), indent=1) + "\n", encoding="utf-8")
        print(f"written: {out}")
    return 0


def exam(words: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the evaluation as a JSON-able mapping (but for NaN) and as text."""
    aligned = _read(words)
    dataset = words.dataset or aligned.dataset
    primary = load_protocol(words.protocol)
    orientation = _orientation(aligned, words.direction)
    found = evaluate(
        aligned.scores,
        aligned.labels,
        primary=primary,
        protocols="all" if primary.card and aligned.clips_known else [],
        dataset=dataset,
        filled_by_video=aligned.filled,
        frames_by_video=aligned.frames,
        resamples=words.resamples,
        seed=words.seed,
    )
    result = _result(words, aligned, found, dataset) | {"orientation": orientation}
    return result, _text(result, found)


def _result(words: argparse.Namespace, aligned: Aligned, found: Evaluation, dataset: str | None) -> dict[str, Any]:
    """Return what is written as JSON, but for the orientation."""
    labels = list(aligned.labels.values())
    complete = not aligned.absent and aligned.n_labelled == sum(y.size for y in labels)
    return {
        "schema": 1,
        "scores": words.scores,
        "direction": words.direction,
        "dataset": dataset,
        "labels": {
            "source": words.labels or words.scores,
            "digest": found.frame_label_digest,
            "n_anomalous": int(sum(y.sum() for y in labels)),
            "recognised": recognise(labels),
        },
        "coverage": {
            "clips": len(aligned.scores),
            "clips_absent": aligned.absent,
            "frames_labelled": aligned.n_labelled,
            "frames_scored": found.coverage["frames"] - found.coverage["filled"],
            "frames_filled": found.coverage["filled"],
            "partial": not complete,
        },
        "notes": aligned.notes,
        "primary": found.metrics["frame_auroc_micro"]["protocol"],
        "metrics": found.metrics,
        "baselines": found.baselines,
        "per_video": found.per_video.to_dict("records"),
        "card": found.card,
    }


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m vadbench evaluate",
        description="Scores of any method under any protocol: coverage, orientation, intervals, baselines, card.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scores", help=".csv or .parquet (video, frame, score), .npz, a folder of .npy, or a flat .npy or .txt")
    add(
        "--labels",
        help="the same forms with a column label, a table video,start,end, UCSD's .m or .mat, Avenue's masks; "
        "default: in SCORES",
    )
    add(
        "--intervals",
        choices=["from_0_half_open", "from_1_inclusive"],
        default="from_0_half_open",
        help="how start and end are meant where LABELS is a table video,start,end (default %(default)s)",
    )
    add("--protocol", default="raw", help="raw (default), any other by name, or all: raw and the protocol card")
    add("--direction", choices=["higher", "lower"], default="higher", help="which scores are more anomalous")
    add("--anomalous-label", type=int, choices=[0, 1], default=1, help="which label means anomalous (default 1)")
    add("--array", help="which array of an .npz is the flat list of scores")
    add("--labels-array", help="which array of an .npz is the flat list of labels")
    add("--lengths", help="clip lengths of flat lists: 180,150,... or a .json (file.json:key.key), .npy or .txt")
    add("--offset", type=int, default=0, help="how many first frames of every clip have no score")
    add(
        "--missing",
        choices=["drop", "fill"],
        default="drop",
        help="frames without a score: dropped, or the nearest",
    )
    add("--dataset", help="name, for protocols that differ by dataset (default: by the clip lengths, if known)")
    add("--json", metavar="OUT", help="write everything to this file")
    add("--resamples", type=int, default=2000, help="of the bootstrap over clips")
    add("--seed", type=int, default=0)
    return parser


def _read(words: argparse.Namespace) -> Aligned:
    if words.offset < 0:
        raise ConfigError(f"--offset {words.offset}: the number of frames that lack a score is 0 or more.")
    if words.labels is None and not has_labels(words.scores):
        raise ConfigError(f"--labels is needed: {words.scores} holds no column of labels.")
    scores = read_values(words.scores, "score", words.array)
    lengths = _lengths(words.lengths) if words.lengths else None
    notes: list[str] = []
    source, one_based = Path(words.labels or words.scores), words.intervals == "from_1_inclusive"
    intervals = read_intervals(source, one_based) if words.labels else None
    if intervals:
        scores, labels = labels_of_intervals(intervals, scores, one_based, words.offset, notes)
    else:
        labels = read_values(source, "label", words.labels_array)
        scores, labels = counted_from_0(scores, labels, words.offset, notes)
    aligned = align(scores, labels, lengths, words.offset, words.missing)
    aligned.notes[:0] = notes
    if not aligned.scores:
        raise DataError(f"{words.scores}: none of the {len(aligned.absent)} labelled clips has scores.")
    for clip, y in aligned.labels.items():
        aligned.scores[clip] = as_scores(aligned.scores[clip], clip)
        aligned.labels[clip] = as_labels(y, y.size, clip) == (words.anomalous_label == 1)
    if words.direction == "lower":
        _turn(aligned)
    return aligned


def _turn(aligned: Aligned) -> None:
    """High scores become anomalous: max − s over all clips, which is the same whatever constant was added to s.

    It is never negative, so it has its meaning under every protocol (−s has not, and 1 − s only in [0, 1]).
    """
    every = np.concatenate(list(aligned.scores.values()))
    largest = every.max()
    with np.errstate(over="ignore"):
        turned = largest - every
    if not np.isfinite(turned).all():
        raise DataError(f"--direction lower: scores from {every.min():g} to {largest:g} can't be turned; rescale them.")
    aligned.scores = {clip: largest - s for clip, s in aligned.scores.items()}
    aligned.notes.append("scores turned round: max - s")
    before, after = np.unique(every).size, np.unique(turned).size
    if after < before:
        aligned.notes.append(
            f"turning made scores equal: {before} different scores became {after}, for 64 bits can't hold the "
            "largest and the smallest differences together. Give their logarithms to tell them apart."
        )


def _lengths(text: str) -> list[int]:
    """Clip lengths from the command line or from a file."""
    name, _, key = text.partition(":")
    path = Path(name)
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
            for part in key.split(".") if key else []:
                found = found[part]
            return [int(n) for n in found]
        if path.suffix == ".npy":
            return [int(n) for n in np.load(path, allow_pickle=False).ravel()]
        if path.suffix == ".txt":
            text = path.read_text(encoding="utf-8")
        return [int(n) for n in text.replace(",", " ").split()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--lengths {text}: no list of clip lengths ({type(error).__name__}: {error}).") from None


def _orientation(aligned: Aligned, direction: str) -> dict[str, Any]:
    """Micro AUROC as given and the other way round; a warning if the other way is better. Nothing is flipped."""
    value = micro(frame_auroc, aligned.scores, aligned.labels)
    other = "higher" if direction == "lower" else "lower"
    warning = None
    if value < 0.5:
        warning = (
            f"the opposite orientation scores better (AUROC {1 - value:.4f}, against {value:.4f} as given): are "
            f"{other} scores more anomalous, or are the labels inverted? Nothing was flipped; see --direction {other}"
        )
    return {"auroc": value, "auroc_opposite": 1 - value, "warning": warning}


def _text(result: dict[str, Any], found: Evaluation) -> str:
    coverage, labels = result["coverage"], result["labels"]
    scored, all_frames = coverage["frames_scored"], coverage["frames_labelled"]
    lines = [
        f"scores    {result['scores']} ({result['direction']} is more anomalous)",
        f"labels    {labels['source']}: {labels['n_anomalous']} of {scored + coverage['frames_filled']} frames "
        f"anomalous, digest {labels['digest'][:12]}",
        f"          {labels['recognised'] or 'not the labels of a known test set'}",
        f"coverage  {scored} of {all_frames} labelled frames scored ({100 * scored / max(all_frames, 1):.2f}%), "
        f"{coverage['frames_filled']} interpolated, {coverage['clips']} clips"
        + (", PARTIAL" if coverage["partial"] else ""),
    ]
    if coverage["clips_absent"]:
        lines.append(f"          clips without scores: {', '.join(coverage['clips_absent'])}")
    lines += [f"note      {note}" for note in result["notes"]]
    if labels["recognised"] and labels["recognised"].endswith(INVERTED):
        lines.append("WARNING   these labels are upside down: see --anomalous-label 0. Nothing was flipped")
    if result["orientation"]["warning"]:
        lines.append(f"WARNING   {result['orientation']['warning']}")
    lines += ["", f"protocol {result['primary']}"]
    entries = found.metrics | {f"baseline {k}": v for k, v in found.baselines.items()}
    lines[-1] = f"{lines[-1]:<30}" + "".join(f"{head:<18}" for head in ("value", *INTERVAL_HEADS)).rstrip()
    for name, entry in entries.items():
        cells = "".join(f"{cell:<18}" for cell in (_number(entry), *interval_cells(entry, 4)))
        lines.append(f"  {name:<28}{cells.rstrip()}{_undefined(entry)}")
    lines += [f"note      {note}" for note in note_lines(entries)]
    reasons = dict.fromkeys(entry["blank"] for entry in found.metrics.values() if "blank" in entry)
    lines += [f"  blank: {reason}" for reason in reasons]
    if found.card:
        lines += ["", "the same raw scores under every protocol (percent)", format_card(found.card)]
    return "\n".join(lines)


def _number(entry: dict[str, Any]) -> str:
    if math.isnan(entry["value"]):
        return "blank" if "blank" in entry else "undefined"
    return f"{entry['value']:.6f}"


def _undefined(entry: dict[str, Any]) -> str:
    clips = entry["undefined_videos"]
    return f"  (undefined on {len(clips)} clips of one class: {', '.join(clips)})" if clips else ""
