"""PyTorch's compiler: a minute or so of compilation in every process, then faster than eager. Needs a C++ compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.engines.traced import BOUND, distance, in_blocks, traced
from vadbench.errors import VadbenchError

if TYPE_CHECKING:
    import torch


class Compiled:
    """Runs as many rows at once as ``eager`` says, clips one by one, so that features do not depend on the batch.

    Parameters
    ----------
    eager: what to compute, and the reference.
    inputs: a clip ``(1, 3, T, H, W)``, any of the wanted size; what is compiled must agree with eager on it.

    Raises
    ------
    VadbenchError: it computes something else. Others: whatever torch can't compile.
    """

    mark = "compile"

    def __init__(self, eager: Eager, *inputs: torch.Tensor) -> None:
        import torch

        self.names, self.rows = eager.names, eager.rows
        self._graph = torch.compile(traced(eager, *inputs), dynamic=False, options={"freezing": True})
        found = distance(self(*inputs), eager(*inputs))
        if not found <= BOUND[eager.precision]:
            raise VadbenchError(
                f"what it computes differs from eager by {found:.1e} of the features, more than "
                f"{BOUND[eager.precision]:.0e}"
            )

    def __call__(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output of clips ``(N, 3, T, H, W)``."""
        import torch

        # Out of inference mode, for which the graph would be compiled once more.
        with torch.inference_mode(False), torch.no_grad():
            outputs = in_blocks(self._block, self.rows, [x.clone() if x.is_inference() else x for x in inputs])
        return dict(zip(self.names, outputs, strict=True))

    def _block(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        return [output.clone() for output in self._graph(*inputs)]
