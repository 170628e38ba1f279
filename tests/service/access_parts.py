"""What the tests of access share: a clock, hubs on a real Postgres, Redis clients."""

import asyncio
import contextlib
import subprocess
from dataclasses import dataclass

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.access.caller import Caller
from service.log.commit import Committer
from service.log.migrate import migrate
from service.log.reader import Reader
from service.settings import Settings
from service.telemetry import Metrics
from service.worker.inbox import Applier
from tests.service.servers import Postgres


class Clock:
    """Time that moves when it is told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def caller(tenant="acme", scopes=("read", "watch"), tier="standard", **more) -> Caller:
    return Caller(
        tenant=tenant, scopes=frozenset(scopes), tier=tier, **({"key": "k"} | more)
    )


def start_postgres(folder, cluster) -> Postgres:
    subprocess.run(["cp", "-a", str(cluster), str(folder / "data")], check=True)
    server = Postgres(folder / "data", folder / "log")
    server.start()
    return server


def settings(address: str, database: str, origin: str) -> Settings:
    return Settings.from_environment(
        {
            "MERIDIAN_ROLE": "stream",
            "MERIDIAN_REGION": origin,
            "MERIDIAN_HUB": origin,
            "MERIDIAN_HUBS": "a,b",
            "DATABASE_PRIMARY": address,
            "DATABASE_LOCAL": address,
            "DATABASE_NAME": database,
            "DATABASE_USER": "meridian",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": "1",
            "PUBSUB_TOPIC_CHANGES": "c",
            "PUBSUB_TOPIC_REPAIRS": "r",
        }
    )


async def no_token() -> None:
    return None


@dataclass
class Hub:
    """A hub's database with what reads and writes it."""

    origin: str
    pool: asyncpg.Pool
    reader: Reader
    committer: Committer

    async def send_to(self, other: "Hub") -> None:
        """All of this hub's own changes are applied in the other."""
        for lane in range(16):
            changes = await self.reader.after(self.origin, lane, (1, 0), 1000)
            if changes:
                await Applier(other.pool).apply(changes)


@contextlib.asynccontextmanager
async def hub(server: Postgres, origin: str):
    """A hub in a database of its own on one server; its content stays."""
    connection = await server.connect()
    with contextlib.suppress(asyncpg.DuplicateDatabaseError):
        await connection.execute(f"CREATE DATABASE {origin}")
    await connection.close()
    pool = await asyncpg.create_pool(
        host="127.0.0.1",
        port=server.port,
        user="meridian",
        database=origin,
        min_size=0,
        max_size=4,
    )
    async with pool.acquire() as connection:
        await migrate(connection, origin)
    committer = Committer(settings(server.address, origin, origin), no_token, Metrics())
    running = asyncio.create_task(committer.run())
    try:
        yield Hub(origin, pool, Reader(pool), committer)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        committer.close()
        pool.terminate()


def redis_client(port: int) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(
        host="127.0.0.1",
        port=port,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
    )
