"""What the filter banks share: per-frame maps pooled on a grid of square cells, stacked into clips.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from vadbench.config.parts import with_defaults
from vadbench.config.schema import BackboneConfig
from vadbench.data.opencv import opencv_version
from vadbench.errors import ConfigError, nearest

OptionsT = TypeVar("OptionsT")

LAYER = "grid"


class GridBank:
    """A filter bank that makes one map of a frame and the one before; its only layer is called ``"grid"``.

    The map at the start of a video, where there is no frame before, is NaN and takes the values of the next map of its
    clip, so that a beginning does not look like a scene that froze. A clip of that map alone is all zeros.
    """

    layers: tuple[str, ...] = (LAYER,)
    needs_calibration = False
    channels: tuple[str, ...]
    name: str
    result_version = 1  # raised when maps change at the same options and frames

    def __init__(self, cell: int) -> None:
        self.cell = cell

    def map_of(self, frame: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """``float32 (C, h, w)`` of a grey frame and the one before it, both ``uint8 (H, W)``."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        raise NotImplementedError

    def spec(self, layer: str) -> dict[str, Any]:
        """Everything that the features depend on."""
        return {
            "backbone": self.name,
            "version": self.result_version,
            "layer": layer,
            "options": self.options(),
            "weights": None,
            "precision": "float32",
            "opencv": opencv_version(),
        }

    def weights_digest(self) -> None:
        """None: there are no weights."""

    def calibrate(self, clips: Iterable[np.ndarray]) -> None:
        """Nothing to set."""

    def per_frame(self, frame: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        """``float32 (C, h, w)`` of ``uint8 (H, W, 3)`` RGB frames; NaN where there is no frame before."""
        grey = self.grey(frame)
        return self.no_map(grey.shape) if previous is None else self.map_of(grey, self.grey(previous))

    def no_map(self, size: tuple[int, ...]) -> np.ndarray:
        """Return the map, all NaN, of a frame of ``size`` = (H, W) that has none before it."""
        return np.full((len(self.channels), *grid_shape((size[0], size[1]), self.cell)), np.nan, np.float32)

    def grey(self, frame: np.ndarray) -> np.ndarray:
        """``uint8 (H, W)`` of a frame ``uint8 (H, W, 3)`` RGB; ConfigError for frames of another kind."""
        import cv2

        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ConfigError(
                f"backbone {self.name!r} takes frames as they are, uint8 (H, W, 3), and was given {frame.dtype} "
                f"{frame.shape}: leave backbone.mean and backbone.std null"
            )
        return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    def __call__(self, clips: np.ndarray) -> dict[str, np.ndarray]:
        """``{"grid": float32 (N, C, t, h, w)}`` with t = T from ``(N, T, C, h, w)`` stacked maps."""
        maps = np.array(clips, dtype=np.float32)
        for clip in maps:
            for t in reversed(range(len(clip))):
                if np.isnan(clip[t]).any():
                    clip[t] = clip[t + 1] if t + 1 < len(clip) else 0
        return {LAYER: np.ascontiguousarray(maps.swapaxes(1, 2))}


def grid_shape(size: tuple[int, int], cell: int) -> tuple[int, int]:
    """(h, w): cells that cover ``size`` = (H, W) pixels; the last row and column may be cut off."""
    return -(-size[0] // cell), -(-size[1] // cell)


@lru_cache(maxsize=4)
def cell_index(size: tuple[int, int], cell: int) -> np.ndarray:
    """``int64 (H·W,)``: the cell, counted row by row, that each pixel lies in."""
    rows, columns = np.arange(size[0]) // cell, np.arange(size[1]) // cell
    return (rows[:, None] * grid_shape(size, cell)[1] + columns[None, :]).ravel()


@lru_cache(maxsize=4)
def cell_sizes(size: tuple[int, int], cell: int) -> np.ndarray:
    """``float64 (h, w)``: number of pixels in each cell."""
    h, w = grid_shape(size, cell)
    return np.bincount(cell_index(size, cell), minlength=h * w).reshape(h, w).astype(np.float64)


def cell_means(channels: np.ndarray, cell: int) -> np.ndarray:
    """``float32 (C, h, w)``: mean of each channel of ``(C, H, W)`` over the pixels of each cell, summed in float64."""
    size = (channels.shape[1], channels.shape[2])
    rows, columns = np.arange(0, size[0], cell), np.arange(0, size[1], cell)
    sums = np.add.reduceat(np.add.reduceat(channels, columns, axis=2, dtype=np.float64), rows, axis=1)
    means: np.ndarray = (sums / cell_sizes(size, cell)).astype(np.float32)
    return means


def bank_config(summary: str, **options: float | int | str | bool) -> type:
    """Return the default configuration of a filter bank."""
    return with_defaults(BackboneConfig, summary, layer=LAYER, clip_length=4, clip_stride=5, options=options)


def checked_options(config: BackboneConfig, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a filter bank; ConfigError for a layer or a key that no filter bank has."""
    for layer in wanted:
        if layer != LAYER:
            raise ConfigError(f"backbone {config.name!r} has no layer {layer!r}. {nearest(layer, [LAYER])}")
    fixed = {"weights": None, "mean": None, "std": None, "precision": "float32", "engine": "auto"}
    for key, value in fixed.items():
        if getattr(config, key) != value:
            shown = "null" if value is None else value
            raise ConfigError(
                f"backbone.{key}={getattr(config, key)!r}: backbone {config.name!r} is a filter bank without weights "
                f"that takes frames as bytes; it works with backbone.{key}={shown} only"
            )
    return config.options


def checked(backbone: str, kind: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """``given`` as the pydantic dataclass ``kind``; ConfigError that lists everything that is wrong with it."""
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        lines = [_line(backbone, kind, each) for each in error.errors()]
    raise ConfigError("\n".join(lines))


def _line(backbone: str, kind: type, error: Any) -> str:
    """One line for one error: key, value, what is allowed."""
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    name = str(error["loc"][-1]) if error["loc"] else ""
    key = f"backbone.options.{name}"
    if error["type"] == "unexpected_keyword_argument":
        return f"{key}: backbone {backbone!r} has no such option. {nearest(name, known)}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{key}: missing. Options: {', '.join(known)}."
    return f"{key}={error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
