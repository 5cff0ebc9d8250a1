"""Protocols by name: loading and checking their YAML, and applying one to raw scores.

A protocol may rank frames anew, leave frames out and say how macro AUROC treats videos of one class. It never touches
the raw scores themselves: :func:`apply` returns new arrays.

Shape legend: T frames of a video, K of them kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import yaml

from vadbench.config.paths import CONF
from vadbench.config.protocol_keys import FIXED_SENTINELS, ProtocolConfig, check_protocol, sees_zeros, steps_ahead
from vadbench.config.schema_errors import describe
from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.inputs import each_video
from vadbench.evaluation.own_objects import name_of
from vadbench.evaluation.protocols.steps import Kept, run_step

Protocol = ProtocolConfig
"""Name, version, source, steps, convention of macro AUROC, and what kind of liberty it takes with the test set."""


@dataclass(frozen=True)
class Applied:
    """Scores under one protocol.

    Attributes
    ----------
    scores, labels: video id to ``float64 (K,)`` and ``bool (K,)``. frames: video id to the ``(K,)`` frame numbers kept.
    chosen: what an oracle step chose by the test labels, such as ``{"sigma": 5.0}``; else empty.
    """

    scores: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    chosen: dict[str, float]


def protocol_names() -> list[str]:
    """Names of all protocols that are not ``all``: the honest ones first, then the oracles."""
    names = [name for name in _packaged() if name != "all"]
    return sorted(names, key=lambda name: (load_protocol(name).uses_test_labels, name != "raw"))


def _packaged() -> list[str]:
    return sorted(path.stem for path in (CONF / "protocol").glob("*.yaml"))


@cache
def load_protocol(name: str) -> Protocol:
    """Return the protocol of conf/protocol/<name>.yaml; ConfigError with the nearest names, or with what is wrong in
    it."""
    if name not in _packaged():
        raise ConfigError(
            f"Unknown protocol {name!r}. {nearest(name, _packaged())} "
            f"To add one, put a file beside {CONF / 'protocol' / 'raw.yaml'}."
        )
    path = CONF / "protocol" / f"{name}.yaml"
    return parse_protocol(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def parse_protocol(values: Any, where: str = "protocol") -> Protocol:
    """Return a checked protocol from a mapping as YAML holds it; ConfigError says what is wrong and ``where``."""
    config, errors = check_protocol(values)
    if config is None:
        raise ConfigError("\n".join(f"{where}: {line}" for line in describe(errors, values)))
    return config


def named(protocol: Protocol) -> Protocol:
    """``protocol`` under the name that is shown: ``NAME (modified)`` where its steps or its convention of macro AUROC
    are not those of the packaged file NAME."""
    if protocol.name not in _packaged():
        return protocol
    original = load_protocol(protocol.name)
    if (protocol.steps, protocol.macro) == (original.steps, original.macro):
        return protocol
    return replace(protocol, name=f"{protocol.name} (modified)")


def effective(protocol: Protocol | str, post_processor: Any = True) -> Protocol:
    """Return what raw scores go through before a metric, under the name that is shown.

    ``post_processor``: True for ``protocol``, False for nothing, or an object of the user's own, which has its turn
    before and leaves nothing to do.
    """
    raw = load_protocol("raw")
    if post_processor is False:
        return raw
    if callable(post_processor):
        return replace(raw, name=f"post_processor {name_of(post_processor)}")
    return named(load_protocol(protocol) if isinstance(protocol, str) else protocol)


def load_protocols(names: str | Sequence[str] = "all") -> list[Protocol]:
    """Protocols by name; ``"all"`` is every one."""
    wanted = [names] if isinstance(names, str) else list(names)
    return [load_protocol(n) for name in wanted for n in (protocol_names() if name == "all" else [name])]


def blank_reason(
    protocol: Protocol, scores_by_video: Mapping[str, Any], average: Literal["micro", "macro"] = "micro"
) -> str | None:
    """Return why a number of ``protocol`` means nothing for these raw scores; None if it has its meaning.

    A protocol that pads videos with fixed scores takes 0 for the lowest score. With negative scores its numbers depend
    on any constant added to them: all numbers where a step pads, macro AUROC alone where only its convention does.
    """
    if sees_zeros(protocol.steps):
        how = "zeros beyond the ends of each video"
    elif average == "macro" and protocol.macro in FIXED_SENTINELS:
        how = f"frames of score {FIXED_SENTINELS[protocol.macro]} for macro AUROC"
    else:
        return None
    low = min((float(np.min(s)) for s in scores_by_video.values() if len(s)), default=0.0)
    if low >= 0:
        return None
    return (
        f"protocol {protocol.name} adds {how}, but scores go down to {low:.4g}: an added constant would change the "
        "numbers. Give scores of at least 0."
    )


def frames_ahead(protocol: Protocol, dataset: str = "default") -> int:
    """Return how many later frames a score depends on; WHOLE_VIDEO (-1) if on all of them."""
    return steps_ahead(protocol.steps, dataset)


def apply(
    protocol: Protocol,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    dataset: str | None = None,
    frames_by_video: Mapping[str, Any] | None = None,
) -> Applied:
    """Raw scores ``(T,)`` and labels ``(T,)`` by video under ``protocol``; the inputs are left as they are.

    ``dataset`` picks values that are fixed for a dataset; an unknown one or None gets the default.
    ``frames_by_video``: the rising frame numbers ``(T,)`` of the scores, where some of a video's frames have none (the
    first four, say); a step that drops frames means these numbers, so nothing is dropped twice.
    """
    videos = {}
    for video, scores, labels in each_video(scores_by_video, labels_by_video):
        frames = np.arange(scores.size) if frames_by_video is None else np.asarray(frames_by_video[video])
        videos[video] = Kept(scores, labels, frames, int(frames[-1]) + 1 if frames.size else 0)
    chosen: dict[str, float] = {}
    for step in protocol.steps:
        videos, found = run_step(step, videos, dataset or "default")
        chosen.update(found)
    return Applied(
        {video: kept.scores for video, kept in videos.items()},
        {video: kept.labels for video, kept in videos.items()},
        {video: kept.frames for video, kept in videos.items()},
        chosen,
    )
