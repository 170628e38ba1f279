"""Notifications to a thousand connections, and the memory of idle ones.

    python -m benchmarks.connections [--world FOLDER] [--connections 1000] [--writes 30]
    python -m benchmarks.connections --alone

One stream on each of the connections of one instance, all matched by every write:
CPU of the instance for each notification, over WebSocket (deflate off) and over gRPC
(fewer connections: each is a channel of its own in one client). Each is a frame of its
own with a token of its own; its size is printed. Then memory, proportional set size
before and after: of connections without a stream, and of streams of d 384 on one.
Beside it a raw ASGI application on the same server that sends as many frames of the
same size to as many connections: what no service on it can go below. With --alone
that pair only, in a region by itself that keeps production's share of traces, as
`benchmarks.writes` has it; a local world traces every write.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import orjson

from benchmarks.clone import Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary
from benchmarks.wire import cpu_of, instance_of, proportional, raw_server
from benchmarks.writes import single_region
from service.client import Client, Query

REGION = "us-central1"
SMALL, LARGE = 16, 384
COLLECTION = "connections-benchmark"
GOAL_RATE, GOAL_CONNECTION, GOAL_STREAM = 50_000, 24, 1
SETTLE_SECONDS = 3.0
PATIENCE = 120.0
Sockets = list[aiohttp.ClientWebSocketResponse]


class Raw:
    """An ASGI application that sends frames to all when one connection asks it to."""

    def __init__(self) -> None:
        self._sends: list[Any] = []

    async def __call__(self, scope: Json, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self._sends.append(send)
        while (message := await receive())["type"] == "websocket.receive":
            count, size = map(int, message["text"].split())
            text = "x" * size
            for _ in range(count):
                for each in self._sends:
                    await each({"type": "websocket.send", "text": text})
        self._sends.remove(send)


def serve_raw(port: int) -> None:
    """Runs it with the service's own settings of the server."""
    import uvicorn

    uvicorn.run(
        Raw(),  # type: ignore[arg-type]
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
    )


async def by_raw(connections: int, writes: int, size: int) -> Json:
    """CPU of a frame of the raw application."""
    with raw_server("from benchmarks.connections import serve_raw as s; s({port})") as (
        pid,
        port,
    ):
        async with opened(port, connections) as sockets:

            async def drain(socket: aiohttp.ClientWebSocketResponse) -> int:
                for _ in range(writes):
                    await socket.receive(PATIENCE)
                return size

            asking = sockets[0].send_str(f"{writes} {size}")
            told = (drain(socket) for socket in sockets)
            return await _spent(pid, connections * writes, asking, *told)


@contextlib.asynccontextmanager
async def opened(port: int, count: int) -> AsyncIterator[Sockets]:
    """So many WebSockets of a server."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"ws://127.0.0.1:{port}/v1/watch"
        sockets = [await session.ws_connect(url) for _ in range(count)]
        try:
            yield sockets
        finally:
            await asyncio.gather(*(socket.close() for socket in sockets))


def watch(name: str, dimension: int, threshold: float) -> Json:
    """A stream along the first axis."""
    vector = [1.0] + [0.0] * (dimension - 1)
    collection = f"{COLLECTION}-{dimension}"
    return {
        "type": "watch",
        "stream": name,
        "collection": collection,
        "vector": vector,
        "threshold": threshold,
    }


async def hear(socket: aiohttp.ClientWebSocketResponse, kind: str, count: int) -> int:
    """Bytes of the last of so many events of a kind."""
    size = 0
    while count:
        message = await socket.receive(PATIENCE)
        if orjson.loads(message.data)["type"] == kind:
            count -= 1
            size = len(message.data)
    return size


async def write(client: Client, count: int) -> None:
    """Single writes, each when the last was acknowledged."""
    rng = np.random.default_rng(7)
    for number in range(count):
        vector = rng.standard_normal(SMALL).tolist()
        item = {"id": f"i{number}", "vector": vector}
        await client.put(f"{COLLECTION}-{SMALL}", [item])


async def by_websocket(
    instance: tuple[int, int], url: str, connections: int, writes: int
) -> Json:
    """CPU of a notification over WebSocket, of an instance's (pid, port)."""
    pid, port = instance
    async with opened(port, connections) as sockets, Client(url) as client:
        for number, socket in enumerate(sockets):
            await socket.send_bytes(orjson.dumps(watch(f"s{number}", SMALL, -1.0)))
        await asyncio.gather(*(hear(s, "watching", 1) for s in sockets))
        return await _spent(
            pid,
            connections * writes,
            write(client, writes),
            *(hear(s, "match", writes) for s in sockets),
        )


async def by_grpc(clone: Clone, url: str, connections: int, writes: int) -> Json:
    """CPU of a notification over gRPC; each client has a channel of its own."""
    async with Client(url, over="grpc") as waking:
        await waking.collections()  # the first call starts the instance
    await asyncio.sleep(SETTLE_SECONDS)
    pid, port = instance_of(clone, REGION, "meridian-grpc")
    address = f"http://127.0.0.1:{port}"
    query = Query(
        stream="s",
        collection=f"{COLLECTION}-{SMALL}",
        vector=[1.0] + [0.0] * (SMALL - 1),
        threshold=-1.0,
    )
    async with contextlib.AsyncExitStack() as stack:
        writer = await stack.enter_async_context(Client(url))
        clients = [
            await stack.enter_async_context(Client(address, over="grpc"))
            for _ in range(connections)
        ]
        watchings = [client.watch([query]) for client in clients]
        told = [asyncio.Event() for _ in watchings]
        tasks = [
            asyncio.create_task(_count(watching, writes, event))
            for watching, event in zip(watchings, told, strict=True)
        ]
        await asyncio.gather(*(watching.ready() for watching in watchings))
        heard = (asyncio.wait_for(event.wait(), PATIENCE) for event in told)
        found = await _spent(pid, connections * writes, write(writer, writes), *heard)
        for task in tasks:
            task.cancel()
        del found["frame_bytes"]  # not seen from here
        return found


async def _count(watching: Any, count: int, done: asyncio.Event) -> None:
    async for _ in watching:
        count -= 1
        if not count:
            done.set()


async def _spent(pid: int, notifications: int, *work: Any) -> Json:
    before = cpu_of(pid)
    found = await asyncio.gather(*work)
    each = (cpu_of(pid) - before) / notifications
    return {
        "notifications": notifications,
        "cpu_us": round(each * 1e6, 2),
        "a_second_and_core": round(1 / each),
        "frame_bytes": found[-1],
    }


def _instance(clone: Clone) -> tuple[int, int] | None:
    """The region's instance, while there is one that serves."""
    try:
        return instance_of(clone, REGION)
    except (ValueError, IndexError):
        return None


async def memory(clone: Clone, connections: int) -> Json:
    """KiB of an idle connection, and of a stream, in a fresh instance.

    One that has held as many before has the room already.
    """
    old, _ = instance_of(clone, REGION)
    fault = {"kind": "service", "region": REGION, "how": "kill", "seconds": 0}
    clone.call("/console/faults", fault)
    while (found := _instance(clone)) is None or found[0] == old:
        await asyncio.sleep(0.2)
    pid, port = found
    async with opened(port, 8):
        await asyncio.sleep(SETTLE_SECONDS)
    before = proportional(pid)
    async with opened(port, connections):
        await asyncio.sleep(SETTLE_SECONDS)
        connected = proportional(pid)
    await asyncio.sleep(SETTLE_SECONDS)
    bare = proportional(pid)
    async with opened(port, 1) as (socket,):
        for number in range(connections):
            await socket.send_bytes(orjson.dumps(watch(f"s{number}", LARGE, 0.99)))
        await hear(socket, "watching", connections)
        await asyncio.sleep(SETTLE_SECONDS)
        watched = proportional(pid)
    return {
        "connections": connections,
        "kib_a_connection": round((connected - before) / connections / 1024, 2),
        "kib_a_stream": round((watched - bare) / connections / 1024, 2),
    }


async def run(clone: Clone, connections: int, writes: int) -> Json:
    url = next(r["url"] for r in clone.world()["regions"] if r["name"] == REGION)
    async with Client(url) as client:
        for dimension in (SMALL, LARGE):
            await client.create(f"{COLLECTION}-{dimension}", dimension=dimension)
    answer = {
        "memory": await memory(clone, connections),
        "websocket": await by_websocket(
            instance_of(clone, REGION), url, connections, writes
        ),
        "grpc": await by_grpc(clone, url, max(1, connections // 10), writes),
    }
    size = answer["websocket"]["frame_bytes"]
    answer["raw"] = await by_raw(connections, writes, size)
    async with Client(url) as client:
        for dimension in (SMALL, LARGE):
            await client.drop(f"{COLLECTION}-{dimension}")
    return answer


async def alone(connections: int, writes: int, rounds: int = 3) -> Json:
    """Ours and the raw application in turns, in a region by itself."""
    with single_region() as region:
        await region.world.ready()
        part = region.second_instance()
        instance = part["pid"], part["port"]
        async with Client(region.url) as client:
            await client.create(f"{COLLECTION}-{SMALL}", dimension=SMALL)
        ours, raw = [], []
        for _ in range(rounds):
            found = await by_websocket(instance, region.url, connections, writes)
            ours.append(found["cpu_us"])
            size = found["frame_bytes"]
            raw.append((await by_raw(connections, writes, size))["cpu_us"])
    return {
        "websocket_us": summary(ours, 2),
        "raw_us": summary(raw, 2),
        "a_second_and_core": round(1e6 / statistics.median(ours)),
        "ratio": summary([o / r for o, r in zip(ours, raw, strict=True)], 2),
        "frame_bytes": size,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--writes", type=int, default=30)
    parser.add_argument("--alone", action="store_true", help="No world: one region.")
    given = parser.parse_args()
    before = noise()
    if given.alone:
        found = asyncio.run(alone(given.connections, given.writes))
        line = (
            f"{found['a_second_and_core']:,} notifications/s a core (goal "
            f"{GOAL_RATE:,}), {found['websocket_us']} us each; raw {found['raw_us']} "
            f"us; ratio {found['ratio']}"
        )
        report("connections", found, [line], before)
        return
    with running_world(given.world, live=True) as clone:
        answer = asyncio.run(run(clone, given.connections, given.writes))
    held = answer["memory"]
    lines = [
        f"{way}: {answer[way]['a_second_and_core']:,} notifications/s a core (goal "
        f"{GOAL_RATE:,}), {answer[way]['cpu_us']} us each"
        for way in ("websocket", "raw", "grpc")
    ]
    lines.append(
        f"a frame {answer['websocket']['frame_bytes']} B; an idle connection "
        f"{held['kib_a_connection']} KiB (goal {GOAL_CONNECTION}), a stream "
        f"{held['kib_a_stream']} KiB (goal {GOAL_STREAM})"
    )
    report("connections", answer, lines, before)


if __name__ == "__main__":
    main()
