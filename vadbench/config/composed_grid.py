"""Configurations of the points of a grid: Hydra composes once for all points that differ only in values of keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vadbench.config.compose import Composition, composition, names_group
from vadbench.config.paths import home_expanded
from vadbench.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """A word that sets a key of the configuration; ``value`` is a number, a text, a truth value, None or a list."""

    key: str
    value: Any

    @property
    def common(self) -> str:
        """What it has in common with the same word of another point: Hydra merges lists and replaces the rest."""
        return f"{self.key}=[]" if isinstance(self.value, list) else f"{self.key}="


class Grid:
    """Points, composed one after the other.

    Hydra applies ``key=value`` to what it has composed from everything else: the next point of the same groups is the
    same configuration with its own values in it. Where any other word differs (a group, ``+key``, a mapping, an
    interpolation, a key that two overrides set), it composes anew.
    """

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], Composition | ConfigError] = {}
        self._settings: dict[str, Setting | None] = {}

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """Return what :func:`vadbench.config.compose.compose_values` returns for ``words``, or raise the same."""
        words = [home_expanded(word) for word in words]
        settings = self._set_once(words)
        common = tuple(settings[word].common if word in settings else word for word in words)
        if common not in self._composed:
            try:
                self._composed[common] = composition(words)
            except ConfigError as error:
                self._composed[common] = error
        shared = self._composed[common]
        if isinstance(shared, ConfigError):  # of a word that all these points have
            raise shared
        return shared.changed(words, {one.key: one.value for one in settings.values()}).values()

    def _set_once(self, words: Sequence[str]) -> dict[str, Setting]:
        """Return the overrides that set a key which no other sets, neither itself nor a key above or below it."""
        keys = {word: _key(word) for word in words if not _chooses(word, words)}
        found = {}
        for word, key in keys.items():
            setting = self._setting(word)
            alone = words.count(word) == 1 and sum(_overlap(key, other) for other in keys.values()) == 1
            if setting is not None and alone:
                found[word] = setting
        return found

    def _setting(self, word: str) -> Setting | None:
        if word not in self._settings:
            self._settings[word] = _setting(word)
        return self._settings[word]


def _setting(word: str) -> Setting | None:
    """Return ``word`` as the setting of a key; None if it is something else, or nothing that can be read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    try:
        read = OverridesParser.create().parse_override(word)
        value = read.value()
    except HydraException:
        return None
    key = read.key_or_group
    other = read.type != OverrideType.CHANGE or read.package is not None or read.is_sweep_override()
    if other or "$" in word or "???" in word or isinstance(value, dict) or key.startswith("hydra"):
        return None
    return Setting(key, value)


def _chooses(word: str, words: Sequence[str]) -> bool:
    """Whether ``word`` chooses from a group, which is done before any key is set."""
    return names_group(_key(word), words) and not word.partition("=")[2].startswith("{")


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def _overlap(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
