"""Backbone without weights: 3-D gradient energies of grey frames, pooled on a grid of cells.

After the features of Lu, Shi, Jia: "Abnormal Event Detection at 150 FPS in MATLAB", ICCV 2013, who take 3-D gradients
in small space-time cubes. Here, for a frame and the one ``frame_step`` before it, both grey and in [0, 1]:

    m  = (frame + previous) / 2
    gx = (m[y, x + 1] - m[y, x - 1]) / 2,  gy = (m[y + 1, x] - m[y - 1, x]) / 2  (edge pixels repeated)
    gt = frame - previous

A cell holds the means over its pixels of gx², gy², gt² (measure "energy") or of |gx|, |gy|, |gt| ("magnitude"). A clip
is a stack of such maps. What differs from the paper: pooled energies in place of the raw gradients of each pixel, one
scale, no selection of moving cubes, and the density is whatever the model brings in place of sparse combinations.
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
from vadbench.backbones.grid import GridBank, bank_config, cell_means, checked, checked_options
from vadbench.config.schema import BackboneConfig


@dataclass(config=ConfigDict(extra="forbid"))
class Gradient3dOptions:
    """backbone.options of gradient3d."""

    cell: Annotated[int, Field(ge=1)]  # side of a cell in pixels of the pre-processed frame
    measure: Literal["energy", "magnitude"]  # squared gradients, or absolute ones


class Gradient3d(GridBank):
    """Gradient energies in x, y and time on a grid; see the module's text for the exact definition."""

    name = "gradient3d"
    channels = ("x", "y", "time")

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = checked(self.name, Gradient3dOptions, options)
        super().__init__(self._options.cell)

    def options(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self._options)

    def map_of(self, frame: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """``float32 (3, h, w)``: energies in x, y and time."""
        gradients = gradient(frame, previous)
        values = np.square(gradients) if self._options.measure == "energy" else np.abs(gradients)
        return cell_means(values, self.cell)


@registry.backbone(
    Gradient3d.name,
    config=bank_config(
        "3-D gradient energies on a grid (after Lu, Shi, Jia, ICCV 2013); needs no weights and no network",
        cell=12,
        measure="energy",
    ),
    facts=Facts(),
)
def _from_config(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> Gradient3d:
    return Gradient3d(checked_options(config, layers))


def gradient(frame: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """``float32 (3, H, W)``: gx, gy, gt per pixel, in grey levels of [0, 1] per pixel or per pair of frames."""
    now, before = (x.astype(np.float32) / np.float32(255) for x in (frame, previous))
    padded = np.pad((now + before) / 2, 1, mode="edge")
    gx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    gy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return np.stack([gx, gy, now - before])
