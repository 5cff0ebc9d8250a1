"""Weights of CLIP models: which file a tag of open_clip means, where it may lie, and what is read from it."""

from __future__ import annotations

import functools
import re
import warnings
import zipfile
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench.backbones.weights_file import WeightsFile, digest_of
from vadbench.errors import ConfigError, WeightsError, nearest
from vadbench.models.ai_vad.weights import own_file

if TYPE_CHECKING:
    import torch

KEY = "model.deep_weights"

# Numbers that OpenAI's archives hold beside the parameters.
_NOT_PARAMETERS = {"input_resolution", "context_length", "vocab_size"}


@functools.cache
def tags(model: str) -> tuple[str, ...]:
    """Names of the weights that open_clip knows for a model."""
    import open_clip

    return tuple(open_clip.list_pretrained_tags_by_model(model))


def weights_file(model: str, word: str) -> WeightsFile:
    """Return the file with the weights ``word`` of a model, here or not.

    Raises
    ------
    ConfigError: neither a tag of ``model`` nor a path. WeightsError: a path where there is no file.
    """
    part = f"deep ({model})"
    if word in tags(model):
        return _published(model, word, part)
    if "/" in word or "." in word or Path(word).exists():
        return own_file(word, part, KEY)[0]
    raise ConfigError(
        f"{KEY}={word!r}: open_clip has no such weights for {model}. {nearest(word, [*tags(model), 'random'])} "
        "Or give a path."
    )


def _published(model: str, tag: str, part: str) -> WeightsFile:
    """Return the publisher's file, with its digest where the address holds one; instead of it those on Hugging Face."""
    import huggingface_hub
    import open_clip

    config = open_clip.get_pretrained_cfg(model, tag)
    fitting = model if _quick_gelu(model, tag) == _quick_gelu(model, None) else f"{model}-quickgelu"
    without = (
        f"{KEY}=PATH model.deep_model={fitting} takes a file from elsewhere, {KEY}=random runs untrained, to try "
        "things out. model.use_deep_features=false needs no embeddings."
    )
    asked, files = f"{KEY}={tag} (model.deep_model={model})", []
    if url := config.get("url"):
        name = url.rsplit("/", 1)[1]
        # Where OpenAI's package, anomalib's copy of it and open_clip keep it.
        cached = (Path.home() / ".cache" / "clip" / name,)
        files.append(WeightsFile(part, asked, name, url, _digest_in(url), None, cached, without))
    if hub := config.get("hf_hub"):
        repository, _, given = hub.rpartition("/")
        for name in _names_on_the_hub(given):
            kept = huggingface_hub.try_to_load_from_cache(repository, name)
            elsewhere = (Path(kept),) if isinstance(kept, str) else ()
            url = huggingface_hub.hf_hub_url(repository, name)
            own_name = f"{repository.replace('/', '--')}--{name}"
            files.append(WeightsFile(part, asked, own_name, url, None, None, elsewhere, without))
    return replace(files[0], instead=tuple(files[1:]))


def _digest_in(url: str) -> str | None:
    """OpenAI's addresses hold the SHA-256 as a folder, open_clip's eight digits of it at the end of the name."""
    found = re.search(r"/([0-9a-f]{64})/[^/]+$|-([0-9a-f]{8})\.\w+$", url)
    return found and (found[1] or found[2])


def _names_on_the_hub(name: str) -> list[str]:
    """File names to try, as open_clip does: safetensors first."""
    if not name:
        return ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    stem, _, suffix = name.rpartition(".")
    return [f"{stem}.safetensors", name] if suffix in ("bin", "pth") else [name]


def published_as(path: Path) -> tuple[str, str] | None:
    """Model and tag of the published file that ``path`` is by its whole digest; None if it is none of them."""
    digest = digest_of(path)
    return next((name for sha, name in _whole_digests() if sha == digest), None)


def _whole_digests() -> list[tuple[str, tuple[str, str]]]:
    import open_clip

    named = [(open_clip.get_pretrained_cfg(model, tag).get("url", ""), (model, tag)) for model, tag in _all_tags()]
    found = [(_digest_in(url), name) for url, name in named]
    return [(sha, name) for sha, name in found if sha and len(sha) == 64]


def _all_tags() -> list[tuple[str, str]]:
    import open_clip

    return [(str(model), str(tag)) for model, tag in open_clip.list_pretrained()]


def load(model: str, word: str, path: Path | None) -> torch.nn.Module:
    """Return the network ``model`` with the weights in ``path``; None draws them from torch's generator.

    A file that OpenAI published is recognised by its digest wherever it lies: it is a TorchScript archive, which may
    hold code and is read for that reason only then, and its network has another GELU than open_clip's of the same name.

    Raises
    ------
    ConfigError: no such model. WeightsError: a file that is refused or does not fit.
    """
    import open_clip

    if model not in open_clip.list_models():
        raise ConfigError(f"model.deep_model: unknown model. {nearest(model, open_clip.list_models())}")
    if path is None:
        network: torch.nn.Module = open_clip.create_model(model, None, pretrained_text=False)
        return network
    known = (model, word) if word in tags(model) else published_as(path)
    options: dict[str, Any] = {"force_quick_gelu": bool(known and _quick_gelu(*known)), "pretrained_text": False}
    if known:
        config = open_clip.get_pretrained_cfg(*known)
        options["force_preprocess_cfg"] = {key: config[key] for key in ("mean", "std") if key in config}
    archive = _is_torchscript(path)
    if archive and not known:
        raise WeightsError(
            f"{KEY}={word}: a TorchScript archive, which may hold code, and none of the files that OpenAI published "
            f"(SHA-256 {digest_of(path)[:12]}..., expected for {model}: {_expected(model)}). If you trust it, convert "
            f"it: torch.save(torch.jit.load({path.name!r}, 'cpu').state_dict(), 'weights.pt'), and give weights.pt."
        )
    try:
        if archive:
            network = open_clip.create_model(model, None, **options)
            network.load_state_dict(_parameters_of_archive(path, network.state_dict()))
        else:
            network = open_clip.create_model(model, str(path), require_pretrained=True, **options)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{KEY}={word}: {path} does not fit {model}: {reason}") from error
    return network


def _parameters_of_archive(path: Path, known: Container[str]) -> dict[str, torch.Tensor]:
    """Return what a network with the ``known`` names takes: constants that an archive keeps as buffers are left out."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # for those who would write such archives
        archive = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    constants = {name for name, _ in archive.named_buffers() if name not in known} | _NOT_PARAMETERS
    return {name: values for name, values in archive.state_dict().items() if name not in constants}


def _is_torchscript(path: Path) -> bool:
    """As torch tells them: a zip archive with constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _expected(model: str) -> str:
    digests = [sha for sha, (name, _) in _whole_digests() if name == model]
    return ", ".join(f"{sha[:12]}..." for sha in digests) or "none"


def _quick_gelu(model: str, tag: str | None) -> bool:
    """Return whether a model, or the network that a tag was trained with, has OpenAI's approximation of the GELU."""
    import open_clip

    config = open_clip.get_model_config(model) if tag is None else open_clip.get_pretrained_cfg(model, tag)
    return bool((config or {}).get("quick_gelu", False))
