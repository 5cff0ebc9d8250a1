"""Weights of the networks that AI-VAD is made of: pretrained, random, or a file; and which they are, without loading.

Weights are named by a word: ``"pretrained"`` (the publisher's, downloaded once), ``"random"`` (drawn with a seed; for
trying things out, the results mean nothing) or the path of a checkpoint.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench.backbones.weights import search_folders
from vadbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn


@functools.cache
def file_digest(path: str) -> str:
    """SHA-256 hex digest of a checkpoint."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 22):
            sha.update(block)
    return sha.hexdigest()


def describe(word: str, seed: int, published: str, key: str) -> dict[str, Any]:
    """What identifies the weights: ``name`` (pretrained, random or file) and ``digest``.

    Parameters
    ----------
    word: "pretrained", "random" or a path. seed: of random weights. published: the publisher's file name, which holds
        part of its digest. key: the configuration key that ``word`` came from, for the message.
    """
    if word == "pretrained":
        return {"name": "pretrained", "digest": published}
    if word == "random":
        return {"name": "random", "digest": f"seed-{seed}"}
    return {"name": Path(word).name, "digest": file_digest(existing(word, key))}


def existing(path: str, key: str) -> str:
    """``path`` if it is a file; WeightsError otherwise."""
    if not Path(path).expanduser().is_file():
        raise WeightsError(
            f"{key}={path}: there is no such file. Give 'pretrained', 'random' or the path of a checkpoint."
        )
    return str(Path(path).expanduser())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws from ``seed``; outside, nothing has changed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def published_file(architecture: str) -> str:
    """File name of the default weights of a torchvision architecture, without a download."""
    from torchvision.models import get_model_weights

    return str(get_model_weights(architecture).DEFAULT.url).rsplit("/", 1)[1]


def torchvision_network(
    architecture: str, word: str, seed: int, device: str, key: str, without: str, **options: Any
) -> nn.Module:
    """A torchvision network, frozen, in evaluation mode.

    Parameters
    ----------
    architecture: such as "maskrcnn_resnet50_fpn_v2".
    word, seed: which weights.
    key: the configuration key that ``word`` came from. without: how to do without this network, for the message.
    options: passed to torchvision's builder.
    """
    from torchvision.models import get_model, get_model_weights

    if word == "random":
        backbone: dict[str, Any] = {} if architecture.startswith("raft") else {"weights_backbone": None}
        with seeded(seed):
            network = get_model(architecture, weights=None, **backbone, **options)
    else:
        default = get_model_weights(architecture).DEFAULT
        load = _from_file(word, key) if word != "pretrained" else _from_publisher(default.url, key, without)
        # The builders change the network to fit the weights (frozen batch norm, its epsilon), so they have to be told
        # that these are the published ones wherever the file lies.
        try:
            with _state_dict_from(load):
                network = get_model(architecture, weights=default, **options)
        except RuntimeError as error:  # torch's word for a state dict that does not fit
            raise WeightsError(
                f"{key}={word} does not fit {architecture}: {' '.join(str(error).split())[:200]}..."
            ) from error
    return network.eval().requires_grad_(False).to(device)


@contextmanager
def _state_dict_from(load: Callable[[], dict[str, Any]]) -> Iterator[None]:
    from torchvision.models import WeightsEnum

    before = WeightsEnum.get_state_dict
    WeightsEnum.get_state_dict = lambda self, *args, **kwargs: load()
    try:
        yield
    finally:
        WeightsEnum.get_state_dict = before


def _from_file(path: str, key: str) -> Callable[[], dict[str, Any]]:
    def load() -> dict[str, Any]:
        import torch

        file = existing(path, key)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise WeightsError(f"{key}={path}: not a checkpoint that can be read safely: {error}") from error
        return dict(state.get("state_dict", state))

    return load


def _from_publisher(url: str, key: str, without: str) -> Callable[[], dict[str, Any]]:
    name = url.rsplit("/", 1)[1]
    folders = search_folders()
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is not None:
        _check_published(found)
        return _from_file(str(found), key)

    def load() -> dict[str, Any]:
        import torch

        try:
            return dict(
                torch.hub.load_state_dict_from_url(
                    url, str(folders[0]), map_location="cpu", check_hash=True, progress=False
                )
            )
        except Exception as error:
            raise WeightsError(missing(name, url, folders[0], key, without, error)) from error

    return load


def _check_published(file: Path) -> None:
    """WeightsError unless the digest of a published file begins as its name says (name-digest.pth)."""
    prefix = file.stem.rsplit("-", 1)[-1]
    if not file_digest(str(file)).startswith(prefix):
        raise WeightsError(f"{file}: its SHA-256 does not begin with {prefix}. It is damaged: remove it and run again.")


def missing(name: str, source: str, folder: Path | str, key: str, without: str, error: Exception) -> str:
    """The message for pretrained weights that can't be had."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"{key}=pretrained needs {name} from {source}, which can't be had here ({reason}). Fetch it elsewhere and put "
        f"it into {folder} (or a folder that the variable VADBENCH_WEIGHTS names), or give its path as {key}=PATH. "
        f"{key}=random runs untrained, to try things out. {without}"
    )
