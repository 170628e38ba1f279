"""How soon watchers hear of writes where a region has several workers.

    python -m benchmarks.workers [--workers 1 3] [--rate 40] [--writes 300]

Two hubs and a cell, a Postgres, a Redis and an instance each, a broker, as the
service's tests have them. Writes go to one hub at a steady rate, a watcher each listens
in the other hub and in the cell; latency is from before the write is sent until its
match is there. Beside it the CPU of all workers, and how often one asked for changes
that it lacked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Json, noise, report, summary
from benchmarks.wire import cpu_of, metric
from service.client import Client, Query
from tests.service.servers import init_postgres
from tests.service.world import Template, World

WRITTEN = "asia"
REGIONS = {WRITTEN: WRITTEN, "europe": "europe", "india": WRITTEN}
HEARD = ("europe", "india")
VECTOR = [1.0] + [0.0] * 7
PATIENCE = 60.0
"""Seconds for all matches after the last write."""


@contextlib.contextmanager
def world() -> Iterator[Any]:
    """Three regions, until the end."""
    with tempfile.TemporaryDirectory(prefix="meridian-workers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "cluster")
        template = Template()
        made = World(folder, template, folder / "cluster", REGIONS, {})
        try:
            yield made
        finally:
            made.close()
            template.close()


async def hear(url: str, sent: dict[str, float], count: int) -> list[float]:
    """Seconds from the sending of each write to its match."""
    took = []
    query = Query(stream="s", collection="watched", vector=VECTOR, threshold=0.5)
    async with Client(url) as client:
        async for match in client.watch([query], "websocket"):
            took.append(time.time() - sent[match.id])
            if len(took) == count:
                break
    return took


async def run(made: Any, workers: int, rate: float, count: int) -> Json:
    await made.ready()
    regions, sent = made.regions, dict[str, float]()
    for region in regions.values():
        for _ in range(workers - 1):
            region.second_worker()
    parts = [p for r in regions.values() for p in (r.worker, *r.others)]
    async with Client(regions[WRITTEN].url) as client:
        await client.create("watched", dimension=len(VECTOR))
        await asyncio.sleep(3)
        hearing = [
            asyncio.create_task(hear(regions[n].url, sent, count)) for n in HEARD
        ]
        await asyncio.sleep(1)
        before = [cpu_of(part["pid"]) for part in parts]
        for n in range(count):
            sent[str(n)] = time.time()
            await client.put("watched", [{"id": str(n), "vector": VECTOR}])
            await asyncio.sleep(max(0.0, sent[str(n)] + 1 / rate - time.time()))
    took = await asyncio.wait_for(asyncio.gather(*hearing), PATIENCE)
    spent = [cpu_of(p["pid"]) - b for p, b in zip(parts, before, strict=True)]
    repairs = [metric(part["port"], "meridian_repairs_total") for part in parts]
    return {
        "ms": {
            n: summary([t * 1000 for t in s]) for n, s in zip(HEARD, took, strict=True)
        },
        "workers_cpu_ms_a_change": round(sum(spent) / count * 1000, 2),
        "repairs": sum(repairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--rate", type=float, default=40.0, help="Writes a second.")
    parser.add_argument("--writes", type=int, default=300)
    given = parser.parse_args()
    before, answer = noise(), {}
    for workers in given.workers:
        with world() as made:
            found = asyncio.run(run(made, workers, given.rate, given.writes))
            answer[str(workers)] = found
    lines = [
        f"{workers} workers a region: {found['ms']}; a change takes "
        f"{found['workers_cpu_ms_a_change']} ms of CPU, {found['repairs']:.0f} repairs"
        for workers, found in answer.items()
    ]
    report("workers", answer, lines, before)


if __name__ == "__main__":
    main()
