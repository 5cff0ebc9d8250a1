"""Clip features of a frozen backbone and any density: one vector for a clip, or one for each location of its map.

Shape legend: T frames, N clips, C channels, t h w feature grid, L = h w locations, D feature size of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.backbones.base import Backbone
from vadbench.config.schema import BackboneConfig
from vadbench.data.video import Video
from vadbench.density.base import BaseDensityEstimator, Remember
from vadbench.density.state import State, joined, part
from vadbench.errors import ConfigError, one_of
from vadbench.files import drop_pages
from vadbench.models.base import Features, VideoScores
from vadbench.models.clips.extractor import ClipExtractor, ClipPlan, PreProcessor
from vadbench.models.clips.keys import ClipDensityConfig, ClipKeys, without_effect
from vadbench.models.clips.to_frames import (
    FILLS,
    TARGETS,
    ClipMaps,
    check_reduction,
    clip_weights,
    frames_ahead,
    reduce,
)
from vadbench.models.one_class import OneClassMethod
from vadbench.models.registry import ModelRun

UNITS = ("clip", "location", "patch")


class ClipDensity(OneClassMethod):
    """A density of the clip features of normal videos; how unlikely a clip is makes the score of its frames.

    Parameters
    ----------
    density: what is fitted; the raw scores count, not calibrated ones.
    backbone: name of a registered one, a BackboneConfig, or an object that follows ``vadbench.backbones.base.Backbone``
        (then ``clip`` says how clips are cut for it).
    layer: any node of the network; None takes the backbone's default.
    pre_trained: True for the publisher's weights, False for random ones; ``weights`` overrides it with a path.
    spatial_pool: average-pool the feature map in space; False flattens first and pools over the flat vector, which
        leaves no locations unless the kernel is 1.
    pooling_kernel_size: 1 pools nothing.
    pre_processor: True resizes and normalises by the backbone's recipe, False passes frames as they are, an object of
        your own is called on each ``uint8 (H, W, 3)`` frame and needs a ``spec()``.
    post_processor, evaluator, visualizer: read by the evaluation: True for its own, False for none, or your own object,
        called as :func:`vadbench.experiment.run.run` says, which takes them too.
    unit: what one vector is. "clip": the flattened features of a clip, ``(C t h w,)``; "location": those of one
        location, ``(C t,)``, with one density for each location; "patch": the same with one density for all.
    clip: which frames make a clip; None takes the backbone's recipe.
    target_frame: which frame a clip's score belongs to (first, mid, last, all).
    fill: how other frames get theirs (nearest, linear, hold), see :func:`vadbench.models.clips.to_frames.clip_weights`.
    score_reduction: the score of a clip from its map, see :func:`vadbench.models.clips.to_frames.reduce`. Whole clips
        have a map only if the density says what each location adds (principal components do).
    shots: number of training clips, drawn with ``seed``; None takes all.
    short_videos: "error" or "pad", for videos shorter than a clip.
    weights: "pretrained", "random" or a path; None decides by ``pre_trained``.
    device, batch_size: where and how the backbone runs; they change no result beyond rounding.
    """

    method_version = 1  # raised when scores change at the same features and density

    def __init__(
        self,
        density: BaseDensityEstimator,
        backbone: str | BackboneConfig | Backbone = "x3d_s",
        layer: str | None = None,
        pre_trained: bool = True,
        spatial_pool: bool = True,
        pooling_kernel_size: int = 1,
        pre_processor: bool | Callable[[np.ndarray], np.ndarray] = True,
        post_processor: Any = True,
        evaluator: Any = True,
        visualizer: Any = True,
        *,
        unit: str = "clip",
        clip: ClipPlan | None = None,
        target_frame: str = "mid",
        fill: str = "linear",
        score_reduction: str = "sum",
        shots: int | None = None,
        short_videos: str = "error",
        weights: str | None = None,
        seed: int = 0,
        device: str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        for key, number in (("pooling_kernel_size", pooling_kernel_size), ("shots", shots)):
            if number is not None and number < 1:
                raise ConfigError(f"{key}={number}: at least 1")
        self.density = density
        self.spatial_pool = spatial_pool
        self.pooling_kernel_size = pooling_kernel_size
        self.unit = one_of("unit", unit, UNITS)
        self.target_frame = one_of("target_frame", target_frame, TARGETS)
        self.fill = one_of("fill", fill, FILLS)
        self.score_reduction = check_reduction(score_reduction)
        self.shots = shots
        self.seed = seed
        self.post_processor = post_processor
        self.evaluator = evaluator
        self.visualizer = visualizer
        self._check_unit()
        backbone, clip, default, weights_name = _resolve(backbone, layer, pre_trained, weights, clip, seed, device)
        if pre_processor is True:
            pre_processor = default
        elif pre_processor is False:
            # Networks still need floats in [0, 1]; filter banks take the bytes.
            floats = default.mean is not None
            pre_processor = (
                PreProcessor(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) if floats else PreProcessor(None, None, None)
            )
        self.clip = clip
        self.layer = backbone.layers[0]
        self.extractor = ClipExtractor(backbone, clip, pre_processor, batch_size, short_videos, weights_name)
        self._shape: tuple[int, ...] | None = None  # (C, t, h, w) of the training clips
        self._groups: dict[str, int] = {}
        self._training_clips = 0

    @property
    def needs_one_size(self) -> bool:
        """True if frames reach the backbone in their own size, so that all must have one."""
        pre_processor = self.extractor.pre_processor
        return isinstance(pre_processor, PreProcessor) and pre_processor.size is None

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores: of the shots, of random weights, or of the density."""
        return self.shots is not None or self.extractor.weights_name == "random" or self.density.uses_seed

    @property
    def result_version(self) -> int:
        """Raised when scores change at the same configuration and features, with that of the density."""
        return self.method_version + self.density.result_version - 1

    @property
    def result_note(self) -> str:
        """What changed when the version was last raised."""
        return self.density.result_note

    @property
    def frames_ahead(self) -> int:
        """How many later frames the score of a frame can depend on."""
        return frames_ahead(self.clip, self.target_frame, self.fill)

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Fit the density to the training clips, each video a group of its own.

        ``features``: video id to layer to ``{"features": (N, C, t, h, w)}``. ``remember``: where parts of the fit are
        kept between fits that differ in what they do not depend on, see :meth:`fit_spec`.
        """
        self._shape = None
        self._groups = {video: group for group, video in enumerate(sorted(features))}
        maps = self._training_maps(features)
        groups = np.repeat(list(maps), [len(m) for m in maps.values()])
        self._training_clips = len(groups)
        if self.unit == "clip":
            self.density.learn([m.reshape(len(m), -1) for m in maps.values()], groups, remember)
        elif self.unit == "patch":
            patches = []
            for m in maps.values():
                patches.append(_patches(m))
                drop_pages(m)
            positions = len(patches[0]) // len(next(iter(maps.values())))
            self.density.learn(patches, np.repeat(groups, positions), remember)
        else:
            memoized = remember if self.density.fit_spec() is not None else None
            self.density.fit_cells(_all_cells(list(maps.values())), groups, memoized)
        for m in maps.values():
            drop_pages(m)

    def fit_spec(self) -> dict[str, Any]:
        """Return what the memoized parts of a fit depend on beside the features: nothing that is done to scores."""
        shots = None if self.shots is None else [self.shots, self.seed]
        pooling = [self.spatial_pool, self.pooling_kernel_size]
        unit = {} if self.unit == "clip" else {"unit": self.unit}
        return {**(self.density.fit_spec() or {}), "layer": self.layer, "pooling": pooling, "shots": shots, **unit}

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """Score every clip of ``video`` and bring the scores to frames.

        ``remember`` keeps what a density can share between fits.
        """
        return self._score(video, features[self.layer], None, remember)

    def score_training(
        self, video: Video, features: Mapping[str, Features], remember: Remember | None = None
    ) -> VideoScores:
        """Score a video of the fit as if it had never been seen, in the way of the density; maps may be missing."""
        return self._score(video, features[self.layer], self._groups[video.id], remember)

    def _score(self, video: Video, arrays: Features, group: int | None, remember: Remember | None) -> VideoScores:
        if self._shape is None:
            raise RuntimeError("fit before you score")
        self._check_shape(video.id, arrays["features"].shape[1:])
        clip_scores, energy = self._clip_scores(self._pooled(arrays["features"]), group, remember)
        drop_pages(arrays["features"])
        weights, filled = self._weights(video, arrays)
        maps = None
        if energy is not None and (self.spatial_pool or self.pooling_kernel_size == 1):
            maps = ClipMaps(energy.astype(np.float32), weights)
        return VideoScores(video.id, weights @ clip_scores, filled, maps)

    def _clip_scores(
        self, maps: np.ndarray, group: int | None, remember: Remember | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return scores ``float64 (N,)`` of clips and, where there are any, their maps ``float64 (N, h, w)``."""
        n, (h, w) = len(maps), maps.shape[3:]
        energy: np.ndarray | None
        if self.unit == "location":
            cells = _cells(maps)
            raw = self.density.raw_cells(cells) if group is None else self.density.raw_cells_without(group, cells)
            energy = raw.T.reshape(n, h, w)
        elif self.unit == "patch":
            patches = _patches(maps)
            raw = self.density.raw(patches) if group is None else self.density.raw_without(group, patches, remember)
            energy = raw.reshape(n, h, w)
        else:
            rows = maps.reshape(n, -1)
            if group is not None and self.score_reduction in ("sum", "mean"):
                positions = h * w if self.score_reduction == "mean" else 1
                return self.density.raw_without(group, rows, remember) / positions, None
            energy = self.density.location_energy(rows, maps.shape[1:], remember)
            if energy is None:
                return self.density.raw(rows), None
        return reduce(energy, self.score_reduction), energy

    def frame_maps(self, video: Video, clip_maps: np.ndarray) -> ClipMaps:
        """Return score maps of the frames of ``video`` from those of its clips, ``float32 (N, h, w)``; needs no fit."""
        starts = self.clip.starts(video.n_frames) if len(clip_maps) > 1 else np.zeros(1, np.int64)
        return ClipMaps(clip_maps, self._weights(video, {"starts": starts})[0])

    def summary(self) -> dict[str, Any]:
        """Return what the fit found."""
        return {
            "learning_type": self.learning_type.value,
            "unit": self.unit,
            "training_clips": self._training_clips,
            **self.density.summary(),
            "target_frame": self.target_frame,
            "fill": self.fill,
        }

    def state(self) -> State:
        """Return the fit: arrays and JSON-able values."""
        values = {"shape": self._shape, "training_clips": self._training_clips}
        return joined({"density": self.density.state(), "clips": State({}, values)})

    def load_state(self, state: State) -> None:
        """Take over the fit of a detector with the same settings."""
        values = part(state, "clips").values
        self._shape, self._training_clips = tuple(values["shape"]), values["training_clips"]
        self._groups = {}
        self.density.load_state(part(state, "density"))

    def _training_maps(self, features: Mapping[str, Mapping[str, Features]]) -> dict[int, np.ndarray]:
        """Return the pooled maps of each group, ``(n_i, C, t, h, w)``: ``shots`` clips of them."""
        for video in self._groups:
            self._check_shape(video, features[video][self.layer]["features"].shape[1:])
        maps = [features[video][self.layer]["features"] for video in self._groups]
        n_clips = sum(len(m) for m in maps)
        if self.shots is None:
            return {group: self._pooled(m) for group, m in enumerate(maps)}
        if self.shots > n_clips:
            raise ConfigError(f"model.shots={self.shots}, but there are only {n_clips} training clips")
        chosen = np.random.default_rng(self.seed).choice(n_clips, self.shots, replace=False)
        taken = np.zeros(n_clips, dtype=bool)
        taken[chosen] = True
        parts = np.split(taken, np.cumsum([len(m) for m in maps])[:-1])
        return {g: self._pooled(m[kept]) for g, (m, kept) in enumerate(zip(maps, parts, strict=True)) if kept.any()}

    def _weights(self, video: Video, arrays: Features) -> tuple[np.ndarray, np.ndarray]:
        """Clips to frames, and which frames are filled."""
        return clip_weights(np.asarray(arrays["starts"]), self.clip, video.n_frames, self.target_frame, self.fill)

    def _check_unit(self) -> None:
        """Refuse settings that leave nothing of the map that they ask for."""
        flat = not self.spatial_pool and self.pooling_kernel_size > 1
        if flat and self.unit != "clip":
            raise ConfigError(
                f"unit={self.unit}: spatial_pool=false with pooling_kernel_size={self.pooling_kernel_size} pools over "
                "the flat vector and leaves no locations. Take unit=clip, or spatial_pool=true."
            )
        if self.unit == "clip" and self.score_reduction != "sum" and not self.density.has_location_energy:
            raise ConfigError(
                f"score_reduction={self.score_reduction}: this density gives one score for a whole clip and no map. "
                "Take score_reduction=sum, unit=location or patch, or density=pca."
            )

    def _check_shape(self, video: str, shape: tuple[int, ...]) -> None:
        """All clips must have feature maps of one shape, that of the first training video."""
        if self._shape is None:
            self._shape = shape
        if shape != self._shape:
            raise ConfigError(
                f"video {video!r}: its features are {' x '.join(map(str, shape))}, those of the first training video "
                f"{' x '.join(map(str, self._shape))}: frames differ in size. Bring all to one size with "
                "backbone.size=[HEIGHT,WIDTH], or choose some (dataset.train_videos, dataset.test_videos)."
            )

    def _pooled(self, maps: np.ndarray) -> np.ndarray:
        """Return ``maps (N, C, t, h, w)`` pooled; a view where nothing is."""
        k = self.pooling_kernel_size
        if k == 1:
            return maps
        if not self.spatial_pool:
            flat = maps.reshape(len(maps), -1)
            usable = flat.shape[1] // k * k
            return np.asarray(flat[:, :usable].reshape(len(maps), -1, k).mean(axis=2)[:, :, None, None, None])
        n, c, t, h, w = maps.shape
        if k > min(h, w):
            raise ConfigError(
                f"model.pooling_kernel_size={k} is larger than the {h}x{w} map of layer {self.layer!r}; "
                f"at most {min(h, w)}"
            )
        cropped = maps[..., : h // k * k, : w // k * k]
        return np.asarray(cropped.reshape(n, c, t, h // k, k, w // k, k).mean(axis=(4, 6)))


def _cells(maps: np.ndarray) -> np.ndarray:
    """``(L, N, C t)`` of ``(N, C, t, h, w)``."""
    n, c, t, h, w = maps.shape
    return maps.transpose(3, 4, 0, 1, 2).reshape(h * w, n, c * t)


def _all_cells(maps: list[np.ndarray]) -> np.ndarray:
    """Return the :func:`_cells` of several videos together, ``(L, N, C t)``, with one copy in memory."""
    _, c, t, h, w = maps[0].shape
    cells = np.empty((h * w, sum(map(len, maps)), c * t), np.result_type(*maps))
    at = 0
    for m in maps:
        cells[:, at : at + len(m)] = _cells(m)
        drop_pages(m)
        at += len(m)
    return cells


def _patches(maps: np.ndarray) -> np.ndarray:
    """``(N L, C t)`` of ``(N, C, t, h, w)``."""
    n, c, t, h, w = maps.shape
    return maps.transpose(0, 3, 4, 1, 2).reshape(n * h * w, c * t)


def _resolve(
    backbone: str | BackboneConfig | Backbone,
    layer: str | None,
    pre_trained: bool,
    weights: str | None,
    clip: ClipPlan | None,
    seed: int,
    device: str,
) -> tuple[Backbone, ClipPlan, PreProcessor, str | None]:
    """Return the backbone, its clips, its own pre-processor and the name of its weights."""
    from dataclasses import replace

    from vadbench.backbones import model_zoo

    if not isinstance(backbone, (str, BackboneConfig)):
        if clip is None:
            raise ConfigError("a backbone of your own needs clip=ClipPlan(length, step, stride)")
        return backbone, clip, PreProcessor(None, None, None), None
    recipe = model_zoo.load_config(backbone) if isinstance(backbone, str) else backbone
    if recipe.weights is not None and isinstance(backbone, str):
        recipe = replace(recipe, weights=weights or ("pretrained" if pre_trained else "random"))
    clip = clip or ClipPlan(recipe.clip_length, recipe.frame_step, recipe.clip_stride)
    network = model_zoo.build(recipe, (layer or recipe.layer,), seed, device)
    return network, clip, PreProcessor(recipe.size, recipe.mean, recipe.std, recipe.resize), recipe.weights


@registry.model(
    "clip_density", config=ClipDensityConfig, backbone="x3d_s", density="pca", without_effect=without_effect
)
def from_config(model: ClipDensityConfig, run: ModelRun) -> ClipDensity:
    """Any density of the clip features of a frozen backbone."""
    density = run.density
    if not isinstance(density, BaseDensityEstimator):
        raise ConfigError(f"model=clip_density can't take density={run.config.density.name}, which is for model=ai_vad")
    density.device = run.device
    return ClipDensity(density, unit=model.unit, **common(model, run))


def common(model: ClipKeys, run: ModelRun) -> dict[str, Any]:
    """Return the arguments of the detector that every method on clip features takes from its configuration."""
    names = [key.name for key in fields(ClipKeys) if key.name not in ("name", "heatmap_frames")]
    keys = {name: getattr(model, name) for name in names}
    how = {"seed": run.seed, "device": run.device, "batch_size": run.batch_size}
    return {"backbone": run.config.backbone, **how, **keys}
