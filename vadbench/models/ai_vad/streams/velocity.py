"""How fast and in which direction each region moves: a histogram of flow directions weighted by flow magnitude.

Shape legend: N frames, M regions of all of them, H W pixels, B direction bins, P sampled vectors of a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.errors import ConfigError, nearest
from vadbench.models.ai_vad.streams.crops import Cropping
from vadbench.models.ai_vad.tensors import in_order, is_tensor, to_boxes
from vadbench.models.base import Features

if TYPE_CHECKING:
    import torch

# Stored histograms have this many bins: coarser ones with 1, 2, 3, 4, 6, 8, 12, 16 or 24 bins are exact sums of them.
FINE_BINS = 48
NORMALISATIONS = ("bin_mean", "crop_mean")
MAGNITUDES = ("l2", "l1")
ANGLES = ("vu", "uv")

# Regions sampled at once: a few megabytes a region with a crop of 224.
_REGIONS_AT_ONCE = 32


class VelocityExtractor:
    """Direction histogram of the flow in each box.

    A box is sampled on a ``crop_size`` x ``crop_size`` grid (bilinear), which is the crop of fixed size in the paper,
    or at its own pixels.
    The direction of a vector (u, v) is atan2(v, u) in [0, 2π); bin b covers [b, b + 1) · 2π / B.

    Parameters
    ----------
    n_bins: B.
    normalisation: "bin_mean": mean magnitude of the vectors in the bin (the paper's figure, anomalib); "crop_mean": sum
        of their magnitudes over the number of all vectors of the crop (the official code).
    magnitude: "l2", or "l1" for |u| + |v| (the official code).
    crop_size: side of the sampling grid; None takes every pixel of the box once, which is some 50 times less work.
    angle: "vu" for the direction above; "uv" for anomalib's atan2(u, v) in [-π, π], bins from -π on. This mirrors the
        bins and turns them by a quarter, so that the same directions share a bin only where B is 1 or a multiple of 4,
        and a vector on the border of two bins (straight to the right, for one) falls into the other.
    crops: how a box is sampled on the grid.
    """

    def __init__(
        self,
        n_bins: int = 8,
        normalisation: str = "bin_mean",
        magnitude: str = "l2",
        crop_size: int | None = 224,
        angle: str = "vu",
        crops: Cropping | None = None,
    ) -> None:
        if normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"Unknown velocity normalisation {normalisation!r}. {nearest(normalisation, NORMALISATIONS)}"
            )
        if magnitude not in MAGNITUDES:
            raise ConfigError(f"Unknown velocity magnitude {magnitude!r}. {nearest(magnitude, MAGNITUDES)}")
        if angle not in ANGLES:
            raise ConfigError(f"Unknown velocity angle {angle!r}. {nearest(angle, ANGLES)}")
        self.n_bins = n_bins
        self.normalisation = normalisation
        self.magnitude = magnitude
        self.crop_size = crop_size
        self.angle = angle
        self.crops = crops or Cropping()

    @property
    def stored_bins(self) -> int:
        """Bins of the histograms that :meth:`histograms` makes."""
        return FINE_BINS if FINE_BINS % self.n_bins == 0 else self.n_bins

    def __call__(self, flow: torch.Tensor, boxes: Any) -> Any:
        """Velocity features ``float64 (M, B)``; a tensor ``float32`` where the boxes are one.

        ``flow (N, 2, H, W)``, u and v in pixels; ``boxes``: for each of the N frames ``(M_i, 4)`` in pixels, or
        ``(M, 5)`` with the number of the frame first.
        """
        parts, order = to_boxes(boxes, len(flow))
        made = in_order(self.features(self.histograms(flow, parts)), order)
        return flow.new_tensor(made) if is_tensor(boxes) else made

    def spec(self) -> dict[str, Any]:
        """Return what the stored histograms depend on beside flow and boxes: neither normalisation nor magnitude."""
        spec = {"velocity": 1, "bins": self.stored_bins, "crop_size": self.crop_size, **self.crops.spec()}
        return spec if self.angle == "vu" else {**spec, "angle": self.angle}

    def histograms(self, flow: torch.Tensor, boxes: Sequence[np.ndarray]) -> Features:
        """From which features of every normalisation and magnitude follow.

        Returns
        -------
        l2, l1: ``float32 (M, stored_bins)``, sum of magnitudes in the bin over the number of vectors of the crop;
        share: ``float32 (M, stored_bins)``, share of the vectors that fall into the bin.
        """
        import torch

        counts = [len(b) for b in boxes]
        rows = np.zeros((sum(counts), 5), dtype=np.float32)
        if len(rows):
            rows[:, 0] = np.repeat(np.arange(len(boxes)), counts)
            rows[:, 1:] = np.concatenate(list(boxes))
        rois = torch.from_numpy(rows).to(flow.device)
        parts = [self._block(flow, rois[i : i + _REGIONS_AT_ONCE]) for i in range(0, len(rows), _REGIONS_AT_ONCE)]
        if not parts:
            parts = [np.zeros((3, 0, self.stored_bins), np.float32)]
        l2, l1, share = np.concatenate(parts, axis=1)
        return {"l2": l2, "l1": l1, "share": share}

    def features(self, histograms: Features) -> np.ndarray:
        """Velocity features ``float64 (M, B)`` from stored histograms."""
        sums = self._coarse(histograms[self.magnitude])
        if self.normalisation == "crop_mean":
            return sums
        share = self._coarse(histograms["share"])
        means: np.ndarray = np.divide(sums, share, out=np.zeros_like(sums), where=share > 0)
        return means

    def _coarse(self, fine: np.ndarray) -> np.ndarray:
        if fine.shape[1] % self.n_bins:
            raise ConfigError(f"n_velocity_bins={self.n_bins} does not divide the {fine.shape[1]} stored bins")
        sums: np.ndarray = (
            fine.astype(np.float64).reshape(len(fine), self.n_bins, fine.shape[1] // self.n_bins).sum(axis=2)
        )
        return sums

    def _block(self, flow: torch.Tensor, rois: torch.Tensor) -> np.ndarray:
        """l2, l1 and share of some regions, ``float32 (3, m, bins)``: one pass over all their vectors, no loop."""
        import torch

        bins = self.stored_bins
        if self.crop_size is None:
            u, v, region, counts = _every_pixel(flow, self.crops.boxes(rois, flow.shape[2:]))
        else:
            u, v, region, counts = _flat(self.crops(flow.float(), rois, (self.crop_size, self.crop_size)))
        index = _direction_bins(u, v, bins, self.angle).add_(region * bins).flatten()
        size = len(rois) * bins
        l2 = torch.bincount(index, torch.hypot(u, v).flatten().double(), size)
        l1 = torch.bincount(index, u.abs().add_(v.abs()).flatten().double(), size)
        total = torch.stack([l2, l1, torch.bincount(index, minlength=size).double()])
        return (total.view(3, len(rois), bins) / counts[:, None]).float().cpu().numpy()


Sampled = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"]


def _direction_bins(u: torch.Tensor, v: torch.Tensor, bins: int, angle: str) -> torch.Tensor:
    """``int32``, the bin of the direction of each vector."""
    import torch

    if angle == "uv":
        edges = torch.linspace(-torch.pi, torch.pi, bins + 1, device=u.device)
        return torch.bucketize(torch.atan2(u, v), edges[1:-1], right=True, out_int32=True)
    turn = torch.atan2(v, u) * (bins / (2 * torch.pi))
    # From (-π, π] to [0, 2π); rounding can take a direction just below 0 to 2π itself.
    return torch.where(turn < 0, turn + bins, turn).int().clamp_(max=bins - 1)


def _flat(crops: torch.Tensor) -> Sampled:
    """u, v and region of every vector of ``crops (m, 2, s, s)``, each ``(s², m)``; vectors in a region ``(m,)``.

    Regions take turns: neighbours of one region mostly share a bin, and an addition to it waits for the one before.
    """
    import torch

    crops = crops.flatten(2)
    regions, _, size = crops.shape
    counts = torch.full((regions,), size, device=crops.device)
    region = torch.arange(regions, dtype=torch.int32, device=crops.device)
    return crops[:, 0].t(), crops[:, 1].t(), region, counts


def _every_pixel(flow: torch.Tensor, rois: torch.Tensor) -> Sampled:
    """Return the same for the pixels that the boxes touch, each once."""
    import torch

    height, width = flow.shape[2:]
    frame = rois[:, 0].long()
    x1, y1 = rois[:, 1].floor().long().clamp(0, width - 1), rois[:, 2].floor().long().clamp(0, height - 1)
    wide = (rois[:, 3].ceil().long().clamp(max=width) - x1).clamp(min=1)
    high = (rois[:, 4].ceil().long().clamp(max=height) - y1).clamp(min=1)
    counts = wide * high
    region = torch.arange(len(rois), device=flow.device).repeat_interleave(counts)
    place = torch.arange(len(region), device=flow.device) - (counts.cumsum(0) - counts)[region]
    row, column = place // wide[region], place % wide[region]
    vectors = flow[frame[region], :, y1[region] + row, x1[region] + column]
    return vectors[:, 0], vectors[:, 1], region.int(), counts
