"""Which axis of a layer's output is what, found out by watching how its shape answers to the input's.

A layer's output is a feature map if its axes can be told apart: one follows the number of clips, one the frames, one
the height, one the width, and what follows nothing is the channels. That holds for any order of axes, so that
channels-first convolutions and channels-last transformers need no case of their own. Rows of patch tokens are told by
their number.

Shape legend: N clips, C channels, T frames, H W pixels, t h w feature grid, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
Probes = Mapping[str, Shape]
"""Shape of one layer's output under the input "base", under "N" with one clip more, and under "T", "H", "W" with that
size of the input enlarged."""

_GRID = ("T", "H", "W")


@dataclass(frozen=True)
class Layout:
    """How an output becomes ``(N, C, t, h, w)``.

    Attributes
    ----------
    order: axes of the output in the order N, C..., t, h, w (those that it has; for tokens: N, C..., L).
    channels: number of axes between N and the grid; they are flattened into C.
    tokens: (t, h, w) of patch tokens, which are in rows; None where t, h and w are axes.
    skip: leading tokens that are no patch (the class token).
    missing: grid axes that the output lacks, as indices into (t, h, w).
    """

    order: tuple[int, ...]
    channels: int
    missing: tuple[int, ...] = ()
    tokens: tuple[int, int, int] | None = None
    skip: int = 0

    def maps(self, output: torch.Tensor) -> torch.Tensor:
        """Return ``output`` as ``(N, C, t, h, w)``."""
        import torch

        x = output.permute(self.order)
        x = x.flatten(1, self.channels) if self.channels else x.unsqueeze(1)
        if self.tokens is not None:
            return torch.unflatten(x[:, :, self.skip :], 2, self.tokens)
        for axis in self.missing:
            x = x.unsqueeze(2 + axis)
        return x

    def shape(self, output: Shape) -> tuple[int, int, int, int]:
        """(C, t, h, w) of an output of that shape."""
        sizes = [output[i] for i in self.order]
        channels = prod(sizes[1 : 1 + self.channels])
        if self.tokens is not None:
            return (channels, *self.tokens)
        grid = sizes[1 + self.channels :]
        for axis in self.missing:
            grid.insert(axis, 1)
        return (channels, grid[0], grid[1], grid[2])


def axes_layout(probes: Probes) -> Layout | None:
    """Layout of an output whose grid axes are apart; None if it is no feature map (windows merged with clips, say)."""
    base = probes["base"]
    roles: list[set[str]] = [
        {name for name, shape in probes.items() if name != "base" and shape[axis] != base[axis]}
        for axis in range(len(base))
    ]
    if (
        len(base) < 2
        or not _counts_clips(probes)
        or roles[0] != {"N"}
        or any(len(role) > 1 or "N" in role for role in roles[1:])
    ):
        return None
    where = {next(iter(role)): axis for axis, role in enumerate(roles) if role}
    if len(where) != sum(bool(role) for role in roles):
        return None
    free = [axis for axis, role in enumerate(roles) if not role]
    # An axis that was pooled to one answers to nothing and is no channel either.
    channels = [axis for axis in free if base[axis] > 1]
    if len(channels) > 1:
        return None
    pooled = [axis for axis in free if axis not in channels]
    order = [0, *channels, *pooled, *(where[name] for name in _GRID if name in where)]
    missing = tuple(i for i, name in enumerate(_GRID) if name not in where)
    return Layout(tuple(order), len(channels) + len(pooled), missing)


def token_layout(probes: Probes, grids: Sequence[tuple[int, int, int]]) -> Layout | None:
    """Layout of an output with a row of patch tokens; None if no axis counts patches.

    Parameters
    ----------
    probes: at least "base" and "N".
    grids: every (t, h, w) that the network has patches on.
    """
    base = probes["base"]
    if len(base) < 2 or not _counts_clips(probes):
        return None
    if len(base) == 2:
        return Layout((0, 1), 1, (0, 1, 2))
    if len(base) == 5 and base[2:] in grids:
        return Layout((0, 1, 2, 3, 4), 1)
    # Where an attention matrix has tokens on both sides, the second to last axis is the one that asks.
    for axis in sorted(range(1, len(base)), key=lambda i: (i != len(base) - 2, i)):
        for grid in grids:
            skip = base[axis] - prod(grid)
            if skip in (0, 1):
                rest = [i for i in range(1, len(base)) if i != axis]
                return Layout((0, *rest, axis), len(rest), (), grid, skip)
    return None


def _counts_clips(probes: Probes) -> bool:
    """Return True if the first axis, and no other, counts clips (and not clips times attention heads, say)."""
    base, more = probes["base"], probes["N"]
    return more[0] == base[0] + 1 and more[1:] == base[1:]
