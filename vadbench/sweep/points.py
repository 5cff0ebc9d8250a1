"""From the overrides of a multirun to its points: every combination, composed and checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vadbench.config.compose import compose_values, user_config_dirs
from vadbench.config.composed_grid import Grid
from vadbench.config.from_hydra import refuse_overrides
from vadbench.config.schema import RunConfig, check, no_settings
from vadbench.errors import ConfigError


@dataclass(frozen=True)
class Point:
    """One point of a grid.

    Attributes
    ----------
    words: its overrides.
    label: the overrides that tell it from the other points (``"model.pca_level=0.9 seed=1"``).
    config: what they compose to.
    values: the same as a plain mapping, not checked.
    """

    words: tuple[str, ...]
    label: str
    config: RunConfig
    values: dict[str, Any]


def expand(words: Sequence[str]) -> list[Point]:
    """Return the points of a grid, in the order in which the overrides name their values, the last one varying fastest.

    ``words`` are in Hydra's override grammar: ``a=1,2``, ``seed=range(3)``, ``choice(...)``.

    Raises
    ------
    ConfigError: overrides that can't be parsed, a point that does not compose (all of them in one message), a key that
        can't differ within a sweep.
    """
    combinations, varying = _combinations(user_config_dirs(words))
    grid = Grid()
    points: list[Point] = []
    faults: dict[str, None] = {}
    for combination in combinations:
        label = " ".join(word for word in combination if _key(word) in varying)
        try:
            points.append(point_of(combination, label or "the only point", grid.values(combination)))
        except ConfigError as error:
            faults[str(error)] = None
    if faults:
        raise ConfigError("\n".join(faults))
    return points


def point_of(words: Sequence[str], label: str, values: dict[str, Any] | None) -> Point:
    """Return the point ``words`` of a sweep; ``values``: what they compose to where that is known."""
    values = _swept(compose_values(words) if values is None else values)
    return Point(tuple(words), label, check(values), values)


def _combinations(words: Sequence[str]) -> tuple[list[list[str]], set[str]]:
    """Every combination of the swept values as plain overrides, and the keys that vary."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise ConfigError(f"{flags[0]}: no such option in a sweep; after -m come overrides such as seed=0,1,2")
    refuse_overrides(words)
    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
        varying = {o.key_or_group for o in parsed if o.is_sweep_override()}
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise ConfigError(f"these overrides can't be read: {str(error).splitlines()[0]}") from None
    # Where a sweep keeps things and who does it: one answer for all points. Points that run differently are one run.
    common = sorted({key.split(".")[0] for key in no_settings()} - {"runtime"})
    barred = sorted(key for key in varying if key.split(".")[0] in common)
    if barred:
        raise ConfigError(
            f"{barred[0]}: it can't differ within a sweep, because {', '.join(common)} say where all of it goes. "
            "Give it one value, or make two sweeps."
        )
    return [list(combination) for batch in batches for combination in batch], varying


def _swept(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with what is chosen otherwise in a sweep, where nothing is: pixel metrics by histogram."""
    evaluation = values.get("evaluation")
    if not isinstance(evaluation, dict) or evaluation.get("pixels") is not None:
        return values
    return {**values, "evaluation": {**evaluation, "pixels": "histogram"}}


def _key(word: str) -> str:
    return word.lstrip("+~").split("=")[0].split("@")[0]
