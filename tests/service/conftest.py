"""One world per session: hubs `asia` and `europe`, and `paris`, a cell of europe."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.service.access_parts import redis_client
from tests.service.asking import Party
from tests.service.drivers import Http, Refused
from tests.service.servers import Postgres, Redis, init_postgres
from tests.service.strict import ROOT, Strict, bearer
from tests.service.world import Template, World, wait_listening

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


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    """A Redis of a file's own."""
    made = Redis(tmp_path_factory.mktemp("redis") / "redis")
    made.start()
    yield made
    made.process.kill()


@pytest_asyncio.fixture
async def client(redis_server):
    """A client of it, which is emptied first."""
    made = redis_client(redis_server.port)
    await made.flushall()
    yield made
    await made.aclose()


@pytest.fixture(scope="module")
def strict(running):
    """An instance of a file's own where everybody needs a key."""
    made = Strict(running.regions["asia"])
    yield made
    for part in (made.instance, made.grpc):
        made.region.end(part)


@pytest_asyncio.fixture
async def root(strict, world):
    made = Http(strict, bearer(ROOT))
    await wait_listening(strict.grpc["port"])
    for _ in range(200):
        with contextlib.suppress(aiohttp.ClientError, Refused):
            await made.call("list_collections")
            break
        await asyncio.sleep(0.05)
    yield made
    await made.close()
