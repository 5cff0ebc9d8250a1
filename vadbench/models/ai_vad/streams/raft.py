"""RAFT of torchvision on sequences: each frame is encoded once, and only the last update is brought to full size.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020. The network, its weights and
its arithmetic are torchvision's.

Shape legend: N frame pairs, H W pixels of the network's input, F feature channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

# Encodings kept from one call to the next, so that a frame that ends one pair and begins a later one is encoded once.
_KEPT = 4


class SharedEncoder:
    """The feature maps of frames by what is in them; a frame that was seen a moment ago is not encoded again.

    ``encode`` makes the maps ``(n, F, H/8, W/8)`` of frames ``uint8 (n, h, w, 3)``.
    """

    def __init__(self, encode: Callable[[np.ndarray], torch.Tensor]) -> None:
        self.encode = encode
        self._maps: dict[bytes, torch.Tensor] = {}

    def __call__(self, frames: np.ndarray) -> torch.Tensor:
        """Feature maps of ``frames``; those that are new are encoded together."""
        import torch

        names = [hashlib.blake2b(frame.tobytes(), digest_size=16).digest() for frame in frames]
        new = {name: frame for name, frame in zip(names, frames, strict=True) if name not in self._maps}
        if new:
            # A view of a batch would hold all of it.
            self._maps |= zip(new, (one.clone() for one in self.encode(np.stack(list(new.values())))), strict=True)
        found = torch.stack([self._maps[name] for name in names])
        recent = list(dict.fromkeys([*reversed(names), *reversed(self._maps)]))[:_KEPT]
        self._maps = {name: self._maps[name] for name in reversed(recent)}
        return found


def refine(network: Any, maps: Sequence[torch.Tensor], first: torch.Tensor, updates: int) -> torch.Tensor:
    """Flow ``float32 (N, 2, H, W)`` after so many updates: the last that torchvision's ``forward`` returns, to the bit.

    ``maps``: feature maps of the first and the last frames. ``first``: the first frames ``(N, 3, H, W)`` in [-1, 1].
    """
    import torch
    from torchvision.models.optical_flow._utils import make_coords_grid, upsample_flow

    network.corr_block.build_pyramid(*maps)
    hidden_size = network.update_block.hidden_state_size
    hidden, context = network.context_encoder(first).tensor_split([hidden_size], dim=1)
    hidden, context = torch.tanh(hidden), torch.relu(context)
    start = make_coords_grid(len(first), *maps[0].shape[-2:]).to(first.device)
    place = start
    for _ in range(updates):
        correlation = network.corr_block.index_pyramid(centroids_coords=place)
        hidden, step = network.update_block(hidden, context, correlation, place - start)
        place = place + step
    mask = None if network.mask_predictor is None else network.mask_predictor(hidden)
    flow: torch.Tensor = upsample_flow(flow=place - start, up_mask=mask)
    return flow
