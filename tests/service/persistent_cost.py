"""What persistent streams cost: attaching, and acknowledgements at their home.

    python -m tests.service.persistent_cost

Two hubs and a regional cell on one machine, no delay added between them. Attaching is
timed from the message to `attached`; acknowledgements by the statement that an owner
sends once a second for all streams that it has of a home.
"""

import statistics
import time

from tests.service.asking import filled, watching
from tests.service.drivers import Http, WebSocket
from tests.service.persistent_parts import attach, followed, heard
from tests.service.single import in_a_world

ROUNDS = 100
STREAMS = 500
REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}


async def attaching(world, stream, region):
    """Milliseconds until a stream is owned in a region, each by a new connection."""
    taken = []
    for _ in range(ROUNDS):
        streams = WebSocket(world.regions[region])
        await streams.open()
        started = time.perf_counter()
        await streams.send(attach(stream))
        await heard(streams, "attached")
        taken.append((time.perf_counter() - started) * 1000)
        await streams.close()
    return taken


async def acknowledging(world, name):
    """(milliseconds, bytes of WAL) of one statement for all of the streams."""
    streams = WebSocket(world.regions["europe"])
    for n in range(STREAMS):
        await streams.send(watching(name, stream=f"s{n}", persistent=True))
        await heard(streams, "attached")
    connection = await world.regions["europe"].postgres.connect()
    rows = await connection.fetch("SELECT id, owner, acked_position FROM stream")
    wal, taken = "SELECT pg_current_wal_lsn() - '0/0'", []
    before = await connection.fetchval(wal)
    for turn in range(20):
        columns = [[r[n] for r in rows] for n in range(3)]
        numbers = [10**6 + turn] * len(rows)
        started = time.perf_counter()
        keep = "SELECT * FROM keep_streams($1, $2, $3, $4)"
        await connection.fetch(keep, columns[0], columns[1], numbers, columns[2])
        taken.append((time.perf_counter() - started) * 1000)
    size = await connection.fetchval(wal) - before
    await connection.close()
    await streams.close()
    return taken, float(size) / 20 / len(rows)


async def measure(world):
    """Prints the figures."""
    await world.ready()
    writer = Http(world.regions["europe"])
    name, written = await filled(writer)
    for region in ("asia", "paris"):
        reader = Http(world.regions[region])
        await followed(reader, name, written["token"])
        await reader.close()
    first = WebSocket(world.regions["europe"])
    await first.send(watching(name, persistent=True))
    stream = (await heard(first, "attached"))["id"]
    for region in ("europe", "paris", "asia"):
        taken = sorted(await attaching(world, stream, region))
        median, late = statistics.median(taken), taken[int(0.95 * len(taken))]
        print(f"attach in {region}: median {median:.1f} ms, p95 {late:.1f} ms")
    await first.close()
    taken, size = await acknowledging(world, name)
    median = statistics.median(taken)
    print(f"{STREAMS} acknowledgements: {median:.1f} ms, {size:.0f} bytes of WAL each")
    await writer.close()


def main():
    """The command."""
    in_a_world(REGIONS, measure)


if __name__ == "__main__":
    main()
