"""Protocols by name: loading and checking their YAML, and applying one to raw scores.

A protocol may rank frames anew, leave frames out and say how macro AUROC treats videos of one class. It never touches
the raw scores themselves: :func:`apply` returns new arrays.

Shape legend: T frames of a video, K of them kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from vadbench.config import OracleGaussianStep, ProtocolConfig
from vadbench.errors import ConfigError, nearest
from vadbench.evaluation.inputs import each_video
from vadbench.evaluation.steps import WHOLE_VIDEO, Kept, look_ahead, pads_with_zeros, run_step
from vadbench.paths import CONF

Protocol = ProtocolConfig
"""Name, version, source, steps, convention of macro AUROC, and what kind of liberty it takes with the test set."""

_FIXED_SENTINELS = {"pad_0_1": "0 and 1", "pad_0_max": "0 and the largest float"}

_ADAPTER = TypeAdapter(ProtocolConfig)


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
    names = sorted(path.stem for path in (CONF / "protocol").glob("*.yaml") if path.stem != "all")
    return sorted(names, key=lambda name: (load_protocol(name).uses_test_labels, name != "raw"))


@cache
def load_protocol(name: str) -> Protocol:
    """The protocol of conf/protocol/<name>.yaml; ConfigError with the nearest names, or with what is wrong in it."""
    known = sorted(path.stem for path in (CONF / "protocol").glob("*.yaml"))
    if name not in known:
        raise ConfigError(
            f"Unknown protocol {name!r}. {nearest(name, known)} "
            f"To add one, put a file beside {CONF / 'protocol' / 'raw.yaml'}."
        )
    path = CONF / "protocol" / f"{name}.yaml"
    return parse_protocol(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def parse_protocol(values: Any, where: str = "protocol") -> Protocol:
    """A checked protocol from a mapping as YAML holds it; ConfigError says what is wrong and ``where``."""
    try:
        protocol = _ADAPTER.validate_python(values)
    except ValidationError as error:
        lines = [f"{where}: {'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from None
    check_claims(protocol, where)
    return protocol


def load_protocols(names: str | Sequence[str] = "all") -> list[Protocol]:
    """Protocols by name; ``"all"`` is every one."""
    wanted = [names] if isinstance(names, str) else list(names)
    return [load_protocol(n) for name in wanted for n in (protocol_names() if name == "all" else [name])]


def check_claims(protocol: Protocol, where: str = "protocol") -> None:
    """ConfigError unless what the protocol claims of itself is what its steps do on some data set: causal,
    looks_at_whole_video, uses_test_labels and shift_invariant."""
    ahead = [frames_ahead(protocol, name) for name in _datasets(protocol)]
    truth = {
        "causal": all(frames == 0 for frames in ahead),
        "looks_at_whole_video": any(frames == WHOLE_VIDEO for frames in ahead),
        "uses_test_labels": any(isinstance(step, OracleGaussianStep) for step in protocol.steps),
        "shift_invariant": not _zeros(protocol) and protocol.macro not in _FIXED_SENTINELS,
    }
    for key, value in truth.items():
        if getattr(protocol, key) != value:
            raise ConfigError(
                f"{where}: {key}={getattr(protocol, key)}, but the steps and macro={protocol.macro} of "
                f"{protocol.name!r} make it {value}."
            )


def blank_reason(
    protocol: Protocol, scores_by_video: Mapping[str, Any], average: Literal["micro", "macro"] = "micro"
) -> str | None:
    """Why a number of ``protocol`` means nothing for these raw scores; None if it has its meaning.

    A protocol that pads videos with fixed scores takes 0 for the lowest score. With negative scores its numbers depend
    on any constant added to them: all numbers where a step pads, macro AUROC alone where only its convention does.
    """
    if _zeros(protocol):
        how = "zeros beyond the ends of each video"
    elif average == "macro" and protocol.macro in _FIXED_SENTINELS:
        how = f"frames of score {_FIXED_SENTINELS[protocol.macro]} for macro AUROC"
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
    """How many later frames a score depends on; WHOLE_VIDEO (-1) if on all of them."""
    ahead = [look_ahead(step, dataset) for step in protocol.steps]
    return WHOLE_VIDEO if WHOLE_VIDEO in ahead else sum(ahead)


def apply(
    protocol: Protocol,
    scores_by_video: Mapping[str, Any],
    labels_by_video: Mapping[str, Any],
    dataset: str | None = None,
    frames_by_video: Mapping[str, Any] | None = None,
) -> Applied:
    """Raw scores ``(T,)`` and labels ``(T,)`` by video under ``protocol``; the inputs are left as they are.

    ``dataset`` picks values that are fixed for a data set; an unknown one or None gets the default.
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


def _zeros(protocol: Protocol) -> bool:
    """Whether a step pads with zeros on some data set."""
    return any(pads_with_zeros(step, name) for step in protocol.steps for name in _datasets(protocol))


def _datasets(protocol: Protocol) -> set[str]:
    """Every data set name that a step of the protocol knows, and ``default``."""
    names = {"default"}
    for step in protocol.steps:
        names.update(getattr(step, "datasets", None) or [])
        for value in (getattr(step, "sigma", None), getattr(step, "taps", None)):
            names.update(value if isinstance(value, dict) else [])
    return names
