"""What comparing two hubs' states costs their databases.

    python -m benchmarks.digest [--items 100000] [--fetched 20000]

Two databases of one Postgres, filled alike with items of 384 f16; the second then loses
one item, then everything. Questions go straight to the other side, JSON both ways: the
time is that of the databases and the worker, without Pub/Sub. The server has 16 MiB of
shared buffers, so tables are read through the system's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg
import orjson

from benchmarks.measure import Json, noise, report, summary
from benchmarks.wire import cpu_of
from service.log.migrate import migrate
from service.log.state import Span, State
from service.telemetry import Metrics
from service.worker.reconcile import Reconciler
from tests.service.servers import Postgres
from tests.service.single import empty_postgres

T = TypeVar("T")
HUBS = ("here", "there")
EVER = Span(0, 2**60)
AGAIN = 5
FILL = (
    "INSERT INTO item SELECT 'default', 'benchmark', md5(n::text), "
    "decode(repeat(md5(n::text), 48), 'hex'), '{\"n\": 1}', 1000 + n, 'there', "
    "md5(n::text), false FROM generate_series(1, $1::integer) n"
)


class Pair:
    """Two hubs, and what crosses between them."""

    def __init__(self, pools: dict[str, asyncpg.Pool]) -> None:
        self.pools = pools
        self.states = {name: State(pool, name, HUBS) for name, pool in pools.items()}
        self.asked: Counter[str] = Counter()
        self.bytes = 0
        self.largest = 0

    async def ask(
        self, hub: str, question: str, params: list[Any], _: float
    ) -> list[Json]:
        """As through Pub/Sub: JSON both ways."""
        given = orjson.dumps(params)
        answer = orjson.dumps(
            await self.states[hub].answer(question, orjson.loads(given))
        )
        self.asked[question] += 1
        self.bytes += len(given) + len(answer)
        self.largest = max(self.largest, len(answer))
        return list(orjson.loads(answer))

    async def round(self) -> Json:
        """One complete round of the first hub."""

        async def nobody(*_: object) -> None:
            return None

        links = (lambda _: set(), nobody)
        state = self.states["here"]
        reconciler = Reconciler(state, self.ask, Metrics(), 1.0, *links)
        self.asked, self.bytes, self.largest = Counter(), 0, 0
        seconds, rows = await timed(reconciler.round("there"))
        return {
            "seconds": round(seconds, 2),
            "rows": rows,
            "asked": dict(self.asked),
            "bytes": self.bytes,
            "largest": self.largest,
        }


async def timed(work: Awaitable[T]) -> tuple[float, T]:
    """Seconds and outcome."""
    started = time.perf_counter()
    outcome = await work
    return time.perf_counter() - started, outcome


async def opened(server: Postgres) -> dict[str, asyncpg.Pool]:
    """Empty databases with the schema."""
    admin = await server.connect()
    pools = {}
    for name in HUBS:
        await admin.execute(f"CREATE DATABASE {name}")
        pools[name] = await asyncpg.create_pool(
            host="127.0.0.1",
            port=server.port,
            user="meridian",
            database=name,
            min_size=1,
            max_size=1,
            server_settings={"jit": "off"},
        )
        async with pools[name].acquire() as connection:
            await migrate(connection, name)
    await admin.close()
    return pools


async def run(server: Postgres, items: int, fetched: int) -> Json:
    pair = Pair(await opened(server))
    here, there = (pair.pools[name] for name in HUBS)
    for pool in (here, there):
        await pool.execute(FILL, items, timeout=600)
        await pool.execute("VACUUM ANALYZE item", timeout=600)
    backend = await there.fetchval("SELECT pg_backend_pid()")
    spent = cpu_of(backend)
    sums = [(await timed(pair.states["there"].sums(EVER)))[0] for _ in range(AGAIN)]
    spent = cpu_of(backend) - spent
    answer: Json = {
        "items": items,
        "table_mb": await there.fetchval("SELECT pg_total_relation_size('item') >> 20"),
        "digest_seconds": summary(sums, 3),
        "digest_cpu_us_an_item": round(spent / AGAIN / items * 1e6, 2),
        "equal": await pair.round(),
    }
    await here.execute("DELETE FROM item WHERE id = md5('7')")
    answer["one_lost"] = await pair.round()
    await here.execute("TRUNCATE item")
    await there.execute("DELETE FROM item WHERE at > $1", 1000 + fetched, timeout=600)
    answer["all_lost"] = await pair.round()
    for pool in (here, there):
        await pool.close()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--fetched", type=int, default=20_000, help="By a new hub.")
    given = parser.parse_args()
    before = noise()
    with empty_postgres() as (server, _):
        answer = asyncio.run(run(server, given.items, given.fetched))
    lines = [
        f"{answer['items']:,} items: sums in {answer['digest_seconds']} s, "
        f"{answer['digest_cpu_us_an_item']} us of the server's CPU an item",
        *(f"{kind}: {answer[kind]}" for kind in ("equal", "one_lost", "all_lost")),
    ]
    report("digest", answer, lines, before)


if __name__ == "__main__":
    main()
