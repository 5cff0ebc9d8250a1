"""Configurations that differ in one key, and one that needs no published weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from vadbench.config.schema import RunConfig


def variants(config: RunConfig, groups: Collection[str], fixed: Collection[str]) -> Iterator[tuple[str, RunConfig]]:
    """Yield (key, ``config`` with another valid value of it) for every key of ``groups`` but ``fixed`` keys and groups.

    Values come from the key's type and default: the other choices, numbers near by. Free text is left as it is.
    """
    for group in groups:
        part = getattr(config, group)
        for key, changed in part_variants(part) if part is not None and group not in fixed else ():
            if f"{group}.{key}" not in fixed:
                yield f"{group}.{key}", replace(config, **{group: changed})


def part_variants(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, ``part`` with another valid value of it) for the keys of one part."""
    hints = get_type_hints(type(part))
    for key in fields(part):
        if key.name == "name":
            continue
        for value in _others(getattr(part, key.name), hints[key.name]):
            try:
                yield key.name, replace(part, **{key.name: value})
            except ValidationError:
                continue
            break


def _others(value: Any, hint: Any) -> list[Any]:
    """Other values of a key, the likeliest to be valid first."""
    if choices := [choice for choice in _choices(hint) if choice != value]:
        return choices
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value + 2, value - 1]
    if isinstance(value, float):
        return [value / 2 or 0.5, value * 2, value * 0.9]
    if isinstance(value, (list, tuple)) and value:
        each = [_others(one, Any) for one in value]
        return [type(value)(one[0] for one in each)] if all(each) else []
    if isinstance(value, Mapping):
        return [{**value, key: other} for key, one in value.items() for other in _others(one, Any)[:1]]
    if value is None:
        return [2] if int in get_args(hint) else [0.5] if float in get_args(hint) else []
    return []


def _choices(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for inner in get_args(hint) for choice in _choices(inner)]


def with_random_weights(config: RunConfig) -> RunConfig:
    """Return ``config`` with random weights in place of published ones, so that nothing is downloaded."""
    parts = {key.name: getattr(config, key.name) for key in fields(config)}
    return replace(config, **{name: _random(part) for name, part in parts.items() if is_dataclass(part)})


def _random(part: Any) -> Any:
    published = {key.name: "random" for key in fields(part) if getattr(part, key.name) == "pretrained"}
    return replace(part, **published) if published else part
