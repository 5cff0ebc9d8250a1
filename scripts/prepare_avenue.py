"""Fetch CUHK Avenue (813 MB) and its ground truth, unpack and check them."""

from __future__ import annotations

import sys
from pathlib import Path

from vadbench.data.prepare import AVENUE, AVENUE_MASKS, prepare
from vadbench.errors import VadbenchError


def main() -> int:
    """``python scripts/prepare_avenue.py [folder]``; the folder is datasets/avenue where none is given."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "datasets/avenue")
    try:
        return prepare(root, [AVENUE, AVENUE_MASKS], ["avenue"])
    except VadbenchError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
