"""`python -m ops`: the `meridian` command."""

import sys

from ops.cli import main

sys.exit(main())
