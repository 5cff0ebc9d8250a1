"""Fetch CUHK Avenue (813 MB) and its ground truth, unpack and check them."""

from __future__ import annotations

import sys

from vadbench.data.prepare import AVENUE, AVENUE_MASKS, main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__, "datasets/avenue", [AVENUE, AVENUE_MASKS], ["avenue"]))
