"""Where the matrix products of a density run: on the CPU with numpy, or on a GPU with torch.

Both take the same expressions (``@``, ``+=``, slices); what is written differently in the two is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.imports import torch_device

if TYPE_CHECKING:
    import torch


class Cpu:
    """Arrays stay where they are."""

    def put(self, array: np.ndarray) -> Any:
        """Return ``array`` on the device."""
        return array

    def get(self, array: Any) -> np.ndarray:
        """Return what is on the device as an array."""
        return np.asarray(array)

    def subtract_product(self, target: Any, left: Any, right: Any) -> None:
        """Subtract ``left @ right`` from ``target``, all of one type and C-contiguous, in place."""
        import scipy.linalg

        # By columns of the transposed: what numpy would hold in between is as large as the target.
        blas = scipy.linalg.blas
        multiply = blas.dgemm if target.dtype == np.float64 else blas.sgemm
        multiply(-1.0, right.T, left.T, 1.0, target.T, overwrite_c=True)


class Gpu:
    """Arrays are copied to a torch device.

    Parameters
    ----------
    device: any torch device; the CPU gives the same numbers up to rounding.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def put(self, array: np.ndarray) -> Any:
        """Return ``array`` on the device."""
        import torch

        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def get(self, array: Any) -> np.ndarray:
        """Return what is on the device as an array."""
        return np.asarray(array.cpu().numpy())

    def subtract_product(self, target: Any, left: Any, right: Any) -> None:
        """Subtract ``left @ right`` from ``target`` in place."""
        target.addmm_(left, right, alpha=-1.0)


def device_named(name: str) -> Cpu | Gpu:
    """Return the device called "cpu", "auto" or as torch does; ConfigError where it is not there."""
    if name == "cpu":
        return Cpu()
    found = torch_device(name)
    return Cpu() if found.type == "cpu" else Gpu(found)
