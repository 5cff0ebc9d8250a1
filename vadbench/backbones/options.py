"""Settings of a filter bank, checked: every key there, none unknown, each in its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from vadbench.errors import ConfigError, nearest

OptionsT = TypeVar("OptionsT")


def checked(backbone: str, kind: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """``given`` as the pydantic dataclass ``kind``; ConfigError that lists everything that is wrong with it."""
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        lines = [_line(backbone, kind, each) for each in error.errors()]
    raise ConfigError("\n".join(lines))


def _line(backbone: str, kind: type, error: Any) -> str:
    """One line for one error: key, value, what is allowed."""
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    name = str(error["loc"][-1]) if error["loc"] else ""
    key = f"backbone.options.{name}"
    if error["type"] == "unexpected_keyword_argument":
        return f"{key}: backbone {backbone!r} has no such option. {nearest(name, known)}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{key}: missing; conf/backbone/{backbone}.yaml holds its default. Options: {', '.join(known)}."
    return f"{key}={error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
