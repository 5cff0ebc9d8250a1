"""The keys of a protocol: the steps that raw scores go through, and what they make of it (conf/protocol/*.yaml).

What a protocol claims of itself is checked here against its steps, so that a false claim is a fault of the
configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", validate_default=True)

Positive = Annotated[int, Field(ge=1)]

WHOLE_VIDEO = -1
"""The look-ahead of a step that uses the test video as a whole."""


def _has_default(value: dict[str, float]) -> dict[str, float]:
    if "default" not in value:
        raise ValueError("a value for each data set needs the key 'default' for all others")
    return value


Frames = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PerDataset = Frames | Annotated[dict[str, Frames], AfterValidator(_has_default)]
"""A number of frames, or one for each data set name with the key ``default`` for all others; fixed a priori."""


@dataclass(config=_STRICT)
class GaussianStep:
    """Gaussian smoothing along time, cut at 4 sigma, mirrored at the ends."""

    kind: Literal["gaussian"]
    sigma: PerDataset  # frames; 0: none
    window: Literal["both", "past"] = "both"  # past: only frames that have been seen, so it is causal
    over: Literal["video", "all_videos"] = "video"  # all_videos: across clip boundaries, as one published code does


@dataclass(config=_STRICT)
class GaussianTapsStep:
    """A Gaussian of a fixed number of taps with zeros beyond the ends, so that scores sag there."""

    kind: Literal["gaussian_taps"]
    taps: PerDataset
    sigma: PerDataset


@dataclass(config=_STRICT)
class MedianStep:
    """Median filter along time with zeros beyond the ends."""

    kind: Literal["median"]
    size: Positive  # odd

    @field_validator("size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the filter has a middle")
        return value


@dataclass(config=_STRICT)
class MinMaxStep:
    """Scores scaled to [0, 1] by their own extremes; a constant video becomes 0."""

    kind: Literal["minmax"]
    over: Literal["video", "all_videos"]
    datasets: list[str] | None = None  # only on these; None: on all


@dataclass(config=_STRICT)
class DropStep:
    """Leave out the first and the last frames of each video."""

    kind: Literal["drop"]
    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0


@dataclass(config=_STRICT)
class SubsampleStep:
    """Keep frames start, start + every, start + 2 every, ... of each video."""

    kind: Literal["subsample"]
    start: Annotated[int, Field(ge=0)]
    every: Positive


@dataclass(config=_STRICT)
class OracleGaussianStep:
    """Gaussian smoothing with the sigma that is best on the test labels: an oracle, to show what tuning would gain."""

    kind: Literal["oracle_gaussian"]
    sigmas: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    over: Literal["video", "all_videos"] = "video"


ProtocolStep = Annotated[
    GaussianStep | GaussianTapsStep | MedianStep | MinMaxStep | DropStep | SubsampleStep | OracleGaussianStep,
    Field(discriminator="kind"),
]


FIXED_SENTINELS = {"pad_0_1": "0 and 1", "pad_0_max": "0 and the largest float"}
"""Conventions of macro AUROC that pad every video with frames of fixed scores, and which."""


@dataclass(config=_STRICT)
class AssumedClips:
    """The clips that a protocol was published with; a run with other ones gets a remark."""

    clip_length: Positive
    frame_step: Positive
    clip_stride: Positive
    target_frame: Literal["first", "mid", "last", "all"]


@dataclass(config=_STRICT)
class ProtocolConfig:
    """What is done to raw scores before a metric sees them (conf/protocol/*.yaml)."""

    name: str
    version: Positive  # raised whenever a step changes, so that old numbers stay named
    source: str  # where the steps are from
    steps: list[ProtocolStep]
    macro: Literal["skip", "pad_needed", "pad_all", "one", "pad_0_1", "pad_0_max"]  # videos of a single class
    # What the steps and macro make of it, checked against them.
    causal: bool  # a frame's score uses no later frame
    looks_at_whole_video: bool  # it uses the test video as a whole
    uses_test_labels: bool  # an oracle
    shift_invariant: bool = True  # a constant added to all scores changes no number
    note: str = ""  # what a reader of its numbers should know
    assumes: AssumedClips | None = None  # for methods that score clips
    card: bool = False  # print the numbers under every protocol, not only write them

    @field_validator("causal", "looks_at_whole_video", "uses_test_labels", "shift_invariant")
    @classmethod
    def _is_true(cls, value: bool, info: ValidationInfo) -> bool:
        if not {"steps", "macro"} <= info.data.keys():  # they are wrong themselves, which is said of them
            return value
        steps: list[ProtocolStep] = info.data["steps"]
        ahead = [steps_ahead(steps, name) for name in _datasets(steps)]
        truth = {
            "causal": all(frames == 0 for frames in ahead),
            "looks_at_whole_video": WHOLE_VIDEO in ahead,
            "uses_test_labels": any(isinstance(step, OracleGaussianStep) for step in steps),
            "shift_invariant": not sees_zeros(steps) and info.data["macro"] not in FIXED_SENTINELS,
        }[str(info.field_name)]
        if value != truth:
            key, said = info.field_name, str(truth).lower()
            makers = "steps and macro" if key == "shift_invariant" else "steps"
            raise ValueError(
                f"the {makers} of protocol {info.data.get('name')!r} make it {said}: say so (++protocol.{key}={said})"
            )
        return value


def steps_ahead(steps: Sequence[ProtocolStep], dataset: str = "default") -> int:
    """How many later frames a score depends on once it went through ``steps``; WHOLE_VIDEO (-1) if on all of them."""
    ahead = [look_ahead(step, dataset) for step in steps]
    return WHOLE_VIDEO if WHOLE_VIDEO in ahead else sum(ahead)


def look_ahead(step: ProtocolStep, dataset: str) -> int:
    """How many later frames a frame's score depends on; WHOLE_VIDEO if it depends on all of them."""
    if isinstance(step, GaussianStep):
        if step.over == "all_videos":
            return WHOLE_VIDEO
        return 0 if step.window == "past" else int(4 * value_for(step.sigma, dataset) + 0.5)
    if isinstance(step, GaussianTapsStep):
        return round(value_for(step.taps, dataset)) // 2
    if isinstance(step, MedianStep):
        return step.size // 2
    if isinstance(step, MinMaxStep):
        return WHOLE_VIDEO if step.datasets is None or dataset in step.datasets else 0
    if isinstance(step, OracleGaussianStep):
        return WHOLE_VIDEO if step.over == "all_videos" else int(4 * max(step.sigmas) + 0.5)
    return 0


def sees_zeros(steps: Sequence[ProtocolStep]) -> bool:
    """Whether a step sees zeros beyond the ends of a video, which mean nothing unless 0 is a score's lowest value, on
    some data set."""
    return any(_pads_with_zeros(step, name) for step in steps for name in _datasets(steps))


def value_for(value: PerDataset, dataset: str) -> float:
    """The number for a data set, by its name or ``default``."""
    return float(value.get(dataset, value["default"]) if isinstance(value, dict) else value)


def _pads_with_zeros(step: ProtocolStep, dataset: str) -> bool:
    if isinstance(step, GaussianTapsStep):
        return round(value_for(step.taps, dataset)) > 1 and value_for(step.sigma, dataset) > 0
    return isinstance(step, MedianStep) and step.size > 1


def _datasets(steps: Sequence[ProtocolStep]) -> set[str]:
    """Every data set name that a step knows, and ``default``."""
    names = {"default"}
    for step in steps:
        names.update(getattr(step, "datasets", None) or [])
        for value in (getattr(step, "sigma", None), getattr(step, "taps", None)):
            names.update(value if isinstance(value, dict) else [])
    return names
