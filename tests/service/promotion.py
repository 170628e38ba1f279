"""A region is lost for good and its replica is promoted: what is kept, what is lost.

`python -m tests.service.promotion --rounds 10` prints the ledger of each round.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from service.client import Client, ClientError, Query
from tests.service.servers import init_postgres
from tests.service.slow_link import SlowLink
from tests.service.world import Region, Template, World, wait_ready

REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}
LIMITS = {"max_body_bytes": 2**20, "max_batch_items": 200, "max_metadata_bytes": 1024}
WAY = 1.5
"""Seconds that the log takes to the replica."""
ENOUGH = 3
"""Acknowledged writes of durability `region` before the region is lost."""


class Writer:
    """Writes into a collection and remembers what was acknowledged, and where."""

    def __init__(self, region: Region, collection: str) -> None:
        self.client = Client(region.url, deadline=8)
        self.collection = collection
        self.places: dict[str, tuple[int, int]] = {}
        self.lane = -1
        self.stopping = False

    async def run(self) -> None:
        n = 0
        while not self.stopping:
            n += 1
            item = {
                "id": f"i{n}",
                "vector": [math.cos(n * 0.37), math.sin(n * 0.37)],
                "event_id": f"{self.collection}-{n}",
            }
            with contextlib.suppress(ClientError, aiohttp.ClientError, OSError):
                (result,) = await self.client.put(self.collection, [item])
                if "error" not in result:
                    at = result["position"]
                    self.lane = at["lane"]
                    self.places[item["id"]] = (at["epoch"], at["seq"])
        await self.client.close()


@dataclass
class Ledger:
    """What an outside observer knows of a promotion."""

    acknowledged: dict[str, tuple[int, int]]
    """Durability `zone`: item -> (epoch, seq)."""
    promised: set[str]
    """Durability `region`: acknowledged items."""
    kept: set[str]
    """Items of `promised` that the new primary has."""
    found: set[str]
    """Items of `acknowledged` that it has."""
    end: tuple[int, int]
    """Where the lane's epoch ended, as the new primary says."""
    heard: list[str]
    """What a watcher in another hub was told, in order."""
    gaps: int
    recalled: int
    """Changes that other hubs gave back."""
    seconds: float
    """From the promotion to the new epoch."""

    @property
    def lost(self) -> set[str]:
        return set(self.acknowledged) - self.found

    @property
    def after_the_end(self) -> set[str]:
        return {i for i, place in self.acknowledged.items() if place > self.end}


async def promotion(world: World) -> tuple[Ledger, str]:
    """One round in a world that is not to be used again; the collection at risk."""
    asia, europe, paris = (world.regions[n] for n in REGIONS)
    promised, risked = (f"{w}{uuid.uuid4().hex[:10]}" for w in ("kept", "risked"))
    await _create(world, promised, risked)
    watcher = Client(asia.url)
    query = Query(stream="s", collection=risked, vector=[1, 0], threshold=-1)
    watching = watcher.watch([query])
    heard: list[str] = []

    async def listen() -> None:
        async for match in watching:
            heard.append(match.id)

    await watching.ready()
    listening = asyncio.create_task(listen())
    link = SlowLink(europe.postgres.port, WAY)
    await link.follow(paris)
    writers = [Writer(europe, name) for name in (promised, risked)]
    writing = [asyncio.create_task(w.run()) for w in writers]
    await eventually(lambda: len(writers[0].places) >= ENOUGH)
    await _lose(europe, link, writers[1])
    for writer in writers:
        writer.stopping = True
    await asyncio.gather(*writing)

    began = time.time()
    await world.promote(paris)
    said = await eventually(lambda: _epoch_begun(paris))
    await ready(paris)
    here = await stored(paris, risked)
    async with Client(paris.url) as client:
        (result,) = await client.put(risked, [{"id": "after", "vector": [1, 0]}])
        assert (result["position"]["origin"], result["position"]["epoch"]) == (
            "europe",
            2,
        )
    await eventually(lambda: "after" in heard)
    listening.cancel()
    await watching.close()
    await watcher.close()
    ends = {lane: (epoch, seq) for lane, epoch, seq in said["ended"]}
    ledger = Ledger(
        acknowledged=writers[1].places,
        promised=set(writers[0].places),
        kept=set(writers[0].places) & set(await stored(paris, promised)),
        found=set(writers[1].places) & set(here),
        end=ends[writers[1].lane],
        heard=heard,
        gaps=len(watching.gaps),
        recalled=said["recalled_changes"],
        seconds=said["time"] - began,
    )
    return ledger, risked


async def _create(world: World, promised: str, risked: str) -> None:
    async with Client(world.regions["europe"].url) as client:
        await client.create(risked, dimension=2)
        await client.create(promised, dimension=2, durability="region")
    for region in world.regions.values():
        async with Client(region.url) as client:
            for name in (promised, risked):
                await known(client, name)


async def known(client: Client, collection: str) -> None:
    """Waits until a region knows a collection."""
    for _ in range(300):
        with contextlib.suppress(ClientError):
            await client.describe(collection)
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{collection} is not known")


async def _lose(region: Region, link: SlowLink, writer: Writer) -> None:
    """Its relay stops a few writes before everything else does, and nothing that was
    on its way to the replica arrives."""
    os.kill(region.worker["pid"], signal.SIGSTOP)
    before = len(writer.places)
    await eventually(lambda: len(writer.places) > before + 3)
    link.close()
    region.postgres.kill()
    for part in ("instance", "grpc", "worker"):
        region.kill(part)
    region.redis.process.kill()


async def stored(region: Region, collection: str) -> dict[str, tuple[int, str]]:
    """Version and origin of every item that a region's database holds."""
    connection = await region.postgres.connect()
    rows = await connection.fetch(
        "SELECT id, at, origin FROM item WHERE collection = $1 AND NOT deleted",
        collection,
    )
    await connection.close()
    return {row["id"]: (row["at"], row["origin"]) for row in rows}


async def eventually(what, seconds=40):
    """The first true value of `what()`."""
    until = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < until, "did not happen"
        await asyncio.sleep(0.02)
    return value


async def ready(region: Region) -> None:
    async with aiohttp.ClientSession() as session:
        await wait_ready(session, region)


def _epoch_begun(region: Region) -> dict | None:
    """What the new primary's worker said when it began its epoch."""
    lines = (region.folder / "worker.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if '"epoch begun"' in line]
    return said[-1] if said else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    template = Template()
    failed = 0
    try:
        with tempfile.TemporaryDirectory(prefix="meridian-") as scratch:
            cluster = Path(scratch) / "cluster"
            Path(scratch).chmod(0o755)
            init_postgres(cluster)
            for n in range(rounds):
                failed += not _round(n, Path(scratch) / str(n), template, cluster)
    finally:
        template.close()
    print(f"{rounds} rounds, {failed} failed")
    raise SystemExit(bool(failed))


def _round(n: int, folder: Path, template: Template, cluster: Path) -> bool:
    folder.mkdir()
    world = World(folder, template, cluster, REGIONS, LIMITS)
    try:
        asyncio.run(world.ready())
        one, _ = asyncio.run(promotion(world))
    finally:
        world.close()
    told = set(one.heard)
    sound = (
        one.promised == one.kept
        and one.lost == one.after_the_end
        and one.found <= told
        and len(told) == len(one.heard)
        and not one.gaps
    )
    print(
        f"round {n + 1}: region {len(one.promised)} acknowledged, "
        f"{len(one.promised - one.kept)} lost; zone {len(one.acknowledged)} "
        f"acknowledged, {len(one.lost)} lost, {len(one.after_the_end)} after the end; "
        f"{one.recalled} came back from peers; watcher: "
        f"{len(one.found - told)} missing, {len(one.heard) - len(told)} doubled; "
        f"new epoch after {one.seconds:.1f} s: {'sound' if sound else 'NOT SOUND'}",
        flush=True,
    )
    return sound


if __name__ == "__main__":
    main()
