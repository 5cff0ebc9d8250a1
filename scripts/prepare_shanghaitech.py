"""Say how to get ShanghaiTech Campus, and check it where it is."""

from __future__ import annotations

import sys
from pathlib import Path

from vadbench.data.prepare import shanghaitech
from vadbench.errors import VadbenchError


def main() -> int:
    """``python scripts/prepare_shanghaitech.py [folder]``; the folder is datasets/shanghaitech where none is given."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "datasets/shanghaitech")
    try:
        return shanghaitech(root)
    except VadbenchError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
