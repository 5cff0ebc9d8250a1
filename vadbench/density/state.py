"""What a fit found, as named arrays and one JSON-able dict: it can be saved and loaded without running any code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import numpy as np


class State(NamedTuple):
    """The fit of a density or of a detector.

    Attributes
    ----------
    arrays: name to array.
    values: everything else, JSON-able.
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]


def joined(parts: Mapping[str, State]) -> State:
    """Return one state that holds several under their names."""
    arrays = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.arrays.items()}
    return State(arrays, {name: part.values for name, part in parts.items()})


def part(state: State, name: str) -> State:
    """Return the state that :func:`joined` put under ``name``."""
    start = f"{name}/"
    arrays = {key.removeprefix(start): array for key, array in state.arrays.items() if key.startswith(start)}
    return State(arrays, state.values[name])


def of_attributes(owner: object, without: frozenset[str]) -> State:
    """Return the attributes of ``owner`` but those ``without``: arrays, JSON-able values, and lists of arrays.

    Raises
    ------
    TypeError: an attribute is neither; a configuration (a dataclass) is passed over.
    """
    arrays: dict[str, np.ndarray] = {}
    values: dict[str, Any] = {}
    for name, value in vars(owner).items():
        if name in without or is_dataclass(value):
            continue
        if isinstance(value, (np.ndarray, np.generic)):
            arrays[name] = np.asarray(value)
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, np.ndarray) for item in value):
            arrays |= {f"{name}.{i}": item for i, item in enumerate(value)}
        elif _is_json(value):
            values[name] = value
        else:
            raise TypeError(
                f"{type(owner).__name__}.{name} is a {type(value).__name__}: only arrays and JSON values can be saved. "
                "Write state() and load_state() for it."
            )
    return State(arrays, values)


def set_attributes(owner: object, state: State) -> None:
    """Set the attributes that :func:`of_attributes` returned."""
    lists: dict[str, list[np.ndarray]] = {}
    for name, array in state.arrays.items():
        attribute, _, number = name.partition(".")
        if number:
            lists.setdefault(attribute, []).append(array)
        else:
            setattr(owner, attribute, array)
    for name, value in {**lists, **state.values}.items():
        setattr(owner, name, value)


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
