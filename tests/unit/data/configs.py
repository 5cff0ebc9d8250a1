"""Checked dataset configurations, composed from the shipped files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vadbench.config.schema import checked_part


def config(name: str, root: Path | str | None, **keys: Any) -> Any:
    """What ``dataset=<name> dataset.root=<root> ...`` means."""
    return checked_part("dataset", {"name": name, "root": None if root is None else str(root), **keys})
