"""Backbone without weights: dense optical flow, its magnitude by direction, pooled on a grid of cells.

For each pair of frames (``frame_step`` apart) the flow (u, v) in pixels comes from dense inverse search (Kroeger,
Timofte, Dai, van Gool: "Fast Optical Flow using Dense Inverse Search", ECCV 2016) as OpenCV implements it, on grey
frames. With K directions at angles 2πk/K (0 points right, growing clockwise on the screen, since v points down), every
pixel gives its magnitude √(u² + v²) to directions: soft binning shares it between the two neighbouring directions in
proportion to the angle (a triangular window of half-width 2π/K), hard binning gives all of it to the nearest. The value
of a cell is the sum over its pixels divided by their number, in pixels of motion per pair. A clip is a stack of such
maps.

Soft binning is the default: a motion near the border of two bins does not jump from one to the other with noise, and on
UCSD Ped2 it was the better of the two at every level tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.backbones.base import Facts
from vadbench.backbones.grid import GridBank, bank_config, cell_index, cell_sizes, checked, checked_options
from vadbench.config.schema import BackboneConfig
from vadbench.errors import one_of

# Smaller frames leave no pyramid level to search on; they are padded with their edge.
_SMALLEST = 32


@dataclass(config=ConfigDict(extra="forbid"))
class FlowGridOptions:
    """backbone.options of flow_grid."""

    cell: Annotated[int, Field(ge=1)]  # side of a cell in pixels of the pre-processed frame
    directions: Annotated[int, Field(ge=1, le=36)]
    preset: Literal["ultrafast", "fast", "medium"]  # of cv2.DISOpticalFlow
    # soft shares a motion between its two neighbouring directions, hard takes the nearer.
    binning: Literal["soft", "hard"]


class FlowGrid(GridBank):
    """Flow magnitude by direction on a grid; see the module's text for the exact definition."""

    name = "flow_grid"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = checked(self.name, FlowGridOptions, options)
        super().__init__(self._options.cell)
        turn = 360 / self._options.directions
        self.channels = tuple(f"flow_{k * turn:g}" for k in range(self._options.directions))

    def options(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self._options)

    def map_of(self, frame: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """``float32 (K, h, w)``: mean flow magnitude by direction in each cell."""
        return self.pooled(self.flow(frame, previous))

    def flow(self, frame: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """``float32 (H, W, 2)``: (u, v) in pixels from ``previous`` to ``frame``, both ``uint8 (H, W)``."""
        return dense_flow(previous, frame, self._options.preset)

    def pooled(self, flow: np.ndarray) -> np.ndarray:
        """``float32 (K, h, w)``: mean magnitude by direction in each cell of a flow ``(H, W, 2)``."""
        return pooled_by_direction(flow, self.cell, self._options.directions, self._options.binning)


@registry.backbone(
    FlowGrid.name,
    config=bank_config(
        "Dense optical flow (OpenCV DIS), magnitude by direction on a grid; needs no weights and no network",
        cell=12,
        directions=4,
        preset="medium",  # on UCSD Ped2 only medium resolves the far pedestrians
        binning="soft",
    ),
    facts=Facts(),
)
def _from_config(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> FlowGrid:
    return FlowGrid(checked_options(config, layers))


def dense_flow(previous: np.ndarray, frame: np.ndarray, preset: str) -> np.ndarray:
    """``float32 (H, W, 2)``: (u, v) in pixels from ``previous`` to ``frame``, both ``uint8 (H, W)``."""
    import cv2

    height, width = frame.shape
    below, right = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
    if below or right:
        previous, frame = (cv2.copyMakeBorder(x, 0, below, 0, right, cv2.BORDER_REPLICATE) for x in (previous, frame))
    previous, frame = np.ascontiguousarray(previous), np.ascontiguousarray(frame)
    presets = {
        "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
        "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    }
    # A search object keeps buffers of the last pair; a fresh one makes the result depend on this pair alone.
    flow = np.asarray(cv2.DISOpticalFlow.create(presets[one_of("preset", preset, presets)]).calc(previous, frame, None))  # type: ignore[call-overload]
    return flow[:height, :width]


def pooled_by_direction(flow: np.ndarray, cell: int, directions: int, binning: str) -> np.ndarray:
    """``float32 (K, h, w)`` from flow ``(H, W, 2)``: for each direction and cell the magnitude that falls into it,
    summed in float64 and divided by the number of pixels of the cell."""
    one_of("binning", binning, ("soft", "hard"))
    size = (flow.shape[0], flow.shape[1])
    u, v = flow[..., 0].ravel(), flow[..., 1].ravel()
    magnitude = np.hypot(u, v)
    position = np.arctan2(v, u) * np.float32(directions / (2 * np.pi))
    sizes, cells = cell_sizes(size, cell), cell_index(size, cell)
    length = directions * sizes.size
    if binning == "hard":
        nearest = np.rint(position).astype(np.int64) % directions
        sums = np.bincount(nearest * sizes.size + cells, magnitude, length)
    else:
        floor = np.floor(position)
        share = position - floor
        low = floor.astype(np.int64) % directions
        high = (low + 1) % directions
        sums = np.bincount(low * sizes.size + cells, magnitude * (1 - share), length)
        sums += np.bincount(high * sizes.size + cells, magnitude * share, length)
    means: np.ndarray = (sums.reshape(directions, *sizes.shape) / sizes).astype(np.float32)
    return means
