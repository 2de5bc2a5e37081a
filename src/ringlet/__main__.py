"""`python -m ringlet` is the command `ringlet`."""

import sys

from ringlet.tools.cli import main

sys.exit(main())
