"""The keys of the methods on clip features: model=clip_density and model=fuvas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.config.parts import STRICT, PartConfig, setting
from vadbench.errors import ConfigError
from vadbench.models.clips.to_frames import check_reduction


def _reduction(value: str) -> str:
    try:
        return check_reduction(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


@dataclass(config=STRICT, kw_only=True)
class ClipKeys(PartConfig):
    """What all of them have."""

    layer: str | None = setting(
        default=None, shown=False
    )  # None: the backbone's default; `list layers backbone=x3d_s` shows all
    spatial_pool: bool = True
    pooling_kernel_size: Annotated[int, Field(ge=1)] = 1  # 1 pools nothing
    target_frame: Literal["first", "mid", "last", "all"] = "mid"  # which frame a clip's score belongs to
    fill: Literal["nearest", "linear", "hold"] = "linear"  # how frames between targets get a score
    # Score of a clip from its map: sum, mean, max, or top:SHARE, the mean of the highest share of locations.
    score_reduction: Annotated[str, AfterValidator(_reduction)] = "sum"
    short_videos: Literal["error", "pad"] = "error"  # a video shorter than a clip; pad repeats its last frame
    shots: Annotated[int, Field(ge=1)] | None = None  # number of training clips, drawn with the seed; None: all
    pre_processor: bool = True  # resize and normalise
    post_processor: bool = True  # apply the protocol
    evaluator: bool = True  # compute metrics
    visualizer: bool = setting(default=True, in_key=False)  # draw score curves
    # Frames drawn with their heat map for each test video.
    heatmap_frames: Annotated[int, Field(ge=0)] = setting(default=0, in_key=False)


@dataclass(config=STRICT, kw_only=True)
class ClipDensityConfig(ClipKeys):
    """Any density of the clip features of a frozen backbone."""

    # What one vector is: clip, the whole clip; location, the features of one location, a density each; patch, the same,
    # one density for all.
    unit: Literal["clip", "location", "patch"] = "clip"


@dataclass(config=STRICT, kw_only=True)
class FuvasConfig(ClipKeys):
    """FUVAS (Jiang et al., ICASSP 2025): PCA residual energy of clip features of a frozen backbone."""

    pca_level: Annotated[float, Field(gt=0)] = 0.98  # at most 1: explained variance ratio; above: number of components

    @field_validator("pca_level")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be an explained variance ratio in (0, 1] or a whole number of components above 1")
        return value


def without_effect(config: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values change nothing in the result of ``config``: raw scores count, not calibrated ones,
    a kernel of 1 pools nothing, and frames that pass as they are need no pre-processor."""
    density = registry.find("density", str((config.get("density") or {}).get("name")))
    found = [f"density.{key}" for key in density.facts.get("calibrated_by", ())] if density else []
    if config["model"].get("pooling_kernel_size") == 1:
        found.append("model.spatial_pool")
    backbone = config.get("backbone") or {}
    if not any(backbone.get(key) for key in ("size", "mean", "std")):
        found.append("model.pre_processor")
    return found
