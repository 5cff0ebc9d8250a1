"""The errors that a user can cause, and how their messages are written.

A message says what was wrong, where (config key or path), the nearest valid choices, and what to do next. The command
line prints it without a traceback; from Python it is an ordinary exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class VadbenchError(Exception):
    """Base of all errors that are the user's to mend; the command line prints them without a traceback."""


class ConfigError(VadbenchError):
    """A configuration key, value or combination that does not work."""


class DataError(VadbenchError):
    """A dataset, video, mask or label file that is missing, damaged or not what it should be."""


class WeightsError(VadbenchError):
    """Pretrained weights that are unavailable, don't fit, or don't match their digest."""


class StoreError(VadbenchError):
    """A feature store or run folder that can't be read or written."""


class MissingExtra(VadbenchError):
    """An optional part that is not installed; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'vadbench[{extra}]'")


def one_of(key: str, given: T, choices: Iterable[T]) -> T:
    """``given``, if it is one of ``choices``; else ConfigError with the nearest of them.

    >>> one_of("fill", "lin", ["nearest", "linear"])
    Traceback (most recent call last):
    ...
    vadbench.errors.ConfigError: fill='lin': no such choice. Did you mean: linear? Available: linear, nearest.
    """
    choices = tuple(choices)
    if given not in choices:
        raise ConfigError(f"{key}={given!r}: no such choice. {nearest(str(given), map(str, choices))}")
    return given


def nearest(given: str, choices: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest valid choices to ``given``, then the whole list.

    >>> nearest("fuvaz", ["fuvas", "ai_vad"])
    'Did you mean: fuvas? Available: ai_vad, fuvas.'
    """
    names = sorted(str(choice) for choice in choices)
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[name] for name in difflib.get_close_matches(str(given).lower(), by_lower, n=3, cutoff=0.5)]
    hint = f"Did you mean: {', '.join(close)}? " if close else ""
    return f"{hint}Available: {', '.join(names) or 'none'}."
