"""One world, or one server, for one command, gone at its end."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.service.servers import Postgres, init_postgres
from tests.service.world import Template, World

T = TypeVar("T")


def in_a_world(regions: dict[str, str], work: Callable[[World], Awaitable[T]]) -> T:
    """What `work` makes of a world with these regions: name -> hub."""
    with tempfile.TemporaryDirectory(prefix="meridian-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "cluster")
        template = Template()
        world = World(folder, template, folder / "cluster", regions, {})
        try:
            return asyncio.run(work(world))
        finally:
            world.close()
            template.close()


@contextmanager
def empty_postgres() -> Iterator[tuple[Postgres, Path]]:
    """A running server with an empty database, and a folder for what else there is."""
    with tempfile.TemporaryDirectory(prefix="meridian-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "data")
        server = Postgres(folder / "data", folder / "log")
        server.start()
        try:
            yield server, folder
        finally:
            server.stop()
