"""Which engine runs a network: the one that was asked for, or for ``auto`` the fastest exact one that is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
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

    def __call__(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output, as the network gives it, of clips ``(N, 3, T, H, W)``."""


ENGINES: dict[str, Callable[[Eager, torch.Tensor], Engine]] = {
    "eager": lambda eager, clip: eager,
    "openvino": OpenVino,
    "compile": Compiled,
}


def check_openvino(device: str) -> None:
    """ConfigError where OpenVINO was asked for and is not installed or can't run on ``device`` ("cpu", "cuda")."""
    if not installed():
        raise ConfigError(
            "backbone.engine=openvino: OpenVINO is not installed. Install it with pip install 'vadbench[openvino]', or "
            "take backbone.engine=auto, which uses it where it is there."
        )
    if device != "cpu":
        raise ConfigError("backbone.engine=openvino runs on a CPU; set runtime.device=cpu, or backbone.engine=auto")


def takes(asked: str, mark: str) -> bool:
    """Return whether features that the engine ``mark`` made may be used where ``asked`` was asked for."""
    return asked in ("auto", mark.partition(" ")[0])


def fastest(device: str, work: Callable[[], float]) -> str:
    """Return the engine of ``auto``; ``work`` counts the multiply-adds of all training clips."""
    fits = device == "cpu" and installed() and work() >= WORTH_CONVERTING
    return "openvino" if fits else "eager"


def ready(asked: str, chosen: str, eager: Eager, clip: torch.Tensor, what: str) -> tuple[Engine, str]:
    """Return the engine ``chosen`` for clips like ``clip``, and why it is another one (empty if it is not).

    Parameters
    ----------
    asked: as configured. eager: what to compute. clip: ``(1, 3, T, H, W)``. what: such as "x3d_s up to blocks.4".

    Raises
    ------
    ConfigError: an engine that was asked for by its name can't run the network.
    """
    try:
        return ENGINES[chosen](eager, clip), ""
    except Exception as error:  # converters and compilers raise whatever their libraries raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()[:300]
        log.debug("engine %s", chosen, exc_info=True)
        if asked != "auto":
            raise ConfigError(
                f"backbone.engine={asked} can't run {what}: {reason}. Take backbone.engine=auto, which falls back to "
                "eager and records it, or backbone.engine=eager."
            ) from error
        remark = f"backbone.engine=auto: {chosen} can't run {what} ({reason}); eager ran it"
        log.warning(remark)
        return eager, remark
