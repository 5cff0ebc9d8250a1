"""Fetch UCSD Ped1 and Ped2 (740 MB), unpack them and check every file."""

from __future__ import annotations

import sys
from pathlib import Path

from vadbench.data.prepare import UCSD, prepare
from vadbench.errors import VadbenchError


def main() -> int:
    """``python scripts/prepare_ucsd.py [folder]``; the folder is datasets/ucsd where none is given."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "datasets/ucsd")
    try:
        return prepare(root, [UCSD], ["ucsd_ped1", "ucsd_ped2"])
    except VadbenchError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
