"""What each switch of AI-VAD changes, over one extraction of every stream: writes results/tables/ai_vad_switches.md.

python scripts/reproduce_ai_vad_switches.py: embedded synthetic clips, untrained networks; a few minutes on a laptop.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import yaml

from vadbench.config.compose import compose
from vadbench.data.registry import load_dataset
from vadbench.experiment.fit_and_score import Scored, score_dataset
from vadbench.models.registry import build
from vadbench.store.features import FeatureStore

STREAMS = ("velocity", "pose", "deep", "total")


def main() -> None:
    """The first row extracts; every other row is compared with it."""
    logging.basicConfig(level=logging.ERROR)
    study = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    store = FeatureStore("results/cache")
    lines = [
        study["text"].strip(),
        "",
        "| switch | velocity | pose | deep | total | frame score | extracted |",
        "|---" * 7 + "|",
    ]
    base = None
    for words in study["rows"]:
        before = store.counts.misses
        scored = score(study["words"] + words.split(), store)
        base = base or scored
        cells = [f"`{words}`" if words else "(none)", *changes(base, scored), str(store.counts.misses - before)]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    Path("results/tables/ai_vad_switches.md").write_text("\n".join(lines) + "\n")


def score(words: list[str], store: FeatureStore) -> Scored:
    """Fit and score what the overrides ``words`` describe."""
    config = compose(words)
    return score_dataset(build(config), load_dataset(config.dataset), store)


def changes(base: Scored, scored: Scored) -> list[str]:
    """Mean change of each column of the region table and of the frame scores; "off" where a stream is off."""
    regions = [[r.regions[name].to_numpy() for r in s.scores] for s in (base, scored) for name in STREAMS]
    pairs = [(np.concatenate(regions[i]), np.concatenate(regions[i + len(STREAMS)])) for i in range(len(STREAMS))]
    pairs.append((np.concatenate([r.scores for r in base.scores]), np.concatenate([r.scores for r in scored.scores])))
    return [
        "off" if np.isnan(b).all() else "same" if (a == b).all() else f"{np.abs(a - b).mean():.3g}" for a, b in pairs
    ]


if __name__ == "__main__":
    main()
