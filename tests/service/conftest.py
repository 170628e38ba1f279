"""One world per session: hubs `asia` and `europe`, and `paris`, a cell of europe."""

import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.service.asking import Party
from tests.service.world import Postgres, Template, World, init_postgres

LIMITS = {"max_body_bytes": 2**20, "max_batch_items": 200, "max_metadata_bytes": 1024}


@pytest.fixture(scope="session")
def template():
    made = Template()
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "data"
    init_postgres(folder)
    return folder


@pytest.fixture(scope="module")
def postgres(tmp_path_factory, cluster):
    """A server of a file's own."""
    folder = tmp_path_factory.mktemp("postgres")
    subprocess.run(["cp", "-a", str(cluster), str(folder / "data")], check=True)
    server = Postgres(folder / "data", folder / "log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def running(tmp_path_factory, template, cluster):
    regions = {"asia": "asia", "europe": "europe", "paris": "europe"}
    made = World(tmp_path_factory.mktemp("world"), template, cluster, regions, LIMITS)
    yield made
    made.close()


@pytest_asyncio.fixture
async def world(running):
    await running.ready()
    return running


@pytest_asyncio.fixture
async def party(world):
    """Connections to regions, closed at the end."""
    made = Party(world)
    yield made
    for driver in made.open:
        await driver.close()
