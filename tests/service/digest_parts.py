"""Hubs on one Postgres that compare their states without a world around them."""

import asyncio
from collections import Counter

import asyncpg
import orjson

from service.log.migrate import migrate
from service.log.state import Span, State
from service.telemetry import Metrics
from service.worker.reconcile import Reconciler
from tests.service.test_converge import LANE, Log

HUBS = ["hub0", "hub1", "hub2"]
TABLES = (
    *("item", "creation", "dropped", "change", "applied", "published", "peer"),
    *("repaired", "written"),
)
EVER = Span(0, 2**60)
NOT_SETTLED = 1e-6
"""Interval of the rounds: with it the newest changes are compared too."""


async def prepare(server):
    admin = await server.connect()
    for name in HUBS:
        await admin.execute(f"CREATE DATABASE {name}")
        pool = await connect(server, name)
        async with pool.acquire() as connection:
            await migrate(connection, name)
        await pool.close()
    await admin.close()


async def connect(server, name):
    return await asyncpg.create_pool(
        host="127.0.0.1",
        port=server.port,
        user="meridian",
        database=name,
        min_size=1,
        max_size=2,
        server_settings={"synchronous_commit": "off"},
    )


class Hub(Log):
    """A hub's database and its worker's reconciler; questions go straight across."""

    def __init__(self, name, pool, hubs):
        super().__init__(name, pool)
        self.state_ = State(pool, name, HUBS)
        self.hubs = hubs
        self.asked = []
        self.answered = Counter()
        self.stuck = set()
        self.went_on = []
        self.metrics = Metrics()
        self.reconciler = Reconciler(
            self.state_,
            self.ask,
            self.metrics,
            NOT_SETTLED,
            lambda hub: self.stuck,
            self.skipped,
        )

    async def ask(self, hub, question, params, seconds):
        """As through Pub/Sub: JSON both ways."""
        self.asked.append(question)
        params = orjson.loads(orjson.dumps(params))
        answer = orjson.dumps(await self.hubs[hub].state_.answer(question, params))
        assert len(answer) < 5 * 2**20
        self.answered[question] += len(orjson.loads(answer))
        return orjson.loads(answer)

    async def skipped(self, hub, lanes):
        self.went_on.append((hub, lanes))

    async def round(self, other):
        """Rows taken and questions asked."""
        self.asked = []
        rows = await self.reconciler.round(other.name)
        return rows, self.asked

    async def put(self, *items, created=(), dropped=()):
        """Rows as they are: (id, at, origin, deleted) of collection `c`."""
        await self.state_.merge_items(
            [
                {
                    "tenant": "t",
                    "collection": "c",
                    "id": item,
                    "vector": None,
                    "metadata": "{}",
                    "at": at,
                    "origin": origin,
                    "event_id": "e",
                    "deleted": deleted,
                }
                for item, at, origin, deleted in items
            ]
        )
        await self.state_.merge_collections(
            [shape("created", at, origin) for at, origin in created]
            + [shape("dropped", at) for at in dropped]
        )

    async def counted(self):
        """What must be the same everywhere."""
        queries = (
            "SELECT tenant, collection, id, at, origin, deleted FROM counted_item",
            "SELECT tenant, name, at, origin FROM creation",
            "SELECT tenant, name, at FROM dropped",
        )
        return [
            sorted(tuple(row) for row in await self.pool.fetch(query))
            for query in queries
        ]

    async def digest(self):
        return (
            await self.state_.sums(EVER),
            await self.state_.collection_sums(EVER.until),
        )


def shape(kind, at, origin=""):
    return {
        "kind": kind,
        "tenant": "t",
        "name": "c",
        "at": at,
        "origin": origin,
        "lane": LANE,
        "definition": "{}",
    }


class Opened:
    """Empty hubs."""

    def __init__(self, server, count):
        self.server, self.count = server, count
        self.hubs = {}

    async def __aenter__(self):
        for name in HUBS[: self.count]:
            pool = await connect(self.server, name)
            # Faster than TRUNCATE, which makes files.
            await pool.execute("".join(f"DELETE FROM {table};" for table in TABLES))
            await pool.execute("UPDATE head SET epoch = 1, seq = 0, clock = 0")
            self.hubs[name] = Hub(name, pool, self.hubs)
        return list(self.hubs.values())

    async def __aexit__(self, *_):
        for hub in self.hubs.values():
            await hub.pool.close()


def on(postgres, count):
    """Runs a test of hubs: they come as its arguments."""

    def decorate(work):
        async def run():
            async with Opened(postgres, count) as hubs:
                await work(*hubs)

        asyncio.run(run())

    return decorate
