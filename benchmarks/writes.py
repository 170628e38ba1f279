"""Durable writes: of the commit path, and of one instance over HTTP.

    python -m benchmarks.writes [--items 40000] [--singles 10000] [--replica]

First the committer and its primary by themselves: writes as an instance has them once
it has read a request, 4,000 in its queue. Then a region alone: one Postgres (`fsync`
and `synchronous_commit` on, asked), one Redis, a broker, worker and instance, as the
service's tests have them; a whole world on one machine would apply every write in
fifteen regions of it. Vectors of dimension 384, f32 as base64. Batches of 1,000 on
four connections, single upserts on 64. Wall time, with the CPU of the instance and of
the worker (which publishes the changes and feeds Redis) beside it, since the client
shares the machine. `fdatasync` of one 8 KiB page beside the data says what the disk
takes. With --replica a second region follows the primary, on the same machine, and
durability `region` is measured beside `zone`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.faults import DURABLE
from benchmarks.measure import Json, noise, report, summary
from benchmarks.wire import cpu_of, flood, post
from service.client import Client
from service.log.commit import Committer, Pending
from service.log.migrate import migrate
from service.telemetry import Metrics
from tests.service.access_parts import no_token, settings, start_postgres
from tests.service.servers import init_postgres
from tests.service.world import Template, World

REGION, REPLICA = "asia", "replica"
DIMENSION, BATCH = 384, 1_000
WIDE, NARROW = 64, 4
GOAL_BATCHED, GOAL_SINGLE = 20_000, 5_000
SYNCS = 200
TRACE_SHARE = "0.0001"
"""As production's catalogue has it."""


def item(rng: np.random.Generator) -> Json:
    """One item with ids of its own."""
    vector = rng.standard_normal(DIMENSION, np.float32)
    name = uuid.uuid4().hex
    packed = base64.b64encode(vector.tobytes()).decode()
    return {"id": name, "event_id": name, "vector": packed}


def requests_of(collection: str, count: int, size: int) -> list[bytes]:
    """Upserts of `count` items, so many in each."""
    rng = np.random.default_rng(5)
    path = f"/v1/collections/{collection}/items:upsert"
    return [
        post(path, json.dumps({"items": [item(rng) for _ in range(size)]}).encode())
        for _ in range(count // size)
    ]


def sync_seconds(folder: Path) -> float:
    """Median seconds of an fdatasync after one page was written."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(b"\0" * 8192)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


async def measured(
    parts: list[Json], collection: str, count: int, size: int, connections: int
) -> Json:
    """Items a second of one way of writing, by an instance with its worker."""
    pids = [part["pid"] for part in parts]
    requests = requests_of(collection, count, size)
    before = [cpu_of(pid) for pid in pids]
    seconds, times = await flood(parts[0]["port"], requests, connections)
    spent = [(cpu_of(p) - b) / count * 1e6 for p, b in zip(pids, before, strict=True)]
    return {
        "items_a_second": round(count / seconds),
        "service_cpu_us_an_item": round(spent[0], 1),
        "worker_cpu_us_an_item": round(spent[1], 1),
        "request_ms": summary([t * 1000 for t in times]),
        "items": count,
    }


def names(count: int) -> list[str]:
    """Ids as clients draw them."""
    return [uuid.uuid4().hex for _ in range(count)]


async def commit_path(server: Any, items: int) -> Json:
    """Items a second that a committer brings into its primary's log."""
    primary = await server.connect()
    await migrate(primary, "postgres")
    backends = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    committer = Committer(
        settings(server.address, "postgres", "postgres"), no_token, Metrics()
    )
    running = asyncio.create_task(committer.run())
    vector = np.random.default_rng(5).standard_normal(DIMENSION, np.float32).tobytes()

    async def write(count: int) -> None:
        for _ in range(count // BATCH):
            ids = names(BATCH)
            batch = [Pending(i, "zone", i, "upsert", vector, "{}") for i in ids]
            committer.submit(batch)
            for pending in batch:
                await pending.done

    await write(BATCH)
    pids = [row["pid"] for row in await primary.fetch(backends)]
    before, own, started = [cpu_of(p) for p in pids], time.process_time(), time.time()
    await asyncio.gather(*(write(items // NARROW) for _ in range(NARROW)))
    seconds, spent = time.time() - started, [cpu_of(pid) for pid in pids]
    running.cancel()
    await primary.close()
    return {
        "items_a_second": round(items / seconds),
        "committer_cpu_us_an_item": round((time.process_time() - own) / items * 1e6, 1),
        "primary_cpu_us_an_item": round((sum(spent) - sum(before)) / items * 1e6, 1),
        "items": items,
    }


def commit_path_alone(items: int) -> Json:
    """The same with a server for it alone."""
    with tempfile.TemporaryDirectory(prefix="meridian-commits-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "cluster")
        server = start_postgres(folder, folder / "cluster")
        try:
            return uvloop.run(commit_path(server, items))
        finally:
            server.stop()


async def durable(region: Any) -> None:
    """Raises unless the primary syncs what it acknowledges to its disk."""
    primary = await region.postgres.connect()
    found = {name: await primary.fetchval(f"SHOW {name}") for name in DURABLE}
    await primary.close()
    if set(found.values()) != {"on"}:
        raise RuntimeError(f"acknowledged is not durable here: {found}")


async def run(region: Any, items: int, singles: int) -> Json:
    world = region.world
    await world.ready()
    kinds = ("zone", "region") if REPLICA in world.regions else ("zone",)
    await durable(region)
    parts = [region.second_instance(), region.worker]
    answer: Json = {}
    for kind in kinds:
        async with Client(region.url) as client:
            await client.create(kind, dimension=DIMENSION, durability=kind)
        await measured(parts, kind, BATCH, BATCH, 1)  # warms
        answer[f"{kind} batched"] = await measured(parts, kind, items, BATCH, NARROW)
        answer[f"{kind} single"] = await measured(parts, kind, singles, 1, WIDE)
    return answer | {"fdatasync_ms": round(sync_seconds(world.folder) * 1000, 3)}


@contextlib.contextmanager
def single_region(*, replica: bool = False) -> Iterator[Any]:
    """A region by itself, with a second one that follows it when `replica`; of traces
    it keeps production's share."""
    with tempfile.TemporaryDirectory(prefix="meridian-writes-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "cluster")
        template = Template()
        regions = {REGION: REGION} | ({REPLICA: REGION} if replica else {})
        cluster, share = folder / "cluster", {"MERIDIAN_TRACE_SHARE": TRACE_SHARE}
        world = World(folder, template, cluster, regions, {}, **share)
        try:
            yield world.regions[REGION]
        finally:
            world.close()
            template.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=40_000, help="In batches.")
    parser.add_argument("--singles", type=int, default=10_000)
    parser.add_argument(
        "--replica", action="store_true", help="Durability `region` beside `zone`."
    )
    given = parser.parse_args()
    before = noise()
    path = commit_path_alone(given.items)
    with single_region(replica=given.replica) as region:
        answer = asyncio.run(run(region, given.items, given.singles))
    lines = [
        f"{name}: {answer[name]['items_a_second']:,} items/s "
        f"({'met' if answer[name]['items_a_second'] >= goal else 'missed'}, goal "
        f"{goal:,}); {answer[name]['service_cpu_us_an_item']} us of CPU an item, the "
        f"worker's {answer[name]['worker_cpu_us_an_item']}; a "
        f"request {answer[name]['request_ms']}"
        for name in answer
        for way, goal in (("batched", GOAL_BATCHED), ("single", GOAL_SINGLE))
        if name.endswith(way)
    ]
    lines.insert(
        0,
        f"commit path: {path['items_a_second']:,} items/s "
        f"({'met' if path['items_a_second'] >= GOAL_BATCHED else 'missed'}, goal "
        f"{GOAL_BATCHED:,}); {path['committer_cpu_us_an_item']} us of CPU an item, the "
        f"primary's {path['primary_cpu_us_an_item']}",
    )
    answer["commit path"] = path
    lines.append(f"fdatasync of a page: {answer['fdatasync_ms']} ms")
    report("writes", answer, lines, before)


if __name__ == "__main__":
    main()
