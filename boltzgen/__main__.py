"""``python -m boltzgen``."""

import sys

from boltzgen.cli import main

sys.exit(main())
