"""Helpers lie beside the tests, which are imported without a path of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
