"""Parameters out of a checkpoint file, and whether they fit a network."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import torch

from vadbench.backbones.weights import Weights
from vadbench.errors import WeightsError

_NESTED = ("model_state", "state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "net.")


def read(weights: Weights) -> dict[str, torch.Tensor]:
    """Parameters by name from a checkpoint, without wrappers and prefixes; nothing in the file is executed."""
    assert weights.file is not None
    try:
        if weights.file.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(weights.file)
        else:
            content = torch.load(weights.file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{weights.file}: not a checkpoint that can be read safely ({_first_line(error)}). It must hold tensors "
            "only, as torch.save(network.state_dict(), file) writes them"
        ) from error
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise WeightsError(
            f"{weights.file}: holds no parameters by name. Expected a state dict, bare or under one of: "
            f"{', '.join(_NESTED)}"
        )
    return tensors


def fitted(
    tensors: Mapping[str, torch.Tensor],
    needed: Mapping[str, torch.Tensor],
    known: Mapping[str, torch.Tensor],
    where: str,
) -> dict[str, torch.Tensor]:
    """Those of ``tensors`` that ``needed`` names, prefixes taken off.

    Parameters
    ----------
    tensors: what the file holds.
    needed: parameters of the cut network; every one must be there, in the right shape.
    known: parameters of the whole network; others in the file are an error, for then it is of another network.
    where: the file, for the message.

    Raises
    ------
    WeightsError: names the keys that are missing, unknown or of another shape.
    """
    names = _without_prefix(tensors, known)
    missing = [key for key in needed if key not in names and not key.endswith("num_batches_tracked")]
    unknown = [key for key in names if key not in known]
    shapes = [
        f"{key} {tuple(names[key].shape)} in place of {tuple(needed[key].shape)}"
        for key in needed
        if key in names and names[key].shape != needed[key].shape
    ]
    faults = {"missing": missing, "unknown": unknown, "of another shape": shapes}
    if any(faults.values()):
        lines = "\n".join(f"  {what}: {_few(keys)}" for what, keys in faults.items() if keys)
        raise WeightsError(f"{where}: these weights are of another network.\n{lines}")
    return {key: names[key] for key in needed if key in names}


def _without_prefix(tensors: Mapping[str, torch.Tensor], known: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    """``tensors`` under the network's own names, where a wrapper put a prefix before all of them."""
    while not any(key in known for key in tensors):
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _few(keys: list[str]) -> str:
    shown = ", ".join(keys[:5])
    return shown if len(keys) <= 5 else f"{shown} and {len(keys) - 5} more"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
