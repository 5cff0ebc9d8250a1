"""Crops of boxes, all stretched to one size.

Shape legend: N frames, C channels, H W pixels, M boxes of all frames, h w size of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vadbench.errors import ConfigError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Cropping:
    """How a box becomes a crop.

    Attributes
    ----------
    aligned: True puts pixel centres at halves, so that a box ends where its last pixel ends; False at whole numbers,
        which reads half a pixel further right and down (``aligned`` of torchvision's ``roi_align``, whose default
        anomalib keeps).
    integer: True cuts the whole pixels from the rounded-down left and top to the rounded-down right and bottom corner
        and stretches them bilinearly (official code), so that nothing outside them is read.
    """

    aligned: bool = True
    integer: bool = False

    def __post_init__(self) -> None:
        if self.integer and not self.aligned:
            raise ConfigError(
                "roi_aligned=false has no effect beside integer_crops=true, which cuts whole pixels. Leave one of them."
            )

    def __call__(self, planes: torch.Tensor, rois: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Crops ``(M, C, h, w)`` of ``planes (N, C, H, W)``; ``rois (M, 5)``: frame, x1, y1, x2, y2 in pixels."""
        if self.integer:
            return _stretched(planes, self.boxes(rois, planes.shape[2:]), size)
        from torchvision.ops import roi_align

        crops: torch.Tensor = roi_align(planes, rois, size, aligned=self.aligned)
        return crops

    def boxes(self, rois: torch.Tensor, frame: tuple[int, ...]) -> torch.Tensor:
        """The part of a ``frame`` (H, W) that each of ``rois (M, 5)`` stands for: itself, or its whole pixels."""
        import torch

        if not self.integer:
            return rois
        limit = rois.new_tensor([frame[1], frame[0]])
        first = torch.minimum(rois[:, 1:3].floor().clamp(min=0), limit - 1)
        last = torch.maximum(torch.minimum(rois[:, 3:].floor(), limit), first + 1)
        return torch.cat([rois[:, :1], first, last], dim=1)

    def spec(self) -> dict[str, Any]:
        """What crops depend on; empty for the defaults, so that stored features keep their names."""
        return ({} if self.aligned else {"roi_aligned": False}) | ({"integer_crops": True} if self.integer else {})


def _stretched(planes: torch.Tensor, rois: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Whole-pixel boxes ``rois (M, 5)`` resized bilinearly, each as if it were an image of its own."""
    import torch

    frame = rois[:, 0].long()
    (top, bottom, down), (left, right, along) = (
        _neighbours(rois[:, 2], rois[:, 4], size[0]),
        _neighbours(rois[:, 1], rois[:, 3], size[1]),
    )
    down, along = down[:, :, None, None], along[:, None, :, None]

    def row(y: torch.Tensor) -> torch.Tensor:
        f, y = frame[:, None, None], y[:, :, None]
        return torch.lerp(planes[f, :, y, left[:, None, :]], planes[f, :, y, right[:, None, :]], along)

    return torch.lerp(row(top), row(bottom), down).permute(0, 3, 1, 2)


def _neighbours(first: torch.Tensor, end: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For ``n`` samples of the pixels [first, end) of each box: the pixels beside each, and the share of the second."""
    import torch

    length = (end - first)[:, None]
    centre = (torch.arange(n, device=first.device) + 0.5) * length / n - 0.5
    centre = torch.minimum(centre.clamp(min=0), length - 1)
    low = centre.floor()
    high = torch.minimum(low + 1, length - 1)
    start = first[:, None]
    return (start + low).long(), (start + high).long(), centre - low
