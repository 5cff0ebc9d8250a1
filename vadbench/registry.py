"""Names to classes, imported only when asked for, with errors that name the nearest valid choice."""

from __future__ import annotations

import importlib
from typing import Any

from vadbench.errors import ConfigError, nearest


class Registry:
    """A table from a short name to ``"module:attribute"``.

    Nothing is imported until :meth:`load`, so listing names never imports torch.

    Parameters
    ----------
    kind: what the names are, as a user would say it ("backbone").
    entries: name to ``"module:attribute"``.
    where: where to add one, for the error message.
    """

    def __init__(self, kind: str, entries: dict[str, str], where: str) -> None:
        self.kind = kind
        self.where = where
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All names, in the order in which they were entered."""
        return list(self._entries)

    def load(self, name: str) -> Any:
        """The class or function called ``name``; ConfigError with the nearest names if there is none."""
        if name not in self._entries:
            raise ConfigError(
                f"Unknown {self.kind} {name!r}. {nearest(name, self._entries)} To add one, see {self.where}."
            )
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
