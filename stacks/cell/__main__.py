"""Program of the project `meridian-cell`."""

import sys
from pathlib import Path

# The engine runs this folder, not the repository; installed or not, it is found.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stacks.importing import importing

with importing():
    from stacks.program import run
    from topology.slices import Layer

run(Layer.CELL)
