"""PyTorch's compiler: a minute or so of compilation in every process, then faster than eager. Needs a C++ compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.engines.traced import BOUND, distance, traced
from vadbench.errors import VadbenchError

if TYPE_CHECKING:
    import torch


class Compiled:
    """Runs clips one by one, so that features do not depend on the batch.

    Parameters
    ----------
    eager: what to compute, and the reference.
    clip: ``(1, 3, T, H, W)``, any clip of the wanted size; what is compiled must agree with eager on it.

    Raises
    ------
    VadbenchError: it computes something else. Others: whatever torch can't compile.
    """

    mark = "compile"

    def __init__(self, eager: Eager, clip: torch.Tensor) -> None:
        import torch

        self.layers = tuple(eager.calls)
        self._graph = torch.compile(traced(eager, clip), dynamic=False, options={"freezing": True})
        found = distance(self(clip), eager(clip))
        if not found <= BOUND[eager.precision]:
            raise VadbenchError(
                f"what it computes differs from eager by {found:.1e} of the features, more than "
                f"{BOUND[eager.precision]:.0e}"
            )

    def __call__(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output of clips ``(N, 3, T, H, W)``."""
        import torch

        with torch.no_grad():
            parts = [[output.clone() for output in self._graph(clip)] for clip in torch.split(clips, 1)]
        return {layer: torch.cat(outputs) for layer, outputs in zip(self.layers, zip(*parts, strict=True), strict=True)}
