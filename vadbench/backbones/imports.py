"""torch, torchvision and pytorchvideo, imported when a network is needed, with an error that says what does not fit."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vadbench.errors import ConfigError, VadbenchError, nearest

if TYPE_CHECKING:
    import torch


class BrokenInstall(VadbenchError):
    """Packages that are installed but do not work together."""


def torchvision_models() -> ModuleType:
    """``torchvision.models``; BrokenInstall where torch and torchvision are not built for each other."""
    try:
        importlib.import_module("torch")
        return importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError, OSError) as error:
        raise BrokenInstall(_explained(error)) from error


def builder(entry: str) -> Any:
    """Return the function that ``"module:function"`` names, from torchvision or pytorchvideo."""
    torchvision_models()  # pytorchvideo imports it too, and would hide what is wrong with it
    module, _, name = entry.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pytorchvideo scripts an activation at import
            return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BrokenInstall(
            f"{module} does not import ({error}). Install it again: pip install --force-reinstall "
            f"'{module.partition('.')[0]}'. Without it, backbone=flow_grid and backbone=gradient3d work."
        ) from error


def versions(entry: str) -> dict[str, str]:
    """Versions of the packages that a network's numbers come from; nothing is imported."""
    packages = dict.fromkeys(("torch", "torchvision", entry.partition(".")[0]))
    return {package: installed_version(package) for package in packages}


def _explained(error: Exception) -> str:
    """Say what is wrong, in terms of what to install."""
    found = f"torch {installed_version('torch')} and torchvision {installed_version('torchvision')}"
    text = " ".join(str(error).split())
    if "torchvision::" in text or "undefined symbol" in text:
        cause = (
            "torchvision was built for another torch. This happens with a CPU-only torch beside the torchvision of the "
            "ordinary package index, or with versions that do not belong together"
        )
    else:
        cause = "they do not import"
    return (
        f"{found} are installed, but {cause} ({text}). Install both from the same index in one go: "
        "pip install --force-reinstall torch torchvision. Backbones without a network (backbone=flow_grid, "
        "backbone=gradient3d) work meanwhile."
    )


@cache
def installed_version(package: str) -> str:
    """Version of a package, "none" where it is not installed; nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


# Up to this many GiB of GPU memory, this many clips or images at once.
_AT_ONCE = ((24, 16), (48, 32))
_AT_ONCE_BEYOND = 64


def images_at_once(name: str) -> int:
    """Return how many clips or images a network on the device ``name`` takes at once where nobody says: by the memory
    of the device, never by a timing. A CPU gains nothing from more than one."""
    import torch

    device = torch_device(name)
    if device.type == "cpu":
        return 1
    gib = torch.cuda.get_device_properties(device).total_memory / 2**30
    return next((count for bound, count in _AT_ONCE if gib <= bound), _AT_ONCE_BEYOND)


def torch_device(name: str) -> torch.device:
    """Return the torch device; ConfigError where it is not there."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"runtime.device={name}: no such device. {nearest(name, ['auto', 'cpu', 'cuda'])}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"runtime.device={name}: torch can use {torch.cuda.device_count()} GPUs on this machine; try "
            "runtime.device=cpu"
        )
    return device
