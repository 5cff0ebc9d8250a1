"""Which weights a network gets: found, fetched and checked against the publisher's digest. Nothing here imports torch.

``backbone.weights`` is ``pretrained`` (the publisher's default file), the tag of one of the publisher's files,
``random``, or the path of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vadbench.backbones.publishers import Checkpoint, Facts
from vadbench.errors import WeightsError, nearest

log = logging.getLogger(__name__)

FOLDER = "VADBENCH_WEIGHTS"
RANDOM = "random"
PRETRAINED = "pretrained"

# Changes whenever random weights of one seed come out different; part of their digest.
RANDOM_RECIPE = "builder initialisation, batch-norm statistics from training clips/1"

_TIMEOUT_S = 30
_BLOCK = 2**20


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
    """The weights that ``asked`` means, fetched if need be and checked against the publisher's digest.

    Raises
    ------
    WeightsError: no such file; a file that can't be fetched; a digest that differs.
    """
    if asked == RANDOM:
        recipe = json.dumps({"backbone": backbone, "seed": seed, "recipe": RANDOM_RECIPE}, sort_keys=True)
        return Weights(RANDOM, None, hashlib.sha256(recipe.encode()).hexdigest(), seed)
    published = {checkpoint.tag: checkpoint for checkpoint in facts.checkpoints}
    if asked == PRETRAINED:
        asked = facts.checkpoints[0].tag
    if asked in published:
        file = _published_file(backbone, published[asked])
        return Weights(asked, file, _checked_digest(file, published[asked]))
    if not asked or not Path(asked).expanduser().is_file():
        raise WeightsError(
            f"backbone.weights={asked or 'null'}: neither a file nor weights of backbone {backbone!r}. "
            f"{nearest(asked or 'null', [PRETRAINED, RANDOM, *published])} Or the path of a checkpoint."
        )
    return Weights(asked, Path(asked).expanduser(), _digest_of(Path(asked).expanduser()))


def search_folders() -> list[Path]:
    """Where weights are looked for: $VADBENCH_WEIGHTS, then torch's hub cache ($TORCH_HOME or ~/.cache/torch)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"
    own = os.environ.get(FOLDER)
    return [Path(own).expanduser(), hub] if own else [hub]


def locate(checkpoint: Checkpoint) -> Path | None:
    """The file of published weights where it is on this machine already."""
    return next((f / checkpoint.file for f in search_folders() if (f / checkpoint.file).is_file()), None)


def _published_file(backbone: str, checkpoint: Checkpoint) -> Path:
    """The publisher's file, from this machine or else from the publisher."""
    found = locate(checkpoint)
    if found is not None:
        return found
    target = search_folders()[0] / checkpoint.file
    try:
        _fetch(checkpoint, target)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"backbone {backbone!r} needs the file {checkpoint.file}, which is on this machine in none of "
            f"{', '.join(str(f) for f in search_folders())} and can't be fetched ({reason}).\n"
            f"  Fetch it where there is a network: {checkpoint.url}\n"
            f"  and put it here: {target} (or into a folder that the variable {FOLDER} names).\n"
            "  Without it: backbone.weights=random runs the same network untrained (such numbers say nothing about the "
            "method), backbone=flow_grid needs no weights at all."
        ) from error
    return target


def _fetch(checkpoint: Checkpoint, target: Path) -> None:
    """Download to ``target``, which appears only when it is whole and has the right digest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s to %s", checkpoint.url, target)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{checkpoint.file}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as sink, urllib.request.urlopen(checkpoint.url, timeout=_TIMEOUT_S) as source:
            expected = source.headers.get("Content-Length")
            while block := source.read(_BLOCK):
                sink.write(block)
        if expected is not None and partial.stat().st_size != int(expected):
            raise urllib.error.ContentTooShortError(
                f"{partial.stat().st_size} of {expected} bytes came", (checkpoint.file, source.headers)
            )
        _checked_digest(partial, checkpoint)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _checked_digest(file: Path, checkpoint: Checkpoint) -> str:
    """SHA-256 of ``file``; WeightsError if the publisher's digest differs."""
    digest = _digest_of(file)
    if checkpoint.sha256_prefix is None:
        log.info("the publisher gives no digest for %s; its SHA-256 is %s", checkpoint.file, digest)
    elif not digest.startswith(checkpoint.sha256_prefix):
        raise WeightsError(
            f"{file}: its SHA-256 begins with {digest[: len(checkpoint.sha256_prefix)]}, the publisher's file with "
            f"{checkpoint.sha256_prefix}. It is damaged or another file: remove it and run again, or fetch "
            f"{checkpoint.url}"
        )
    return digest


def _digest_of(file: Path) -> str:
    """SHA-256 of the bytes of ``file``, in hex."""
    state = file.stat()
    return _digest(str(file), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=32)
def _digest(file: str, size: int, mtime_ns: int) -> str:
    """Read once for one state of the file, however many runs of a sweep ask."""
    state = hashlib.sha256()
    with open(file, "rb") as source:  # noqa: PTH123
        while block := source.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
