"""Conformance of protocol steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.config.parts import StepConfig, check_part
from vadbench.config.protocol_keys import WHOLE_VIDEO, look_ahead
from vadbench.config.schema_errors import describe
from vadbench.errors import ConfigError
from vadbench.evaluation.protocols.steps import Kept, Videos, run_step
from vadbench.testing import made_up
from vadbench.testing.require import require_close, require_finite, require_same, run_checks, unchanged


def check_protocol_step(step: str | Mapping[str, Any], dataset: str = "made_up") -> list[str]:
    """Return what holds of a protocol step: its name, or a mapping with ``kind`` and keys, as ``protocol.steps`` has.

    Nonconformance where it does not: a finite score for each frame that is kept, the same at every call, inputs left
    as they are, and no later frame used than ``look_ahead`` says. ``dataset``: for values that depend on its name.
    """
    values = {"kind": step} if isinstance(step, str) else dict(step)
    config, errors = check_part("protocol_step", values, ("step",), StepConfig, "kind")
    if errors:
        raise ConfigError("\n".join(describe(errors, {"step": values})))
    part = registry.get("protocol_step", config.kind)
    return run_checks(f"protocol step {config.kind!r}", lambda: _checks(part, config, dataset))


def _checks(part: registry.Part, config: Any, dataset: str) -> Iterable[str]:
    scores, labels = made_up.scores()
    videos = {v: Kept(scores[v], labels[v], np.arange(scores[v].size), scores[v].size) for v in scores}
    if not part.facts.get("whole"):
        for video, values in scores.items():
            with unchanged({f"the scores of {video}": values}):
                made = part.build(config, values, dataset)
            require_finite(made, values.shape, f"the scores of {video}")
    with unchanged({f"the scores of {v}": kept.scores for v, kept in videos.items()}):
        after, _ = run_step(config, videos, dataset)
    for video, kept in after.items():
        require_finite(kept.scores, kept.frames.shape, f"the scores of {video}")
        require_same(kept.labels, labels[video][kept.frames], f"the labels of {video} are not those of its frames")
    yield "a finite score for each frame that is kept"
    yield "changes none of its inputs"
    again, _ = run_step(config, videos, dataset)
    for video, kept in after.items():
        require_same(kept.scores, again[video].scores, "is not deterministic: two calls give different scores")
    yield "deterministic"
    ahead = look_ahead(config, dataset)
    if ahead != WHOLE_VIDEO and not part.facts.get("uses_test_labels"):
        _looks_ahead(config, videos, after, dataset, ahead)
        yield f"uses at most {ahead} later frames, as it says"


def _looks_ahead(config: Any, videos: Videos, after: Videos, dataset: str, ahead: int) -> None:
    """Require that the scores of frames more than ``ahead`` before a change stay as they are."""
    changed = {}
    for video, kept in videos.items():
        scores = kept.scores.copy()
        scores[-5:] *= 3
        changed[video] = Kept(scores, kept.labels, kept.frames, kept.n_frames)
    other, _ = run_step(config, changed, dataset)
    for video, kept in after.items():
        before = kept.frames < kept.n_frames - 5 - ahead
        fault = f"says that a score depends on at most {ahead} later frames, and it depends on later ones"
        require_close(kept.scores[before], other[video].scores[before], fault)
