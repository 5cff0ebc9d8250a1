"""Which weights a backbone gets: published ones, random ones or a file. Nothing here imports torch.

``backbone.weights`` is ``pretrained`` (the publisher's default file), the tag of one of the publisher's files,
``random``, or the path of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from vadbench.backbones.publishers import Facts
from vadbench.backbones.weights_file import WeightsFile, digest_of, obtain
from vadbench.errors import WeightsError, nearest

RANDOM = "random"
PRETRAINED = "pretrained"

# Changes whenever random weights of one seed come out different; part of their digest.
RANDOM_RECIPE = "builder initialisation, batch-norm statistics from training clips/1"


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
    (file,) = weights_files(backbone, facts, asked)
    path = obtain(file)
    name = facts.checkpoints[0].tag if asked == PRETRAINED else str(asked)
    return Weights(name, path, digest_of(path))


def weights_files(backbone: str, facts: Facts, asked: str | None) -> list[WeightsFile]:
    """The file that :func:`find` would read, whether it is here or not; none for random weights and filter banks.

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
