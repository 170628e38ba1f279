"""The disk of a hub's primary fills up under writers: what is lost, what is doubled.

    python -m tests.service.disk_full --rounds 10

In turns the disk of the data is full (Postgres refuses what needs room), that of the
log (Postgres ends itself, and cannot start), and both. Then there is room again and,
where its log was full, Postgres is started anew on its data. A ledger outside compares
every acknowledged write with what is stored and with what each watcher was told; exit 1
on any loss, on anything doubled, and on a refusal that is no word of overload.
"""

import argparse
import asyncio
import contextlib
import secrets
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from service.client import Client, ClientError, Query
from tests.service.promotion import eventually, known, stored
from tests.service.servers import init_postgres
from tests.service.small_disk import SEGMENT, SmallDiskWorld, refusal
from tests.service.world import Template

REGIONS = {"asia": "asia", "delhi": "asia", "europe": "europe"}
WATCHERS = {"asia": "websocket", "delhi": "sse", "europe": "websocket"}
KINDS = ("data", "log", "both")
"""Which disk is full."""
LIMITS = {"max_body_bytes": 2**20, "max_batch_items": 200, "max_metadata_bytes": 16384}
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
ALLOWED = {"unavailable", "overloaded", "behind", "deadline_exceeded", "away"}
"""How a write may be refused; `away`: the connection broke."""
WRITERS = 4
FILLER_BYTES = 6_000
"""Of noise in each write, so that a few hundred need room on both disks."""
ENOUGH = 20
"""Writes acknowledged before the disk is full, and again after."""
REFUSED = 10
"""Writes refused before there is room again."""
SECONDS = 90.0
"""For each step; a step that takes longer did not happen."""


@dataclass
class Ledger:
    """What an outside observer knows of a round."""

    kind: str
    settings: dict[str, str] = field(default_factory=dict)
    """Of Postgres: `DURABLE`."""
    acknowledged: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    """Codes of refused writes; whether one of them is stored nobody knows."""
    sent: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    """Items that the primary holds afterwards."""
    twice: int = 0
    """Changes that the log holds more than once."""
    heard: dict[str, list[str]] = field(default_factory=dict)
    """Items that each watcher was told of, in order."""
    repeats: int = 0
    gaps: int = 0
    ended: bool = False
    """Whether Postgres ended itself."""
    seconds: float = 0.0
    """From the room that there is again to the next acknowledged write."""

    @property
    def lost(self) -> set[str]:
        return self.acknowledged - self.kept

    @property
    def missing(self) -> int:
        """Matches that a watcher was not told of."""
        return sum(len(self.kept - set(told)) for told in self.heard.values())

    @property
    def doubled(self) -> int:
        told_again = sum(len(t) - len(set(t)) for t in self.heard.values())
        return self.twice + self.repeats + told_again

    @property
    def sound(self) -> bool:
        return (
            set(self.settings.values()) == {"on"}
            and not self.lost
            and not self.missing
            and not self.doubled
            and not self.gaps
            and self.kept <= self.sent
            and set(self.refused) <= ALLOWED
        )


class Round:
    """Writers at asia, watchers everywhere, one disk full."""

    def __init__(self, world: SmallDiskWorld, kind: str) -> None:
        self.world, self.asia = world, world.regions["asia"]
        self.name = f"c{uuid.uuid4().hex[:12]}"
        self.ledger = Ledger(kind, heard={region: [] for region in WATCHERS})
        self.clients = {n: Client(world.regions[n].url) for n in WATCHERS}
        query = Query(stream="s", collection=self.name, vector=[1, 0], threshold=-1)
        self.watching = {
            n: self.clients[n].watch([query], o) for n, o in WATCHERS.items()
        }
        self.filler = {"metadata": {"noise": secrets.token_hex(FILLER_BYTES)}}
        disks = world.disks
        full = {"data": [disks.data], "log": [disks.log]}
        self.full = full.get(kind, [disks.data, disks.log])
        self.stopping = False

    async def run(self) -> Ledger:
        """The round; raises AssertionError where a step does not happen."""
        await self._begin()
        listening = [asyncio.create_task(self._listen(n)) for n in WATCHERS]
        async with aiohttp.ClientSession() as session:
            writing = [
                asyncio.create_task(self._write(session)) for _ in range(WRITERS)
            ]
            writing.append(asyncio.create_task(self._write_by_client()))
            await self._progress(ENOUGH)
            await self._full()
            since = time.monotonic()
            await self._room()
            await self._progress(1)
            self.ledger.seconds = time.monotonic() - since
            await self._progress(ENOUGH)
            self.stopping = True
            await asyncio.gather(*writing)
        await self._settle()
        for task in listening:
            task.cancel()
        await self._end()
        return self.ledger

    async def _begin(self) -> None:
        await self.clients["asia"].create(self.name, dimension=2)
        for client in self.clients.values():
            await known(client, self.name)
        for watching in self.watching.values():
            await watching.ready()
        connection = await self.asia.postgres.connect()
        for name in DURABLE:
            self.ledger.settings[name] = await connection.fetchval(f"SHOW {name}")
        await connection.close()

    async def _full(self) -> None:
        """Holds the disk full until writes are refused and, without its log, Postgres
        has ended."""
        enough = self.ledger.refused.total() + REFUSED
        postgres = self.asia.postgres

        def over() -> bool:
            for disk in self.full:
                self.world.disks.fill(disk)
            ended = self.ledger.kind != "log" or postgres.ended
            return ended and self.ledger.refused.total() >= enough

        await eventually(over, SECONDS)
        self.ledger.ended = postgres.ended

    async def _room(self) -> None:
        for disk in self.full:
            self.world.disks.free(disk)
        if self.ledger.kind != "data":
            await self._restart()

    async def _restart(self) -> None:
        self.asia.postgres.kill()
        await asyncio.to_thread(self.asia.postgres.start)

    async def _write(self, session: aiohttp.ClientSession) -> None:
        """One write after the other, each sent once."""
        path = f"{self.asia.url}/v1/collections/{self.name}/items:upsert"
        while not self.stopping:
            item = self._item()
            code = "away"
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.post(path, json={"items": [item]}) as answer:
                    code = _code(await answer.json())
            if code:
                self.ledger.refused[code] += 1
                await asyncio.sleep(0.05)
            else:
                self.ledger.acknowledged.add(item["id"])

    async def _write_by_client(self) -> None:
        """The same by the client, which sends what was refused again."""
        async with Client(self.asia.url, deadline=20) as client:
            while not self.stopping:
                item = self._item()
                try:
                    (result,) = await client.put(self.name, [item])
                except ClientError as error:
                    self.ledger.refused[error.code] += 1
                    continue
                if "error" not in result:
                    self.ledger.acknowledged.add(item["id"])

    def _item(self) -> dict:
        name = uuid.uuid4().hex
        self.ledger.sent.add(name)
        return {"id": name, "event_id": name, "vector": [1, 0]} | self.filler

    async def _progress(self, count: int) -> None:
        """Waits until so many further writes are acknowledged."""
        wanted = len(self.ledger.acknowledged) + count
        await eventually(lambda: len(self.ledger.acknowledged) >= wanted, SECONDS)

    async def _listen(self, region: str) -> None:
        async for match in self.watching[region]:
            self.ledger.heard[region].append(match.id)

    async def _settle(self) -> None:
        """Reads what is there after one more end of Postgres; waits for what must be
        told, then a little for what must not."""
        await self._restart()
        self.ledger.kept = set(await stored(self.asia, self.name))
        told = self.ledger.heard.values()
        with contextlib.suppress(AssertionError):
            await eventually(lambda: all(self.ledger.kept <= set(t) for t in told))
        await asyncio.sleep(0.5)
        connection = await self.asia.postgres.connect()
        self.ledger.twice = await connection.fetchval(
            "SELECT count(*) - count(DISTINCT event_id) FROM change "
            "WHERE collection = $1",
            self.name,
        )
        await connection.close()

    async def _end(self) -> None:
        for region, watching in self.watching.items():
            self.ledger.repeats += watching.repeats
            self.ledger.gaps += len(watching.gaps)
            await watching.close()
            await self.clients[region].close()


def _code(answer: dict) -> str:
    """Why a write of one item was refused; empty of one that was acknowledged."""
    error = answer.get("error") or answer["results"][0].get("error")
    return error["code"] if error else ""


def told(number: int, one: Ledger) -> str:
    """A round in a line."""
    return (
        f"round {number}, {one.kind} full: {len(one.acknowledged)} acknowledged, "
        f"{len(one.lost)} lost; refused {dict(one.refused)}; watchers: {one.missing} "
        f"missing, {one.doubled} doubled, {one.gaps} gaps; Postgres "
        f"{'ended itself' if one.ended else 'stayed'}; {one.seconds:.1f} s from room "
        f"to the next write; {one.settings}: {'sound' if one.sound else 'NOT SOUND'}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if why := refusal():
        raise SystemExit(f"skipped: no tmpfs in a user namespace here: {why}")
    template = Template()
    try:
        with tempfile.TemporaryDirectory(prefix="meridian-") as scratch:
            failed = _rounds(rounds, Path(scratch), template)
    finally:
        template.close()
    print(f"{rounds} rounds, {failed} failed")
    raise SystemExit(bool(failed))


def _rounds(rounds: int, folder: Path, template: Template) -> int:
    folder.chmod(0o755)
    init_postgres(folder / "cluster", SEGMENT)
    failed = 0
    for n in range(rounds):
        own = folder / str(n)
        own.mkdir()
        world = SmallDiskWorld(own, template, folder / "cluster", REGIONS, LIMITS)
        try:
            asyncio.run(world.ready())
            one = asyncio.run(Round(world, KINDS[n % len(KINDS)]).run())
        finally:
            world.close()
        print(told(n + 1, one), flush=True)
        failed += not one.sound
    return failed


if __name__ == "__main__":
    main()
