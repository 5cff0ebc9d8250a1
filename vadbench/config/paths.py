"""Where the configuration files are, inside an installed package or beside it in a clone; and ~ in overrides."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]

# A wheel carries conf/ as vadbench/conf; an editable install and a bare clone have it beside the package.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf" / "config.yaml").is_file() else _PACKAGE.parent / "conf"


def home_expanded(word: str) -> str:
    """``word`` with ``~/`` as the user's home where a path begins, which a shell does only at the start of an argument.

    >>> home_expanded("dataset.root=~/data") == f"dataset.root={Path.home()}/data"
    True
    """
    return re.sub(r"(?<![^=,:\['\"])~(?=/|$)", lambda _: str(Path.home()), word)
