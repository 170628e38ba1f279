"""The pack's process: serves the engine on a loopback port and ends with it."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a folder, by the engine, from wherever its program stands.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policy.pack.server import serve

if __name__ == "__main__":
    serve()
