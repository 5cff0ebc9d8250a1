"""The protocol card: one table, the same raw scores under every protocol, and apart from them the oracles.

Shape legend: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from vadbench.config.protocol_keys import WHOLE_VIDEO
from vadbench.evaluation.intervals.bootstrap import bootstrap
from vadbench.evaluation.metrics.frame import average_precision, equal_error_rate, frame_auroc, macro, micro
from vadbench.evaluation.protocols import protocol as p

_NUMBERS = ("auroc_macro", "auroc_micro", "ci_low", "ci_high", "ap", "eer", "gain_over_raw")


def protocol_card(
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    dataset: str | None = None,
    protocols: Sequence[p.Protocol] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    frames_by_video: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """One JSON-able row a protocol, those that read the test labels last and with ``oracle`` True.

    Keys: protocol, version, oracle, auroc_micro, ci_low, ci_high, auroc_macro, macro (its convention), ap, eer,
    n_frames (kept), n_anomalous, share_kept, causal, frames_ahead (null: the whole video), chosen, gain_over_raw,
    source, note, assumes (the clips that it was published with, or null), blank (why numbers of the row mean nothing
    and are NaN, or None; see :func:`vadbench.evaluation.protocols.protocol.blank_reason`). ``gain_over_raw``: micro
    AUROC minus that of the raw scores, in every row. Undefined values are NaN.
    ``frames_by_video``: as :func:`vadbench.evaluation.apply`.
    """
    listed = list(protocols) if protocols is not None else p.load_protocols("all")
    raw = micro(frame_auroc, scores_by_video, labels_by_video)
    n_frames = sum(len(scores) for scores in scores_by_video.values())
    rows = []
    for protocol in sorted(listed, key=lambda q: q.uses_test_labels):
        applied = p.apply(protocol, scores_by_video, labels_by_video, dataset, frames_by_video)
        row = _row(protocol, applied, raw, n_frames, dataset, resamples, seed)
        all_blank = p.blank_reason(protocol, scores_by_video)
        macro_blank = p.blank_reason(protocol, scores_by_video, "macro")
        blank = _NUMBERS if all_blank else _NUMBERS[:1] if macro_blank else ()
        rows.append(row | dict.fromkeys(blank, float("nan")) | {"blank": all_blank or macro_blank})
    return rows


def _row(
    protocol: p.Protocol,
    applied: p.Applied,
    raw: float,
    n_frames: int,
    dataset: str | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    scores, labels = applied.scores, applied.labels
    found = bootstrap(frame_auroc, scores, labels, resamples, seed)
    kept = sum(s.size for s in scores.values())
    ahead = p.frames_ahead(protocol, dataset or "default")
    return {
        "protocol": protocol.name,
        "version": protocol.version,
        "oracle": protocol.uses_test_labels,
        "auroc_micro": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "auroc_macro": macro(frame_auroc, scores, labels, protocol.macro),
        "macro": protocol.macro,
        "ap": micro(average_precision, scores, labels),
        "eer": micro(equal_error_rate, scores, labels),
        "n_frames": kept,
        "n_anomalous": int(sum(y.sum() for y in labels.values())),
        "share_kept": kept / n_frames if n_frames else float("nan"),
        "causal": ahead == 0,
        "frames_ahead": None if ahead == WHOLE_VIDEO else ahead,
        "chosen": applied.chosen,
        "gain_over_raw": found.value - raw,
        "source": protocol.source,
        "note": protocol.note,
        "assumes": asdict(protocol.assumes) if protocol.assumes else None,
    }


def format_card(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the card as text, in percent; oracles stand apart under a line that says what they are."""
    honest = [row for row in rows if not row["oracle"]]
    oracles = [row for row in rows if row["oracle"]]
    text = _table(honest)
    if oracles:
        text += '\n\nTuned on the test labels (not results: what looking would have "gained" over raw)\n' + _table(
            oracles
        )
    for row in rows:
        if row["assumes"]:
            text += f"\n{row['protocol']} assumes {', '.join(f'{k}={v}' for k, v in row['assumes'].items())}"
    return text


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ["protocol", "micro AUROC", "95% interval", "vs raw", "macro AUROC", "macro rule", "AP", "EER"]
    columns += ["frames", "looks ahead"]
    cells = [
        [
            f"{row['protocol']} v{row['version']}" + "".join(f" {k}={v:g}" for k, v in row["chosen"].items()),
            _percent(row["auroc_micro"]),
            "none" if np.isnan(row["ci_low"]) else f"{_percent(row['ci_low'])}..{_percent(row['ci_high'])}",
            f"{100 * row['gain_over_raw']:+.2f}" if not np.isnan(row["gain_over_raw"]) else "n/a",
            _percent(row["auroc_macro"]),
            row["macro"],
            _percent(row["ap"]),
            _percent(row["eer"]),
            f"{row['n_frames']} ({100 * row['share_kept']:.0f}%)" if row["n_frames"] else "0",
            {None: "whole video", 0: "no"}.get(row["frames_ahead"], f"{row['frames_ahead']} frames"),
        ]
        for row in rows
    ]
    reasons = [f"\nn/a: {row['blank']}" for row in rows if row.get("blank")]
    return pd.DataFrame(cells, columns=columns).to_string(index=False) + "".join(reasons)


def _percent(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{100 * value:.2f}"
