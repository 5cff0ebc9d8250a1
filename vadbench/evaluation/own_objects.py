"""Objects of the user's own that a run uses in place of its own parts: how they are named and told from each other."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vadbench.errors import ConfigError


def name_of(thing: Any) -> str:
    """Return the qualified name of a function, or of an object's class."""
    if isinstance(thing, functools.partial):
        return name_of(thing.func)
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def identity(part: str, thing: Any) -> dict[str, Any]:
    """Return what a record says of ``thing``, which stands in for ``part``: ``object``, its name with its module, and
    either ``spec``, what its method ``spec()`` returns, or ``source``, 16 hex digits over its source (None if there is
    none).

    Raises
    ------
    ConfigError: it can't be called, or its ``spec()`` is not JSON-able.
    """
    if not callable(thing):
        raise ConfigError(f"{part}={thing!r}: takes True, False or something that can be called")
    home = inspect.getmodule(getattr(thing, "func", thing)) or inspect.getmodule(type(thing))
    name = f"{home.__name__ if home else '?'}.{name_of(thing)}"
    if not has_spec(thing):
        return {"object": name, "source": _source_digest(thing)}
    spec = thing.spec()
    try:
        json.dumps(spec)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{part}: spec() of {name} must return what JSON can hold ({error})") from None
    return {"object": name, "spec": spec}


def has_spec(thing: Any) -> bool:
    """Return whether ``thing`` says by ``spec()`` what its result depends on, as an object with a key must."""
    return callable(getattr(thing, "spec", None))


def own_metrics(found: Any, evaluator: Any, n_videos: int, protocol: str) -> dict[str, dict[str, Any]]:
    """Return the metrics of an evaluator of the user's own as entries of a record; ConfigError if they are none."""
    wanted = "a mapping from the name of a metric to a number, or to an entry with 'value'"
    if not isinstance(found, Mapping):
        raise ConfigError(f"evaluator {name_of(evaluator)} returned {type(found).__name__}; it must return {wanted}")
    common: dict[str, Any] = {
        "ci_low": None,
        "ci_high": None,
        "n_videos": n_videos,
        "protocol": protocol,
        "undefined_videos": [],
    }
    entries = {}
    for name, given in found.items():
        fields = dict(given) if isinstance(given, Mapping) else {"value": given}
        try:
            fields["value"] = float(fields["value"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"evaluator {name_of(evaluator)} returned {given!r} for {name!r}; it must return {wanted}"
            ) from None
        entries[str(name)] = {**common, **fields}
    return entries


def _source_digest(thing: Any) -> str | None:
    thing = getattr(thing, "func", thing)
    for candidate in (thing, type(thing)):
        with suppress(OSError, TypeError):
            return hashlib.sha256(inspect.getsource(candidate).encode()).hexdigest()[:16]
    return None
