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
        if planes.device.type == "cpu" and planes.dtype == rois.dtype and _enlarged(rois, size, self.aligned):
            return _sampled(planes, rois, size, self.aligned)
        from torchvision.ops import roi_align

        crops: torch.Tensor = roi_align(planes, rois, size, aligned=self.aligned)
        return crops

    def boxes(self, rois: torch.Tensor, frame: tuple[int, ...]) -> torch.Tensor:
        """Return the part of a ``frame`` (H, W) that each of ``rois (M, 5)`` stands for: itself or its whole pixels."""
        import torch

        if not self.integer:
            return rois
        limit = rois.new_tensor([frame[1], frame[0]])
        first = torch.minimum(rois[:, 1:3].floor().clamp(min=0), limit - 1)
        last = torch.maximum(torch.minimum(rois[:, 3:].floor(), limit), first + 1)
        return torch.cat([rois[:, :1], first, last], dim=1)

    def spec(self) -> dict[str, Any]:
        """Return what crops depend on; empty for the defaults, so that stored features keep their names."""
        return ({} if self.aligned else {"roi_aligned": False}) | ({"integer_crops": True} if self.integer else {})


def _enlarged(rois: torch.Tensor, size: tuple[int, int], aligned: bool) -> bool:
    """Return whether every pixel of every crop is one sample: no box is larger than its crop, and none is empty."""
    sides = rois[:, 3:] - rois[:, 1:3]
    least = 0 if aligned else -1  # there a side counts as 1 at least
    return bool(((sides <= sides.new_tensor([size[1], size[0]])) & (sides > least)).all())


def _sampled(planes: torch.Tensor, rois: torch.Tensor, size: tuple[int, int], aligned: bool) -> torch.Tensor:
    """Return what ``roi_align`` gives for such boxes, to the bit, some three times as fast.

    Rows and columns are copied as wholes, and the sums are in its order.
    """
    import torch

    height, width = planes.shape[2:]
    top, bottom, upper, lower = _between(rois[:, 2], rois[:, 4], size[0], height, aligned)
    left, right, near, far = _between(rois[:, 1], rois[:, 3], size[1], width, aligned)
    crops = planes.new_empty((len(rois), planes.shape[1], *size))
    for i, (crop, frame) in enumerate(zip(crops, rois[:, 0].long().tolist(), strict=True)):
        first = int(top[i, 0])
        rows = planes[frame, :, first : int(bottom[i, -1]) + 1]
        at_left, at_right = rows.index_select(2, left[i]), rows.index_select(2, right[i])
        above, below = top[i] - first, bottom[i] - first
        torch.mul(at_left.index_select(1, above), torch.outer(upper[i], near[i]), out=crop)
        crop += at_right.index_select(1, above).mul_(torch.outer(upper[i], far[i]))
        crop += at_left.index_select(1, below).mul_(torch.outer(lower[i], near[i]))
        crop += at_right.index_select(1, below).mul_(torch.outer(lower[i], far[i]))
        crop += 0.0  # a sum of negative zeros is a positive one there, which has another direction
    return crops


def _between(
    start: torch.Tensor, end: torch.Tensor, n: int, limit: int, aligned: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """For ``n`` samples along one side of each box: the pixels before and after each, ``int64 (M, n)``, and the
    share of either; both are 0 more than a pixel outside the frame."""
    import torch

    shift = 0.5 if aligned else 0.0
    first, last = start - shift, end - shift
    length = last - first if aligned else (last - first).clamp(min=1)
    step = (length / n)[:, None]
    place = first[:, None] + torch.arange(n) * step + 0.5 * step
    inside = (place >= -1) & (place <= limit)
    place = place.clamp(min=0)
    before = place.long().clamp(max=limit - 1)
    after = (before + 1).clamp(max=limit - 1)
    share = torch.where(before == after, 0.0, place - before)
    return before, after, (1 - share) * inside, share * inside


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
