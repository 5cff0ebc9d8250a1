"""Weights of the networks that AI-VAD is made of: pretrained, random, or a file; and which they are, without loading.

Weights are named by ``"pretrained"`` (the publisher's, downloaded once), ``"random"`` (drawn with a seed; for
trying things out, the results mean nothing) or the path of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench.backbones.weights_file import WeightsFile, digest_of, obtain
from vadbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn


def describe(word: str, seed: int, published: str, key: str) -> dict[str, Any]:
    """Return what identifies the weights: ``name`` (pretrained, random or file) and ``digest``.

    Parameters
    ----------
    word: "pretrained", "random" or a path. seed: of random weights. published: the publisher's file name, which holds
        part of its digest. key: the configuration key that ``word`` came from, for the message.
    """
    if word == "pretrained":
        return {"name": "pretrained", "digest": published}
    if word == "random":
        return {"name": "random", "digest": f"seed-{seed}"}
    return {"name": Path(word).name, "digest": digest_of(existing(word, key))}


def existing(word: str, key: str) -> Path:
    """Return the path ``word`` if there is a file; WeightsError otherwise."""
    path = Path(word).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"{key}={word}: there is no such file. Give 'pretrained', 'random' or the path of a checkpoint."
        )
    return path


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


def weights_files(architecture: str, word: str, part: str, key: str, without: str = "") -> list[WeightsFile]:
    """Return the file with the weights of a torchvision architecture, here or not; none for random ones.

    ``part``: what the network is for; the others as in :func:`torchvision_network`.
    """
    from torchvision.models import get_model_weights

    if word == "random":
        return []
    part = f"{part} ({architecture})"
    if word != "pretrained":
        return own_file(word, part, key)
    default, name = get_model_weights(architecture).DEFAULT, published_file(architecture)
    digits = Path(name).stem.rsplit("-", 1)[-1]  # torchvision's naming: eight digits of the SHA-256
    others = f"{key}=PATH takes a file from elsewhere, {key}=random runs untrained, to try things out. {without}"
    megabytes = default.meta.get("_file_size")
    return [WeightsFile(part, f"{key}=pretrained", name, default.url, digits, megabytes, without=others)]


def own_file(word: str, part: str, key: str) -> list[WeightsFile]:
    """Return a file of the user's own; WeightsError if it is not there."""
    path = existing(word, key)
    return [WeightsFile(part, f"{key}={word}", path.name, elsewhere=(path,))]


def torchvision_network(
    architecture: str, word: str, seed: int, device: str, part: str, key: str, without: str, **options: Any
) -> nn.Module:
    """Build a torchvision network, frozen, in evaluation mode.

    Parameters
    ----------
    architecture: such as "maskrcnn_resnet50_fpn_v2".
    word, seed: which weights.
    part: what it is for, such as "flow". key: the configuration key that ``word`` came from. without: how to do without
        it, for the message.
    options: passed to torchvision's builder.
    """
    from torchvision.models import get_model, get_model_weights

    if word == "random":
        backbone: dict[str, Any] = {} if architecture.startswith("raft") else {"weights_backbone": None}
        with seeded(seed):
            network = get_model(architecture, weights=None, **backbone, **options)
    else:
        default = get_model_weights(architecture).DEFAULT
        (file,) = weights_files(architecture, word, part, key, without)
        # The builders change the network to fit the weights (frozen batch norm, its epsilon), so they have to be told
        # that these are the published ones wherever the file lies.
        try:
            with _state_dict_from(lambda: _read(obtain(file), key, word)):
                network = get_model(architecture, weights=default, **options)
        except RuntimeError as error:  # torch's answer to a state dict that does not fit
            raise WeightsError(
                f"{key}={word} does not fit {architecture}: {' '.join(str(error).split())[:200]}..."
            ) from error
    frozen: nn.Module = network.eval().requires_grad_(False).to(device)
    return frozen


@contextmanager
def _state_dict_from(load: Callable[[], dict[str, Any]]) -> Iterator[None]:
    from torchvision.models import WeightsEnum

    before = WeightsEnum.get_state_dict
    WeightsEnum.get_state_dict = lambda self, *args, **kwargs: load()
    try:
        yield
    finally:
        WeightsEnum.get_state_dict = before


def _read(file: Path, key: str, word: str) -> dict[str, Any]:
    """Return the state dict in a checkpoint."""
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{key}={word}: {file} is not a checkpoint that can be read safely: {error}") from error
    return dict(state.get("state_dict", state))
