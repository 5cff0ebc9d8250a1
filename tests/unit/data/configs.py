"""Checked dataset configurations, composed from the shipped files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vadbench.config.paths import CONF
from vadbench.config.schema import checked_part


def config(name: str, root: Path | str | None, **keys: Any) -> Any:
    """What ``dataset=<name> dataset.root=<root> ...`` means."""
    values = yaml.safe_load((CONF / "dataset" / f"{name}.yaml").read_text())
    values.update(root=None if root is None else str(root), **keys)
    return checked_part("dataset", values)
