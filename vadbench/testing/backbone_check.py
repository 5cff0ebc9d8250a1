"""Conformance of backbones.

Shape legend: N clips, C channels, T frames, t h w feature grid.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from vadbench.backbones.base import Backbone
from vadbench.config.compose import compose
from vadbench.config.schema import RunConfig
from vadbench.data.video import Video
from vadbench.errors import ConfigError, DataError
from vadbench.models.clips.extractor import ClipExtractor
from vadbench.models.registry import build
from vadbench.testing import made_up
from vadbench.testing.require import (
    is_close,
    one_kernel,
    require,
    require_close,
    require_finite,
    require_same,
    run_checks,
    unchanged,
)
from vadbench.testing.variants import variants, with_random_weights


def check_backbone(name: str, *overrides: str, fixed: Collection[str] = ()) -> list[str]:
    """Return what holds of a registered backbone. A network gets random weights: nothing is downloaded.

    Nonconformance where it does not: finite feature maps ``float32 (N, C, t, h, w)`` of every layer, the same to the
    bit for a seed, whatever the batch size and the order of the clips; inputs left as they are; a spec that names every
    key on which the features depend, and no batch size.

    Parameters
    ----------
    overrides: such as ``"backbone.size=[64,64]"``, as on the command line.
    fixed: keys such as ``"backbone.size"`` that are not varied.
    """
    words = ["model=clip_density", "dataset=synthetic", "runtime.device=cpu", f"backbone={name}", *overrides]
    config = with_random_weights(compose(words))
    with one_kernel():
        return run_checks(f"backbone {name!r}", lambda: _checks(config, fixed))


def _extractor(config: RunConfig, train: Iterable[Video]) -> ClipExtractor:
    extractor = build(config).extractor
    assert isinstance(extractor, ClipExtractor)
    extractor.prepare(tuple(train))
    return extractor


def _features(extractor: ClipExtractor, video: Video) -> dict[str, np.ndarray]:
    wanted = list(extractor.outputs())
    return {layer: arrays["features"] for layer, arrays in extractor.extract(video, wanted, {}).items()}


def _checks(config: RunConfig, fixed: Collection[str]) -> Iterable[str]:
    plan = config.backbone
    n_frames = (plan.clip_length - 1) * plan.frame_step + 1 + 2 * plan.clip_stride
    data = made_up.dataset(n_frames)
    video, train = data.train[0], data.train[:1]
    extractor = _extractor(config, train)
    specs = extractor.outputs()
    require(specs, "has no layers")
    require(json.dumps(specs), "spec is not JSON-able")
    assert isinstance(video.source, made_up.WritableFrames)
    with unchanged({"the frames that it is given": video.source.array}):
        features = _features(extractor, video)
    for layer, maps in features.items():
        require(maps.ndim == 5, f"the features of layer {layer!r} have the shape {maps.shape}, not (N, C, t, h, w)")
        require_finite(maps, (3, *maps.shape[1:]), f"the features of 3 clips in layer {layer!r}")
        require(maps.dtype == np.float32, f"the features of layer {layer!r} are {maps.dtype} and not float32")
    yield "finite feature maps float32 (N, C, t, h, w) of every clip"
    other = _extractor(config, train)
    require(other.outputs() == specs, "two backbones of one configuration have different specs")
    for layer, maps in _features(other, video).items():
        fault = "is not deterministic: two backbones with one seed give different features"
        require_same(features[layer], maps, fault)
    yield "the same features to the bit for a seed"
    larger = _extractor(replace(config, runtime=replace(config.runtime, batch_size=3)), train)
    require(larger.outputs() == specs, "the batch size is in the spec")
    for layer, maps in _features(larger, video).items():
        require_close(features[layer], maps, "depends on the batch size")
    yield "features that do not depend on the batch size"
    _check_calls(extractor, video)
    yield "changes none of its inputs, and clips do not depend on their order"
    for key, changed in variants(config, ("backbone",), fixed):
        _check_key(key, changed, video, specs, features)
    yield "no key that changes features and not the spec"


def _check_key(
    key: str, changed: RunConfig, video: Video, specs: dict[str, Any], features: dict[str, np.ndarray]
) -> None:
    try:
        extractor = _extractor(changed, (video,))
        made = _features(extractor, video)
    except (ConfigError, DataError):
        return  # a value that the key can't have beside the others
    for layer, spec in extractor.outputs().items():
        if specs.get(layer) == spec:
            fault = f"the key {key} changes the features but not the spec that they are stored under (Backbone.spec)"
            require(is_close(features[layer], made[layer]), fault)


def _check_calls(extractor: ClipExtractor, video: Video) -> None:
    """Frames and clips are not written into, and clips that come in another order have the same features."""
    backbone: Backbone = extractor.backbone
    prepared = [np.array(extractor.pre_processor(frame)) for frame in video.frames()]
    before, step, length = [frame.copy() for frame in prepared], extractor.plan.step, extractor.plan.length
    frames = [
        backbone.per_frame(frame, prepared[number - step] if number >= step else None)
        for number, frame in enumerate(prepared)
    ]
    require_same(before, prepared, "changes its inputs: the frames that it is given")
    starts = extractor.plan.starts(len(frames))
    clips = np.stack([np.stack([frames[start + j * step] for j in range(length)]) for start in starts])
    copied = clips.copy()
    forward = backbone(clips)
    require_same(copied, clips, "changes its inputs: the clips that it is given")
    for layer, maps in backbone(clips[::-1].copy()).items():
        require_close(np.asarray(forward[layer])[::-1], maps, "depends on the order of the clips")
