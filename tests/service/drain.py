"""SIGTERM under load: `python -m tests.service.drain --rounds 100`.

Two instances of a region serve searches, writes and a stream of clients that honour
the drain. Each round a third one comes up and the oldest is told to end. Counted: calls
that failed at their caller, matches missing or told twice, and how long the end took.
"""

import argparse
import asyncio
import statistics
import sys
import time
import uuid

from service.client import Client, Query
from tests.service.single import in_a_world
from tests.service.world import wait_gone, wait_listening, wait_ready

WORKERS = 8
MOST_SECONDS = 10.0
"""What Cloud Run gives between SIGTERM and SIGKILL (gcp.md 1.1)."""


class _Instance:
    """What `wait_ready` needs to know of one."""

    def __init__(self, region, part):
        self.name, self.folder = region.name, region.folder
        self.part = part
        self.url = f"http://127.0.0.1:{part['port']}"


class Drain:
    """Rounds on one region, and what was counted."""

    def __init__(self, region):
        self.region = region
        self.calls = 0
        self.failed = []
        self.seconds = []
        self.written = []
        self.heard = []
        self.reconnects = 0
        self._instances = []
        self._over = False

    async def run(self, rounds):
        self._instances = [await self._start() for _ in range(2)]
        name = f"c{uuid.uuid4().hex[:12]}"
        async with Client(self._urls()) as client:
            await client.create(name, dimension=2)
            query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
            watching = client.watch([query])
            await asyncio.wait_for(watching.ready(), 30)
            listening = asyncio.create_task(self._listen(watching))
            workers = [
                asyncio.create_task(self._work(client, name, n)) for n in range(WORKERS)
            ]
            for _ in range(rounds):
                await self._round(client)
            self._over = True
            await asyncio.gather(*workers)
            for _ in range(200):
                if len(self.heard) >= len(self.written):
                    break
                await asyncio.sleep(0.05)
            self.reconnects = watching.reconnects
            await watching.close()
            listening.cancel()
        for instance in self._instances:
            self.region.end(instance.part)

    def _urls(self):
        return [i.url for i in self._instances]

    async def _start(self):
        import aiohttp

        made = _Instance(self.region, self.region.second_instance())
        await wait_listening(made.part["port"])
        async with aiohttp.ClientSession() as session:
            await wait_ready(session, made)
        return made

    async def _round(self, client):
        new = await self._start()
        old = self._instances.pop(0)
        self._instances.append(new)
        client._urls = self._urls()
        await asyncio.sleep(0.1)
        # The one that ends is still in use: it is what a drain is about.
        client._urls.append(old.url)
        client.next_url()
        client.next_url()
        await asyncio.sleep(0.1)
        started = time.monotonic()
        self.region.end(old.part)
        await asyncio.to_thread(wait_gone, old.part["pid"], 60)
        self.seconds.append(time.monotonic() - started)
        client._urls = self._urls()

    async def _work(self, client, name, number):
        count = 0
        while not self._over:
            count += 1
            self.calls += 1
            try:
                if number == 0:
                    item = f"{number}-{count}"
                    await client.put(name, [{"id": item, "vector": [1, 0]}])
                    self.written.append(item)
                else:
                    await client.search(name, vector=[1, 0])
            except Exception as error:  # noqa: BLE001 (whatever it is, it is a failure)
                self.failed.append(repr(error))
            await asyncio.sleep(0.005)

    async def _listen(self, watching):
        async for match in watching:
            self.heard.append(match.id)


def main():
    """The command."""

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    regions = {"asia": "asia"}
    sys.exit(in_a_world(regions, lambda world: _drain(world, options.rounds)))


async def _drain(world, rounds):
    await world.ready()
    drain = Drain(world.regions["asia"])
    await drain.run(rounds)
    missing = len(set(drain.written) - set(drain.heard))
    doubled = len(drain.heard) - len(set(drain.heard))
    print(
        f"{rounds} ends under load, {drain.calls:,} calls, {len(drain.failed)} failed; "
        f"{len(drain.written):,} matches, {missing} missing, {doubled} doubled, "
        f"{drain.reconnects} reconnects; seconds to the end: median "
        f"{statistics.median(drain.seconds):.2f}, most {max(drain.seconds):.2f}"
    )
    for failure in drain.failed[:5]:
        print(failure)
    late = max(drain.seconds) >= MOST_SECONDS
    return 1 if drain.failed or missing or doubled or late else 0


if __name__ == "__main__":
    main()
