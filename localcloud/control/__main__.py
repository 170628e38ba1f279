"""`python -m localcloud.control ROOT`: the control plane of the clone at ROOT."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from localcloud.control.app import ControlPlane
from localcloud.world import open_world


async def _serve(root: Path) -> int:
    return await ControlPlane(open_world(root), root).serve()


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    sys.exit(asyncio.run(_serve(Path(sys.argv[1]).resolve())))
