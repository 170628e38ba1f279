"""`python -m localcloud.stop ROOT`: end every process that a world's records name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from localcloud.control.app import ControlPlane
from localcloud.world import open_world


async def _stop(root: Path) -> None:
    await ControlPlane(open_world(root), root).stop_everything()


if __name__ == "__main__":
    asyncio.run(_stop(Path(sys.argv[1]).resolve()))
