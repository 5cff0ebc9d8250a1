"""What is wrong with a configuration, in lines that name keys, values and the nearest valid choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vadbench.errors import nearest


def describe(errors: Sequence[Any], values: Mapping[str, Any]) -> list[str]:
    """Return a line for each error, and one for all the keys that a part lacks."""
    missing: dict[str, list[str]] = {}
    lines = []
    for error in errors:
        path = _written(error["loc"], values)
        if error["type"] == "union_tag_not_found":
            path.append(_told_by(error))
        if error["type"] in ("missing", "union_tag_not_found"):
            missing.setdefault(".".join(path[:-1]), []).append(path[-1])
        else:
            lines.append(_line(error, values))
    for part, keys in missing.items():
        hint = "" if "." in part else "; a file takes over those of another with a line such as 'defaults: [OTHER]'"
        lines.append(f"{part or 'the configuration'}: keys without a value: {', '.join(keys)}{hint}")
    return lines


def _line(error: Any, values: Mapping[str, Any]) -> str:
    """One line for one pydantic error: key, value, what is allowed."""
    path = _written(error["loc"], values)
    key = ".".join(path)
    if error["type"] == "unexpected_keyword_argument":
        return f"{key}: no such key. {nearest(path[-1], _keys_beside(path, values))}"
    if error["type"] == "union_tag_invalid":
        names = re.findall(r"'(.+?)'", error["ctx"]["expected_tags"])
        near = nearest(error["ctx"]["tag"], names)
        more = "A plug-in is loaded with --plugin FILE."
        return f"{key}.{_told_by(error)}={error['ctx']['tag']!r}: no such choice. {near} {more}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}={error['input']!r}: {message[0].lower()}{message[1:]}"


def _told_by(error: Any) -> str:
    """Return the key that says which member of a union is meant, such as ``name``."""
    return str(error["ctx"]["discriminator"]).strip("'")


def _written(location: tuple[Any, ...], values: Any) -> list[str]:
    """Return the path as it is written in a configuration; pydantic adds the names of the members of a union."""
    path = []
    for position, part in enumerate(location):
        inside = (
            part in values if isinstance(values, Mapping) else isinstance(values, list) and part in range(len(values))
        )
        if inside:
            path.append(str(part))
            values = values[part]
        elif position == len(location) - 1 and isinstance(values, Mapping):
            path.append(str(part))  # a key that is missing
    return path


def _keys_beside(path: list[str], values: Any) -> list[str]:
    for part in path[:-1]:
        values = values.get(part, {}) if isinstance(values, Mapping) else {}
    return [str(k) for k in values if k != path[-1]] if isinstance(values, Mapping) else []
