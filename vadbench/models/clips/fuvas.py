"""FUVAS: features of a frozen 3-D backbone, principal components of normal clips, residual energy as anomaly.

Jiang, Ndiour, Subedar, Tickoo: "FUVAS: Few-shot Unsupervised Video Anomaly Segmentation via Low-Rank Factorization of
Spatio-Temporal Features", ICASSP 2025. One flattened feature vector a clip; the frame score is the squared norm of what
the components do not explain, the anomaly map the same energy summed over channels and time.

Shape legend: N clips, C channels, D feature size, K components, t h w feature grid.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.backbones.base import Backbone
from vadbench.config.parts import STRICT, PartConfig
from vadbench.config.schema import BackboneConfig
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.density.pca import COMPONENTS, Decomposition, PcaConfig, decompose
from vadbench.errors import ConfigError, one_of
from vadbench.models.base import Features, VideoScores
from vadbench.models.clips.extractor import ClipExtractor, ClipPlan, PreProcessor
from vadbench.models.clips.to_frames import FILLS, TARGETS, ClipMaps, clip_weights
from vadbench.models.one_class import OneClassMethod
from vadbench.models.registry import ModelRun

log = logging.getLogger(__name__)

REDUCTIONS = ("sum", "mean", "max")

# Rows of float64 residuals held at once when scoring, in bytes.
_BLOCK_BYTES = 128 * 2**20


class Fuvas(OneClassMethod):
    """FUVAS with the documented names and defaults.

    Parameters
    ----------
    backbone: name in conf/backbone, a BackboneConfig, or an object that follows ``vadbench.backbones.base.Backbone``
        (then ``clip`` says how clips are cut for it).
    layer: any node of the network; None takes the backbone's default.
    pre_trained: True for the publisher's weights, False for random ones; ``weights`` overrides it with a path.
    spatial_pool: average-pool the feature map in space; False flattens first and pools over the flat vector, which
        leaves no map unless the kernel is 1.
    pooling_kernel_size: 1 pools nothing.
    pca_level: at most 1 the share of variance to keep, above 1 the number of components.
    pre_processor: True resizes and normalises by the backbone's recipe, False passes frames as they are, an object of
        your own is called on each ``uint8 (H, W, 3)`` frame and needs a ``spec()``.
    post_processor, evaluator, visualizer: read by the evaluation: True for its own, False for none, or your own object,
        called as :func:`vadbench.experiment.run.run` says, which takes them too.
    components: "enough" keeps the fewest components that reach the level, "one_fewer" one less, as anomalib does.
    clip: which frames make a clip; None takes the backbone's recipe.
    target_frame: which frame a clip's score belongs to (first, mid, last, all).
    fill: how other frames get theirs (nearest, linear, hold), see :func:`vadbench.models.clips.to_frames.clip_weights`.
    score_reduction: sum (the paper's), mean or max of the map over positions.
    shots: number of training clips, drawn with ``seed``; None takes all.
    short_videos: "error" or "pad", for videos shorter than a clip.
    weights: "pretrained", "random" or a path; None decides by ``pre_trained``.
    device, batch_size: where and how the backbone runs; they change no result beyond rounding.
    """

    def __init__(
        self,
        backbone: str | BackboneConfig | Backbone = "x3d_s",
        layer: str | None = "blocks.4",
        pre_trained: bool = True,
        spatial_pool: bool = True,
        pooling_kernel_size: int = 1,
        pca_level: float = 0.98,
        pre_processor: bool | Callable[[np.ndarray], np.ndarray] = True,
        post_processor: Any = True,
        evaluator: Any = True,
        visualizer: Any = True,
        *,
        components: str = "enough",
        clip: ClipPlan | None = None,
        target_frame: str = "mid",
        fill: str = "linear",
        score_reduction: str = "sum",
        shots: int | None = None,
        short_videos: str = "error",
        weights: str | None = None,
        seed: int = 0,
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        if pca_level <= 0 or (pca_level > 1 and pca_level != int(pca_level)):
            raise ConfigError(
                f"pca_level={pca_level}: at most 1 it is a share of variance, above 1 a whole number of components"
            )
        for key, number in (("pooling_kernel_size", pooling_kernel_size), ("shots", shots)):
            if number is not None and number < 1:
                raise ConfigError(f"{key}={number}: at least 1")
        self.spatial_pool = spatial_pool
        self.pooling_kernel_size = pooling_kernel_size
        self.pca_level = pca_level
        self.components = one_of("components", components, COMPONENTS)
        self.target_frame = one_of("target_frame", target_frame, TARGETS)
        self.fill = one_of("fill", fill, FILLS)
        self.score_reduction = one_of("score_reduction", score_reduction, REDUCTIONS)
        self.shots = shots
        self.seed = seed
        self.post_processor = post_processor
        self.evaluator = evaluator
        self.visualizer = visualizer
        weights_name = None
        if isinstance(backbone, (str, BackboneConfig)):
            backbone, recipe = _build(backbone, layer, pre_trained, weights, seed, device)
            weights_name = recipe.weights
            clip = clip or ClipPlan(recipe.clip_length, recipe.frame_step, recipe.clip_stride)
            default = PreProcessor(recipe.size, recipe.mean, recipe.std, recipe.resize)
        elif clip is None:
            raise ConfigError("a backbone of your own needs clip=ClipPlan(length, step, stride)")
        else:
            default = PreProcessor(None, None, None)
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
        self.decomposition: Decomposition | None = None
        self.n_components = 0
        self._shape: tuple[int, ...] | None = None  # (C, t, h, w) of the training clips
        self._own: dict[str, np.ndarray] | None = None  # residual energy of the training clips of each video

    @property
    def needs_one_size(self) -> bool:
        """True if frames reach the backbone in their own size, so that all must have one."""
        pre_processor = self.extractor.pre_processor
        return isinstance(pre_processor, PreProcessor) and pre_processor.size is None

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores: it draws the shots, and random weights."""
        return self.shots is not None or self.extractor.weights_name == "random"

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Find the components of the training clips.

        ``features``: video id to layer to ``{"features": (N, C, t, h, w)}``. ``remember``: where parts of the
        decomposition are kept between fits that differ in level only, see :func:`vadbench.density.pca.decompose`.
        """
        self._shape, self._own = None, None
        self.decomposition = decompose(self.training_rows(features), self.pca_level, remember)
        self.n_components = self.decomposition.n_components(self.pca_level, self.components)
        energy = self.decomposition.training_energy(self.n_components)
        if self.shots is None and energy is not None:
            videos = sorted(features)
            ends = np.cumsum([len(features[video][self.layer]["features"]) for video in videos])
            self._own = dict(zip(videos, np.split(energy, ends[:-1]), strict=True))
        if self.n_components == 0:
            log.warning("PCA keeps no component: the score is the distance to the mean training clip")

    def fit_spec(self) -> dict[str, Any]:
        """What the decomposition depends on beside the features: not the level, nor anything done to scores."""
        shots = None if self.shots is None else [self.shots, self.seed]
        pooling = [self.spatial_pool, self.pooling_kernel_size]
        return {"fit": "pca/1", "layer": self.layer, "pooling": pooling, "shots": shots}

    def training_rows(self, features: Mapping[str, Mapping[str, Features]]) -> list[np.ndarray]:
        """The matrix that is decomposed, ``(n_i, D)`` for each video: pooled, flattened, ``shots`` of them."""
        for video in sorted(features):
            self._check_shape(video, features[video][self.layer]["features"].shape[1:])
        maps = [features[video][self.layer]["features"] for video in sorted(features)]
        n_clips = sum(len(m) for m in maps)
        if self.shots is None:
            return [self._flat(m) for m in maps]
        if self.shots > n_clips:
            raise ConfigError(f"model.shots={self.shots}, but there are only {n_clips} training clips")
        chosen = np.random.default_rng(self.seed).choice(n_clips, self.shots, replace=False)
        taken = np.zeros(n_clips, dtype=bool)
        taken[chosen] = True
        parts = np.split(taken, np.cumsum([len(m) for m in maps])[:-1])
        return [self._flat(m[part]) for m, part in zip(maps, parts, strict=True) if part.any()]

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """Residual energy of every clip of ``video``, brought to frames.

        ``remember`` keeps what the clips are in terms of the components, which all levels share.
        """
        if self.decomposition is None:
            raise RuntimeError("fit before you score")
        arrays = features[self.layer]
        self._check_shape(video.id, arrays["features"].shape[1:])
        energy = self._energy_maps(arrays["features"], remember)
        clip_scores = getattr(np, self.score_reduction)(energy, axis=(1, 2))
        weights, filled = self._weights(video, arrays)
        maps = ClipMaps(energy.astype(np.float32), weights) if self._has_maps else None
        return VideoScores(video.id, weights @ clip_scores, filled, maps)

    def score_training(
        self, video: Video, features: Mapping[str, Features], remember: Remember | None = None
    ) -> VideoScores:
        """As :meth:`score`, up to rounding and without maps, for a video of the fit, which has it as good as ready."""
        if self._own is None or self.score_reduction == "max":
            return self.score(video, features, remember)
        arrays = features[self.layer]
        h, w = self._pooled(arrays["features"][:1]).shape[3:]
        positions = h * w if self.score_reduction == "mean" else 1
        weights, filled = self._weights(video, arrays)
        return VideoScores(video.id, weights @ self._own[video.id] / positions, filled, None)

    def frame_maps(self, video: Video, clip_maps: np.ndarray) -> ClipMaps:
        """Score maps of the frames of ``video`` from those of its clips, ``float32 (N, h, w)``; needs no fit."""
        starts = self.clip.starts(video.n_frames) if len(clip_maps) > 1 else np.zeros(1, np.int64)
        return ClipMaps(clip_maps, self._weights(video, {"starts": starts})[0])

    def _weights(self, video: Video, arrays: Features) -> tuple[np.ndarray, np.ndarray]:
        """Clips to frames, and which frames are filled."""
        return clip_weights(np.asarray(arrays["starts"]), self.clip, video.n_frames, self.target_frame, self.fill)

    def summary(self) -> dict[str, Any]:
        """What the fit found."""
        assert self.decomposition is not None
        return {
            "learning_type": self.learning_type.value,
            "training_clips": self.decomposition.n_rows,
            "feature_size": int(self.decomposition.mean.size),
            "components": self.n_components,
            "variance_share": self.decomposition.variance_share(self.n_components),
            "target_frame": self.target_frame,
            "fill": self.fill,
        }

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

    @property
    def _has_maps(self) -> bool:
        return self.spatial_pool or self.pooling_kernel_size == 1

    def _flat(self, maps: np.ndarray) -> np.ndarray:
        """``(N, D)`` of ``(N, C, t, h, w)``; a view where nothing is pooled."""
        return self._pooled(maps).reshape(len(maps), -1)

    def _pooled(self, maps: np.ndarray) -> np.ndarray:
        k = self.pooling_kernel_size
        if k == 1:
            return maps
        if not self.spatial_pool:
            flat = maps.reshape(len(maps), -1)
            usable = flat.shape[1] // k * k
            return flat[:, :usable].reshape(len(maps), -1, k).mean(axis=2)[:, :, None, None, None]
        n, c, t, h, w = maps.shape
        if k > min(h, w):
            raise ConfigError(
                f"model.pooling_kernel_size={k} is larger than the {h}x{w} map of layer {self.layer!r}; "
                f"at most {min(h, w)}"
            )
        cropped = maps[..., : h // k * k, : w // k * k]
        return cropped.reshape(n, c, t, h // k, k, w // k, k).mean(axis=(4, 6))

    def _energy_maps(self, maps: np.ndarray, remember: Remember | None) -> np.ndarray:
        """Squared residual summed over channels and time: ``float64 (N, h, w)``, in blocks of clips."""
        assert self.decomposition is not None
        size = self.decomposition.mean.size
        step = max(1, _BLOCK_BYTES // (8 * size))
        energies = []
        for start in range(0, len(maps), step):
            block = self._pooled(maps[start : start + step])
            rows = block.reshape(len(block), -1)
            residual = self.decomposition.residual(rows, self.n_components, _of_clips(remember, start, len(rows)))
            energies.append(np.square(residual).reshape(block.shape).sum(axis=(1, 2)))
        return np.concatenate(energies)


def _of_clips(remember: Remember | None, start: int, count: int) -> Remember | None:
    """``remember`` for some clips of a video."""
    return remember and (lambda name, make: remember(f"{name} of {count} clips from {start}", make))


def _build(
    backbone: str | BackboneConfig, layer: str | None, pre_trained: bool, weights: str | None, seed: int, device: str
) -> tuple[Backbone, BackboneConfig]:
    """The backbone and its recipe."""
    from dataclasses import replace

    from vadbench.backbones import model_zoo

    recipe = model_zoo.load_config(backbone) if isinstance(backbone, str) else backbone
    if recipe.weights is not None and isinstance(backbone, str):
        recipe = replace(recipe, weights=weights or ("pretrained" if pre_trained else "random"))
    return model_zoo.build(recipe, (layer or recipe.layer,), seed, device), recipe


@dataclass(config=STRICT, kw_only=True)
class FuvasConfig(PartConfig):
    """FUVAS."""

    layer: str | None  # None: the backbone's default layer
    pca_level: Annotated[float, Field(gt=0)]  # at most 1: share of variance; above: number of components
    spatial_pool: bool
    pooling_kernel_size: Annotated[int, Field(ge=1)]
    target_frame: Literal["first", "mid", "last", "all"]
    fill: Literal["nearest", "linear", "hold"]
    score_reduction: Literal["sum", "mean", "max"]
    short_videos: Literal["error", "pad"]
    shots: Annotated[int, Field(ge=1)] | None  # number of training clips, drawn with the seed; None: all
    pre_processor: bool
    post_processor: bool
    evaluator: bool
    visualizer: bool
    heatmap_frames: Annotated[int, Field(ge=0)]  # frames with heat maps drawn for each test video

    @field_validator("pca_level")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a share of variance in (0, 1] or a whole number of components above 1")
        return value


@registry.model("fuvas", config=FuvasConfig)
def from_config(model: FuvasConfig, run: ModelRun) -> Fuvas:
    """FUVAS (Jiang et al., ICASSP 2025): PCA residual energy of clip features of a frozen backbone."""
    config = run.config
    assert config.backbone is not None
    if not isinstance(config.density, PcaConfig):
        raise ConfigError("model=fuvas is principal components: it takes density=pca")
    return Fuvas(
        config.backbone,
        model.layer,
        spatial_pool=model.spatial_pool,
        pooling_kernel_size=model.pooling_kernel_size,
        pca_level=model.pca_level,
        pre_processor=model.pre_processor,
        post_processor=model.post_processor,
        evaluator=model.evaluator,
        visualizer=model.visualizer,
        components=config.density.components,
        target_frame=model.target_frame,
        fill=model.fill,
        score_reduction=model.score_reduction,
        shots=model.shots,
        short_videos=model.short_videos,
        seed=config.seed,
        device=config.runtime.device,
        batch_size=config.runtime.batch_size,
    )
