"""python -m vadbench"""

import sys

from vadbench.cli.main import main

sys.exit(main())
