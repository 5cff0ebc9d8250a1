"""Fetch UCSD Ped1 and Ped2 (740 MB), unpack them and check every file."""

from __future__ import annotations

import sys

from vadbench.data.prepare import UCSD, main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__, "datasets/ucsd", [UCSD], ["ucsd_ped1", "ucsd_ped2"]))
