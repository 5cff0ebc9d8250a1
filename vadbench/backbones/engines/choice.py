"""Which engine runs a network: the one that was asked for, or for ``auto`` the fastest exact one that is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from vadbench.backbones.engines.compiled import Compiled
from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.engines.openvino import OpenVino, installed
from vadbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

WORTH_CONVERTING = 100e9
"""Multiply-adds in all training clips from which ``auto`` converts a network (see docs/engines.md). A conversion costs
about 7 CPU seconds and saves about 0.1 for every 1e9; below, a run would be slower for it."""


class Engine(Protocol):
    """Runs a network up to its last wanted layer.

    Attributes
    ----------
    mark: its name, and its version where that is not torch's.
    """

    mark: str

    def __call__(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output, as the network gives it, of clips ``(N, 3, T, H, W)``."""


ENGINES: dict[str, Callable[..., Engine]] = {
    "eager": lambda eager, *inputs: eager,
    "openvino": OpenVino,
    "compile": Compiled,
}


def check_openvino(device: str, key: str = "backbone.engine") -> None:
    """ConfigError where OpenVINO was asked for and is not installed or can't run on ``device`` ("cpu", "cuda")."""
    if not installed():
        raise ConfigError(
            f"{key}=openvino: OpenVINO is not installed. Install it with pip install 'vadbench[openvino]', or "
            f"take {key}=auto, which uses it where it is there."
        )
    if device != "cpu":
        raise ConfigError(f"{key}=openvino runs on a CPU; set runtime.device=cpu, or {key}=auto")


def takes(asked: str, mark: str) -> bool:
    """Return whether features that the engine ``mark`` made may be used where ``asked`` was asked for."""
    return asked in ("auto", mark.partition(" ")[0])


def fastest(device: str, work: Callable[[], float]) -> str:
    """Return the engine of ``auto``; ``work`` counts the multiply-adds of all training clips."""
    fits = device == "cpu" and installed() and work() >= WORTH_CONVERTING
    return "openvino" if fits else "eager"


def ready(
    asked: str, chosen: str, eager: Eager, inputs: Sequence[torch.Tensor], what: str, key: str = "backbone.engine"
) -> tuple[Engine, str]:
    """Return the engine ``chosen`` for inputs like these, and why it is another one (empty if it is not).

    Parameters
    ----------
    asked: as configured under ``key``. eager: what to compute. inputs: ``eager.rows`` rows, such as one clip
        ``(1, 3, T, H, W)``. what: such as "x3d_s up to blocks.4".

    Raises
    ------
    ConfigError: an engine that was asked for by its name can't run the network.
    """
    try:
        return ENGINES[chosen](eager, *inputs), ""
    except Exception as error:  # converters and compilers raise whatever their libraries raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()[:300]
        log.debug("engine %s", chosen, exc_info=True)
        if asked != "auto":
            raise ConfigError(
                f"{key}={asked} can't run {what}: {reason}. Take {key}=auto, which falls back to eager and records it, "
                f"or {key}=eager."
            ) from error
        remark = f"{key}=auto: {chosen} can't run {what} ({reason}); eager ran it"
        log.warning(remark)
        return eager, remark
