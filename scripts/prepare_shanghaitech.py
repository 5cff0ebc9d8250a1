"""Say how to get ShanghaiTech Campus, and check it where it is."""

from __future__ import annotations

import sys

from vadbench.data.prepare import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__, "datasets/shanghaitech", [], ["shanghaitech"]))
