"""The keys that every run has, and those that all datasets and all backbones have: types, bounds and defaults.

This module knows nothing of Hydra: it turns a plain mapping into a checked :class:`RunConfig`, and collects everything
that is wrong into one message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig, check_keys, check_part, keys_of, marked, setting
from vadbench.config.protocol_keys import ProtocolConfig, check_protocol
from vadbench.config.schema_errors import describe
from vadbench.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]  # a file, a folder or a URL; ~ is the user's home
# In a YAML file a bare off is false.
PixelMethod = Annotated[
    Literal["exact", "histogram", "off"], BeforeValidator(lambda value: "off" if value is False else value)
]
Triple = tuple[float, float, float]
Ids = list[Annotated[str, BeforeValidator(str)]]  # ids of videos; a bare number is one too


@dataclass(config=STRICT, kw_only=True)
class BackboneConfig(PartConfig):
    """What every backbone has: how clips are cut and frames prepared for a frozen network or filter bank."""

    layer: str = setting(default="", shown=False)  # default layer, taken where model.layer is null
    # pretrained, random, or a path to a checkpoint; None for filter banks, which have none.
    weights: str | None = setting(default=None, shown=False)
    clip_length: Positive = 16  # frames in a clip; of a filter bank: maps
    # Frames between the frames of a clip; of a filter bank: between the two frames of a map, and between maps.
    frame_step: Positive = 1
    clip_stride: Positive = 8  # frames from one clip to the next
    size: tuple[Positive, Positive] | None = None  # (height, width) that frames are resized to; None: as they are
    mean: Triple | None = None
    std: Triple | None = None
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: faster where supported, features differ by 1 %
    # What runs a network; features agree up to rounding. auto: openvino where it is installed and pays, else eager.
    engine: Literal["auto", "eager", "openvino", "compile"] = "auto"
    options: dict[str, float | int | str | bool] = field(default_factory=dict)  # of a filter bank
    # antialiased: as torchvision resizes floats; linear: without averaging. Absent in older records.
    resize: Literal["area_or_linear", "antialiased", "linear"] = "area_or_linear"


@dataclass(config=STRICT, kw_only=True)
class DatasetConfig(PartConfig):
    """What every dataset has; the framework applies all of it but root and masks_root."""

    root: str | None = setting(default=None, in_key=False)  # folder of the dataset, or one above it
    masks_root: str | None = setting(default=None, in_key=False)  # where labels and masks are, if not under root
    # A damaged frame, a missing mask, labels that don't fit: stop, or go on (with the frame before) and record that.
    on_fault: Literal["error", "skip"] = "error"
    train_videos: Ids | None = None  # ids or globs, such as [01,02] or ['0*']; None: all
    test_videos: Ids | None = None
    max_frames: Positive | None = None  # of each video, for a quick look; None: all
    max_pixels: Positive = 67108864  # bound on the pixels of one frame
    max_video_frames: Positive = 500000  # bound on the frames of one video


@dataclass(config=STRICT)
class RuntimeConfig:
    """Where and how fast; a result is the same up to rounding, no more, so that records say it and keys don't."""

    device: str = "auto"  # auto: the first GPU if there is one, else the CPU; or cpu, cuda, cuda:1
    # Clips or images through a network at once. None: on a CPU 1, on a GPU by its memory: 16 up to 24 GiB, 32 up to 48,
    # else 64.
    batch_size: Positive | None = None
    threads: Positive | None = None  # None: torch's own choice
    progress: Literal["auto", "on", "off"] = "auto"  # auto: only on a terminal


@dataclass(config=STRICT)
class TrackingConfig:
    """Where runs are mirrored."""

    name: Literal["mlflow", "none"] = "mlflow"
    uri: str | None = None  # None: as MLFLOW_TRACKING_URI says, else SQLite under results/tracking
    experiment: str | None = None  # None: the name of the dataset
    run_name: str | None = None  # of a run, or of a sweep as a whole; None: made of its settings


@dataclass(config=STRICT, kw_only=True)
class StoreConfig:
    """The feature store."""

    path: Place | None = setting(in_key=False)  # folder or fsspec URL; None: results/cache
    dtype: Literal["float32", "float16"]
    # Bound of its size, unused for longest goes first; None: none.
    max_gb: Annotated[float, Field(gt=0)] | None = setting(default=None, in_key=False)
    local: Place | None = setting(default=None, in_key=False)  # local copy of a URL; None: in the user's cache folder


@dataclass(config=STRICT, kw_only=True)
class EvaluationConfig:
    """How metrics are computed."""

    pixels: PixelMethod | None = None  # None: histogram in a sweep, else exact


@dataclass(config=STRICT, kw_only=True)
class RunConfig:
    """One run. What a part may be configured with is checked by :func:`check`, against the part that is named."""

    model: SkipValidation[Any]
    dataset: SkipValidation[Any]
    protocol: SkipValidation[ProtocolConfig]
    runtime: RuntimeConfig = setting(in_key=False)
    tracking: TrackingConfig = setting(in_key=False)
    store: StoreConfig
    seed: Annotated[int, Field(ge=0)]
    results: Place = setting(in_key=False)
    on_existing: Literal["skip", "same_code", "rerun", "error"] = setting(in_key=False)
    regions_from_maps: bool
    backbone: SkipValidation[Any] = setting(default=None, in_key=False, shown=True)  # the key has the extractor's spec
    density: SkipValidation[Any] = None
    regions: SkipValidation[Any] = None
    flow: SkipValidation[Any] = None
    launcher: SkipValidation[Any] = setting(default=None, in_key=False)
    # How exactly numbers are computed; absent in older records.
    evaluation: EvaluationConfig = setting(default_factory=EvaluationConfig, in_key=False)


PARTS = ("model", "dataset", "backbone", "density", "launcher")
"""Keys of a run's configuration that name a part; each is its kind."""

BASES: dict[str, type] = {"dataset": DatasetConfig, "backbone": BackboneConfig}
"""Keys that all parts of a kind have beside ``name``."""

_CORE: dict[str, type] = {"runtime": RuntimeConfig, "tracking": TrackingConfig}
_TYPED: dict[str, type] = {"store": StoreConfig, "protocol": ProtocolConfig}

_RUN = TypeAdapter(RunConfig)


def check(values: Mapping[str, Any]) -> RunConfig:
    """Return the typed configuration of ``values``; ConfigError that lists everything that is wrong with it."""
    typed, errors = dict(values), []
    for kind in PARTS:
        if typed.get(kind) is not None:
            typed[kind], found = check_part(kind, typed[kind], (kind,), BASES.get(kind, PartConfig))
            errors += found
    for group, keys in _groups_of(values.get("model")).items():
        if typed.get(group) is not None:
            typed[group], found = check_keys(keys, typed[group], (group,))
            errors += found
    if "protocol" in typed:
        protocol, found = check_protocol(typed["protocol"], ("protocol",))
        typed["protocol"] = protocol
        errors += found
    try:
        config = _RUN.validate_python(typed)
    except ValidationError as error:
        errors += error.errors()
    if errors:
        raise ConfigError("\n".join(describe(errors, values)))
    return config


def checked_part(kind: str, values: Mapping[str, Any]) -> Any:
    """Return the typed configuration of one part; ConfigError that lists everything that is wrong with it."""
    typed, errors = check_part(kind, values, (kind,), BASES.get(kind, PartConfig))
    if errors:
        raise ConfigError("\n".join(describe(errors, {kind: values})))
    return typed


def keys_in(group: str, name: str) -> type | None:
    """Return the dataclass of the keys of ``group=name``; None where there is none, as of ``experiment``."""
    if group in PARTS:
        part = registry.find(group, name)
        return None if part is None else keys_of(part, BASES.get(group, PartConfig))
    return _CORE.get(group) or _of_models().get(group)


def without(values: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """Return a plain configuration without the keys that are declared with ``mark`` ("in_key", "shown") False."""
    left_out = marked(RunConfig, mark)
    return {name: _without(name, given, mark) for name, given in values.items() if name not in left_out}


def _without(group: str, given: Any, mark: str) -> Any:
    if not isinstance(given, Mapping):
        return given
    keys = _TYPED.get(group) or keys_in(group, str(given.get("name")))
    if keys is None:  # such as a part of a plug-in that is not loaded now
        keys = BASES.get(group, PartConfig) if group in PARTS else object
    return {name: value for name, value in given.items() if name not in marked(keys, mark)}


def no_settings() -> tuple[str, ...]:
    """Return the keys that say where a run lies and what does it, and not what it is, such as "store.path"."""
    return (*sorted(marked(RunConfig, "shown")), *(f"store.{key}" for key in sorted(marked(StoreConfig, "shown"))))


def _of_models() -> dict[str, type]:
    """Return the groups that single models have, such as the regions of AI-VAD."""
    return {name: keys for part in registry.parts("model") for name, keys in part.facts.get("groups", {}).items()}


def _groups_of(model: Any) -> Mapping[str, type]:
    """Return the groups that a model alone has, such as the regions of AI-VAD, by name."""
    part = registry.find("model", str(model.get("name"))) if isinstance(model, Mapping) else None
    groups: Mapping[str, type] = part.facts.get("groups", {}) if part else {}
    return groups
