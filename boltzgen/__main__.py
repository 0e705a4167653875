"""``python -m boltzgen.cli``."""

import sys

from boltzgen.cli import main

sys.exit(main())
