"""Configuration of a part, checked against the dataclass that it was registered with, and its defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from functools import cache, partial
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vadbench import registry
from vadbench.errors import ConfigError

STRICT = ConfigDict(extra="forbid", validate_default=True, defer_build=True)  # built when first used


def setting(*, in_key: bool = True, shown: bool | None = None, **rest: Any) -> Any:
    """Return a field of a configuration, as :func:`dataclasses.field` does, that says what its value is for.

    Parameters
    ----------
    in_key: part of a run's key; False for what can't change a result, and for what the key says otherwise.
    shown: a setting that tables and tracking stores show; by default what is in the key.
    rest: as of :func:`dataclasses.field`, such as ``default``.
    """
    return dataclasses.field(metadata={"in_key": in_key, "shown": in_key if shown is None else shown}, **rest)


def marked(keys: type, mark: str) -> set[str]:
    """Return the keys of a dataclass for which it, or one that it extends, says ``mark`` ("in_key", "shown") False."""
    declared = [found for base in keys.__mro__ if dataclasses.is_dataclass(base) for found in dataclasses.fields(base)]
    return {found.name for found in declared if not found.metadata.get(mark, True)}


@dataclass(config=STRICT, kw_only=True)
class PartConfig:
    """What the configuration of every part has: the name by which it was chosen."""

    name: str = setting(default="", shown=False)


@dataclass(config=STRICT, kw_only=True)
class StepConfig:
    """What the configuration of every protocol step has: the name by which it was chosen."""

    kind: str = ""


def check_part(
    kind: str, given: Any, where: tuple[str | int, ...], base: type = PartConfig, key: str = "name"
) -> tuple[Any, list[Any]]:
    """Return a part's typed configuration and no errors, or ``given`` and what is wrong with it, as pydantic has it.

    base: keys that all parts of the kind have. key: the one that says which part it is.
    """
    if not isinstance(given, Mapping):
        return given, [{"type": "dataclass_type", "loc": where, "input": given, "msg": "must hold keys and values"}]
    if key not in given:
        return given, [{"type": "union_tag_not_found", "loc": where, "ctx": {"discriminator": key}}]
    part = registry.find(kind, str(given[key]))
    if part is None:
        tags = ", ".join(repr(name) for name in registry.names(kind))
        context = {"discriminator": key, "tag": str(given[key]), "expected_tags": tags}
        return given, [{"type": "union_tag_invalid", "loc": where, "ctx": context}]
    return check_keys(keys_of(part, base), given, where)


def check_keys(keys: type, given: Any, where: tuple[str | int, ...]) -> tuple[Any, list[Any]]:
    """Return ``given`` as the dataclass ``keys`` and no errors, or ``given`` and what is wrong with it."""
    try:
        return validator(keys).validate_python(given), []
    except ValidationError as error:
        return given, [{**found, "loc": (*where, *found["loc"])} for found in error.errors()]


@cache
def validator(keys: type) -> TypeAdapter[Any]:
    """Return what checks values against the dataclass ``keys``; making it takes longer than checking with it."""
    return TypeAdapter(keys)


def with_defaults(base: type, summary: str, **values: Any) -> type:
    """Return the dataclass ``base`` with other defaults and a docstring of its own: the configuration of one part.

    What is returned is made a dataclass by :func:`keys_of`: most commands name all parts and use few of them.
    """
    hints = _hints(base)
    known = {found.name: found for found in dataclasses.fields(base)}
    body: dict[str, Any] = {
        name: dataclasses.field(default_factory=partial(deepcopy, value), metadata=known[name].metadata, kw_only=True)
        for name, value in values.items()
    }
    body |= {"__doc__": summary, "__module__": base.__module__, "__annotations__": {n: hints[n] for n in values}}
    return type(base.__name__, (base,), body)


@cache
def _hints(base: type) -> dict[str, Any]:
    return get_type_hints(base, include_extras=True)


@cache
def keys_of(part: registry.Part, base: type = PartConfig) -> type:
    """Return the dataclass of all keys of a part: those that it was registered with, and those of ``base``."""
    own = part.config or base
    if issubclass(own, base):
        made: type = own if "__dataclass_fields__" in vars(own) else dataclass(own, config=STRICT, kw_only=True)
        return made
    hints = {name: hint for cls in (base, own) for name, hint in get_type_hints(cls, include_extras=True).items()}
    known = {f.name: f for cls in (base, own) for f in dataclasses.fields(cls)}
    frozen = own.__dataclass_params__.frozen  # type: ignore[attr-defined]
    keys = {
        name: dataclasses.field(default=f.default, default_factory=f.default_factory, metadata=f.metadata, kw_only=True)
        for name, f in known.items()
    }
    body = {
        # Python lets no frozen dataclass inherit from one that is not, nor the other way round.
        **(_written_in(own) if frozen else {}),
        "__doc__": own.__doc__,
        "__module__": own.__module__,
        "__annotations__": {n: hints[n] for n in known},
        **keys,
    }
    try:
        made = type(own.__name__, (base,) if frozen else (own, base), body)
        config = ConfigDict(**{**STRICT, "defer_build": False})
        return dataclass(made, config=config, kw_only=True, unsafe_hash=frozen)
    except Exception as error:  # whatever pydantic says of a type that it can't check
        text = " ".join(str(error).split())
        raise ConfigError(
            f"{part.origin}: {part.kind} {part.name!r}: {own.__name__} can't be checked: {text}"
        ) from None


def _written_in(cls: type) -> dict[str, Any]:
    """Methods and properties of a class and of those that it inherits from, without what Python puts there."""
    members = [item for one in reversed(cls.__mro__[:-1]) for item in vars(one).items()]
    return {name: member for name, member in members if not name.startswith("__") or name == "__post_init__"}


def defaults(keys: type) -> dict[str, Any]:
    """Return the keys of a dataclass with their defaults, as YAML would hold them; those without one are left out."""
    found = keys.__pydantic_fields__.items()  # type: ignore[attr-defined]
    return {n: _plain(key.get_default(call_default_factory=True)) for n, key in found if not key.is_required()}


def required(keys: type) -> list[str]:
    """Return the keys of a dataclass that have no default."""
    found = keys.__pydantic_fields__.items()  # type: ignore[attr-defined]
    return [name for name, key in found if key.is_required()]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
