"""What it costs to bring a collection into memory: from the table, from a snapshot.

    python -m benchmarks.loading [--rows 1000,5000,20000,100000] [--rounds 3]

A real Postgres, items of 384 f32 with some metadata, the worker's own writer, and the
local cloud's object store in a process of its own; the ways in turns. CPU of this
process is what an instance spends, that of the backend what its database does. What the
way to Google's store takes is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import numpy

from benchmarks.measure import Json, noise, report, summary
from benchmarks.wire import cpu_of
from service.google import Google
from service.kernel import Kernel
from service.kernel.choose import load
from service.log.definition import Definition, Fields
from service.log.migrate import migrate
from service.log.reader import Reader
from service.settings import Settings
from service.snapshot.bucket import Bucket
from service.stream.guides import Guides
from service.stream.loading import Loading
from service.telemetry import Metrics
from service.worker.snapshots import Snapshots
from tests.service.servers import ROOT, Postgres
from tests.service.single import empty_postgres

DIMENSION = 384
HUB = "here"
METADATA = '{"n": 1, "lang": "de"}'
COLUMNS = ("tenant", "collection", "id", "vector", "metadata", "at", "origin")
COLUMNS += ("event_id", "deleted")


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """The address of an object store."""
    config = folder / "store.json"
    config.write_text(json.dumps({"topics": {}}))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.service.broker", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert child.stdout is not None
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.kill()
        child.wait()


def made_settings(server: Postgres, address: str) -> Settings:
    return Settings.from_environment(
        {
            "MERIDIAN_ROLE": "worker",
            "MERIDIAN_REGION": HUB,
            "MERIDIAN_HUB": HUB,
            "MERIDIAN_HUBS": HUB,
            "DATABASE_PRIMARY": server.address,
            "DATABASE_LOCAL": server.address,
            "DATABASE_NAME": "postgres",
            "DATABASE_USER": "meridian",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": "1",
            "PUBSUB_TOPIC_CHANGES": "none",
            "PUBSUB_TOPIC_REPAIRS": "none",
            "MERIDIAN_GOOGLE_API": address,
            "MERIDIAN_SNAPSHOT_ROWS": "1",
        }
    )


class Stage:
    """One database and one bucket; each size is a collection of its own."""

    def __init__(
        self, pool: asyncpg.Pool, backend: int, settings: Settings, google: Google
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.reader = Reader(pool)
        self.bucket = Bucket(google, "bench")
        self.backend = backend
        self.kernel: Kernel = load()

    async def fill(self, rows: int) -> Definition:
        name = f"c{rows}"
        random = numpy.random.default_rng(rows)
        for start in range(0, rows, 10_000):
            numbers = range(start, min(rows, start + 10_000))
            made = random.standard_normal((len(numbers), DIMENSION), numpy.float32)
            records = [
                ("default", name, uuid.UUID(int=n * 7919).hex, row.tobytes(), METADATA)
                + (1000 + n, HUB, f"{name}-{n}", False)
                for n, row in zip(numbers, made, strict=True)
            ]
            await self.pool.copy_records_to_table(
                "item", records=records, columns=COLUMNS, timeout=600
            )
        await self.pool.execute("VACUUM ANALYZE item", timeout=600)
        return Definition("default", name, 1, 1, Fields(dimension=DIMENSION))

    async def write(self, definition: Definition) -> Json:
        """A snapshot by the worker's own code."""
        writer = Snapshots(self.reader, self.bucket, Metrics(), self.settings)
        async with self.reader.view() as view:
            _, spent = await self.measured(writer._update(view, definition))
        return spent

    async def load(self, definition: Definition, source: str) -> Json:
        bucket = self.bucket if source == "snapshot" else None
        metrics = Metrics()
        guides = Guides(metrics, "off", 0)
        loading = Loading(self.reader, bucket, self.kernel, guides, metrics, 2**40)
        items, spent = await self.measured(loading.items(definition, 1, {}))
        counted = metrics.registry.get_sample_value(
            "meridian_load_seconds_count", {"source": source}
        )
        assert counted == 1, f"{definition.name}: not from {source}"
        return spent | {"items": len(items)}

    async def measured(self, work: Any) -> tuple[Any, Json]:
        backend = self.backend
        theirs, ours, began = cpu_of(backend), time.process_time(), time.perf_counter()
        longest = asyncio.create_task(longest_pause())
        outcome = await work
        seconds = time.perf_counter() - began
        ours = time.process_time() - ours
        longest.cancel()
        return outcome, {
            "seconds": seconds,
            "cpu": ours,
            "database_cpu": cpu_of(backend) - theirs,
            "pause": PAUSES.pop("longest", 0.0),
        }


PAUSES: dict[str, float] = {}


async def longest_pause() -> None:
    """The longest time in which the event loop did nothing else."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late = time.perf_counter() - began - 0.001
        PAUSES["longest"] = max(PAUSES.get("longest", 0.0), late)


async def run(server: Postgres, address: str, sizes: list[int], rounds: int) -> Json:
    settings = made_settings(server, address)
    google = Google(settings)
    pool = await asyncpg.create_pool(
        host="127.0.0.1",
        port=server.port,
        user="meridian",
        database="postgres",
        min_size=1,
        max_size=1,
        server_settings={"jit": "off"},
    )
    answer: Json = {}
    async with pool.acquire() as connection:
        await migrate(connection, HUB)
    # The pool's only one.
    backend = await pool.fetchval("SELECT pg_backend_pid()")
    stage = Stage(pool, backend, settings, google)
    for rows in sizes:
        definition = await stage.fill(rows)
        written = await stage.write(definition)
        taken: dict[str, list[Json]] = {"database": [], "snapshot": []}
        for _ in range(rounds):
            for source, found in taken.items():
                found.append(await stage.load(definition, source))
        ratios = [
            d["seconds"] / s["seconds"]
            for d, s in zip(taken["database"], taken["snapshot"], strict=True)
        ]
        answer[str(rows)] = {
            "written": written,
            "ratio": summary(ratios, 2),
            **{
                source: {
                    what: summary([one[what] for one in found], 3)
                    for what in ("seconds", "cpu", "database_cpu", "pause")
                }
                for source, found in taken.items()
            },
        }
    await pool.close()
    await google.close()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,5000,20000,100000")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sizes = [int(text) for text in given.rows.split(",")]
    before = noise()
    with empty_postgres() as (server, folder), store(folder) as address:
        answer = asyncio.run(run(server, address, sizes, given.rounds))
    lines = []
    for rows, found in answer.items():
        lines.append(f"{int(rows):,} rows: {found['ratio']} times as fast")
        lines += [
            f"  {source}: {found[source]['seconds']} s, CPU {found[source]['cpu']} s "
            f"and {found[source]['database_cpu']} s of the database; "
            f"longest pause {found[source]['pause']} s"
            for source in ("database", "snapshot")
        ]
        spent = found["written"]
        lines.append(
            f"  written in {spent['seconds']:.2f} s, CPU {spent['cpu']:.2f} s and "
            f"{spent['database_cpu']:.2f} s of the database"
        )
    report("loading", answer, lines, before)


if __name__ == "__main__":
    main()
