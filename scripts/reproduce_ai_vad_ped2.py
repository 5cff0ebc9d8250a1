"""AI-VAD without pretrained networks on Ped2, a row for each setting: writes results/tables/ai_vad_ped2.md.

VADBENCH_YOLOX=yolox_nano.onnx python scripts/reproduce_ai_vad_ped2.py FOLDER_OF_UCSD; rows: the .yaml beside it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import yaml

from vadbench.config.compose import compose
from vadbench.data.registry import load_dataset
from vadbench.evaluation.metrics.frame import frame_auroc, macro, micro
from vadbench.evaluation.protocols.protocol import apply
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.registry import build
from vadbench.store.features import FeatureStore, keys_of

HEAD = "| setting | overrides | raw micro | micro | macro | empty frames | new outputs |"


def main() -> None:
    """One table for each group of rows; features are kept in results/cache, so a second time costs only the fits."""
    logging.basicConfig(level=logging.ERROR)
    study = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    common = [*study["words"], f"dataset.root={Path(sys.argv[1]).resolve()}"]
    store, seen = FeatureStore("results/cache"), set[str]()
    lines = [study["text"].strip()]
    for group in study["groups"]:
        lines += ["", f"## {group['name']}", "", group["text"].strip(), "", HEAD, "|---" * 7 + "|"]
        for name, words in group["rows"].items():
            lines.append(row(name, words.split(), [*common, *group.get("words", [])], store, seen))
            print(lines[-1], flush=True)
    Path("results/tables/ai_vad_ped2.md").write_text("\n".join(lines) + "\n")


def row(name: str, words: list[str], common: list[str], store: FeatureStore, seen: set[str]) -> str:
    """Fit and score one setting; AUROC raw and under its protocol; outputs whose keys are not in ``seen`` yet."""
    config = compose([*common, *words])
    dataset, detector = load_dataset(config.dataset), build(config)
    scored = score_dataset(detector, dataset, store)
    keys = {k for v in (*dataset.train, *dataset.test) for k in keys_of(detector.extractor, v, store.dtype).values()}
    new = len(keys - seen)
    seen |= keys
    raw, labels = {s.video: s.scores for s in scored.scores}, {v.id: v.labels for v in dataset.test}
    smooth = apply(config.protocol, raw, labels, dataset.name).scores
    found = micro(frame_auroc, raw, labels), micro(frame_auroc, smooth, labels), macro(frame_auroc, smooth, labels)
    cells = [name, f"`{' '.join(words)}`" if words else "", *(f"{value:.4f}" for value in found)]
    return f"| {' | '.join(cells)} | {scored.summary['frames_without_regions']} | {new} |"


if __name__ == "__main__":
    main()
