"""The keys of a protocol: the steps that raw scores go through, and what they make of it (conf/protocol/*.yaml).

What a protocol claims of itself is checked here against its steps, so that a false claim is a fault of the
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SkipValidation,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, StepConfig, check_part, setting, validator

Positive = Annotated[int, Field(ge=1)]

WHOLE_VIDEO = -1
"""The look-ahead of a step that uses the test video as a whole."""


def _has_default(value: dict[str, float]) -> dict[str, float]:
    if "default" not in value:
        raise ValueError("a value for each dataset needs the key 'default' for all others")
    return value


Frames = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PerDataset = Frames | Annotated[dict[str, Frames], AfterValidator(_has_default)]
"""A number of frames, or one for each dataset name with the key ``default`` for all others; fixed a priori."""

FIXED_SENTINELS = {"pad_0_1": "0 and 1", "pad_0_max": "0 and the largest float"}
"""Conventions of macro AUROC that pad every video with frames of fixed scores, and which."""


@dataclass(config=STRICT)
class AssumedClips:
    """The clips that a protocol was published with; a run with other ones gets a remark."""

    clip_length: Positive
    frame_step: Positive
    clip_stride: Positive
    target_frame: Literal["first", "mid", "last", "all"]


@dataclass(config=STRICT, kw_only=True)
class ProtocolConfig:
    """What is done to raw scores before a metric sees them (conf/protocol/*.yaml)."""

    name: str = setting(shown=False)
    version: Positive  # raised whenever a step changes, so that old numbers stay named
    source: str = setting(in_key=False)  # where the steps are from
    steps: list[SkipValidation[Any]]  # each is checked against the step that it names, by vadbench.config.schema
    macro: Literal["skip", "pad_needed", "pad_all", "one", "pad_0_1", "pad_0_max"]  # videos of a single class
    # What the steps and macro make of it, checked against them.
    causal: bool = setting(shown=False)  # a frame's score uses no later frame
    looks_at_whole_video: bool = setting(shown=False)  # it uses the test video as a whole
    uses_test_labels: bool = setting(shown=False)  # an oracle
    shift_invariant: bool = setting(default=True, in_key=False)  # a constant added to all scores changes no number
    note: str = setting(default="", in_key=False)  # what a reader of its numbers should know
    assumes: AssumedClips | None = setting(default=None, in_key=False)  # for methods that score clips
    card: bool = setting(default=False, in_key=False)  # print the numbers under every protocol, not only write them

    @field_validator("causal", "looks_at_whole_video", "uses_test_labels", "shift_invariant")
    @classmethod
    def _is_true(cls, value: bool, info: ValidationInfo) -> bool:
        steps: list[Any] = info.data.get("steps", [{}])
        if "macro" not in info.data or any(isinstance(step, Mapping | str) for step in steps):
            return value  # they are wrong themselves, which is said of them
        ahead = [steps_ahead(steps, name) for name in _datasets(steps)]
        truth = {
            "causal": all(frames == 0 for frames in ahead),
            "looks_at_whole_video": WHOLE_VIDEO in ahead,
            "uses_test_labels": any(_facts(step).get("uses_test_labels") for step in steps),
            "shift_invariant": not sees_zeros(steps) and info.data["macro"] not in FIXED_SENTINELS,
        }[str(info.field_name)]
        if value != truth:
            key, said = info.field_name, str(truth).lower()
            makers = "steps and macro" if key == "shift_invariant" else "steps"
            raise ValueError(
                f"the {makers} of protocol {info.data.get('name')!r} make it {said}: say so (++protocol.{key}={said})"
            )
        return value


def check_protocol(values: Any, where: tuple[str | int, ...] = ()) -> tuple[ProtocolConfig | None, list[Any]]:
    """Return the typed protocol, or None, and everything that is wrong with it, as pydantic has it."""
    typed, errors = values, []
    if isinstance(values, Mapping) and isinstance(values.get("steps"), list):
        steps = []
        for number, given in enumerate(values["steps"]):
            step, found = check_part("protocol_step", given, ("steps", number), StepConfig, "kind")
            steps.append(step)
            errors += found
        typed = {**values, "steps": steps}
    try:
        config = validator(ProtocolConfig).validate_python(typed)
    except ValidationError as error:
        errors += error.errors()
    errors = [{**found, "loc": (*where, *found["loc"])} for found in errors]
    return (None if errors else config), errors


def steps_ahead(steps: Sequence[Any], dataset: str = "default") -> int:
    """Return how many later frames a score depends on after ``steps``; WHOLE_VIDEO (-1) if on all of them."""
    ahead = [look_ahead(step, dataset) for step in steps]
    return WHOLE_VIDEO if WHOLE_VIDEO in ahead else sum(ahead)


def look_ahead(step: Any, dataset: str) -> int:
    """Return how many later frames a frame's score depends on; WHOLE_VIDEO where nobody says."""
    said = _facts(step).get("look_ahead")
    return WHOLE_VIDEO if said is None else int(said(step, dataset))


def sees_zeros(steps: Sequence[Any]) -> bool:
    """Return whether a step sees zeros beyond the ends of a video, on some dataset: they mean nothing unless 0 is a
    score's lowest value."""
    pads = [(step, _facts(step).get("pads_with_zeros")) for step in steps]
    return any(said(step, name) for step, said in pads if said is not None for name in _datasets(steps))


def value_for(value: PerDataset, dataset: str) -> float:
    """Return the number for a dataset, by its name or ``default``."""
    return float(value.get(dataset, value["default"]) if isinstance(value, dict) else value)


def _facts(step: Any) -> Mapping[str, Any]:
    return registry.get("protocol_step", step.kind).facts


def _datasets(steps: Sequence[Any]) -> set[str]:
    """Every dataset name that a step knows, and ``default``."""
    names = {"default"}
    for step in steps:
        names.update(getattr(step, "datasets", None) or [])
        for value in vars(step).values():
            names.update(value if isinstance(value, dict) else [])
    return names
