"""Which weights a backbone gets: published ones, random ones or a file, and what a checkpoint file holds.

Importing this module never imports torch.

``backbone.weights`` is ``pretrained`` (the publisher's default file), the tag of one of the publisher's files,
``random``, or the path of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench.backbones.base import Facts
from vadbench.backbones.weights_file import WeightsFile, digest_of, obtain
from vadbench.errors import WeightsError, nearest

if TYPE_CHECKING:
    import torch

RANDOM = "random"
PRETRAINED = "pretrained"

# Changes whenever random weights of one seed come out different; part of their digest.
RANDOM_RECIPE = "builder initialisation, batch-norm statistics from training clips/1"

_NESTED = ("model_state", "state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "net.")


@dataclass(frozen=True)
class Weights:
    """Which weights a network gets.

    Attributes
    ----------
    name: "random", the publisher's tag, or the path as given.
    file: where they are; None for random ones.
    digest: SHA-256 of the file, or of the recipe of random ones.
    seed: of random ones.
    """

    name: str
    file: Path | None
    digest: str
    seed: int | None = None

    @property
    def random(self) -> bool:
        """True for weights that were never trained."""
        return self.file is None


def find(backbone: str, facts: Facts, asked: str | None, seed: int) -> Weights:
    """Return the weights that ``asked`` means, fetched if need be and checked against the publisher's digest.

    Raises
    ------
    WeightsError: no such file; a file that can't be fetched; a digest that differs.
    """
    if asked == RANDOM:
        recipe = json.dumps({"backbone": backbone, "seed": seed, "recipe": RANDOM_RECIPE}, sort_keys=True)
        return Weights(RANDOM, None, hashlib.sha256(recipe.encode()).hexdigest(), seed)
    (file,) = weights_files(backbone, facts, asked)
    path = obtain(file)
    name = facts.checkpoints[0].tag if asked == PRETRAINED else str(asked)
    return Weights(name, path, digest_of(path))


def weights_files(backbone: str, facts: Facts, asked: str | None) -> list[WeightsFile]:
    """Return the file that :func:`find` would read, here or not; none for random weights and filter banks.

    Raises
    ------
    WeightsError: ``asked`` is neither a file nor weights of this backbone.
    """
    if asked == RANDOM or not facts.is_network:
        return []
    published = {checkpoint.tag: checkpoint for checkpoint in facts.checkpoints}
    part, words = f"backbone ({backbone})", f"backbone.weights={asked or 'null'}"
    if asked == PRETRAINED:
        asked = facts.checkpoints[0].tag
    if asked in published:
        checkpoint = published[asked]
        return [
            WeightsFile(
                part,
                words,
                checkpoint.file,
                checkpoint.url,
                checkpoint.sha256_prefix,
                facts.parameters * 4 / 1e6,
                without="backbone.weights=random runs the same network untrained (such numbers say nothing about the "
                "method), backbone=flow_grid needs no weights at all.",
            )
        ]
    path = Path(asked or "").expanduser()
    if not asked or not path.is_file():
        raise WeightsError(
            f"{words}: neither a file nor weights of backbone {backbone!r}. "
            f"{nearest(asked or 'null', [PRETRAINED, RANDOM, *published])} Or the path of a checkpoint."
        )
    return [WeightsFile(part, words, path.name, elsewhere=(path,))]


def read(weights: Weights) -> dict[str, torch.Tensor]:
    """Parameters by name from a checkpoint, without wrappers and prefixes; nothing in the file is executed."""
    import torch

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
    needed: what the network reads up to its last wanted layer; every one must be there, in the right shape.
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
