"""Notifications to a thousand connections, and the memory of idle ones.

    python -m benchmarks.connections [--world FOLDER] [--connections 1000] [--writes 30]
    python -m benchmarks.connections --alone

One stream on each of the connections of one instance, all matched by every write:
CPU of the instance for each notification, over WebSocket (deflate off), a frame each
with a token of its own, and over gRPC (fewer connections: each is a channel of its own
in one client) by writes of 20 items: a message holds the matches that come together,
each with its token. Sizes are printed. Then memory, proportional set size before and
after: of connections without a stream, and of streams of d 384 on one.
Beside it a raw ASGI application on the same server that sends as many frames of the
same size to as many connections: what no service on it can go below. With --alone
no memory, and gRPC also with a message for each match, and with one match at a time, in
a region by itself that keeps production's share of traces, as `benchmarks.writes` has
it; a local world traces every write.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import numpy as np
import orjson

from benchmarks.clone import Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary
from benchmarks.wire import cpu_of, instance_of, proportional, raw_server, serve
from benchmarks.writes import single_region
from service.client import Client
from service.contract import proto, proto_json

REGION = "us-central1"
SMALL, LARGE = 16, 384
COLLECTION = "connections-benchmark"
GOAL_RATE, GOAL_CONNECTION, GOAL_STREAM = 50_000, 24, 1
AT_ONCE = 20
"""Items in a write over gRPC, so matches in a message."""
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
    serve(Raw(), port)


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


async def write(client: Client, count: int, at_once: int = 1) -> None:
    """Writes of so many items, each when the last was acknowledged."""
    rng = np.random.default_rng(7)
    for number in range(count):
        vectors = rng.standard_normal((at_once, SMALL)).tolist()
        items = [
            {"id": f"i{number}-{each}", "vector": vector}
            for each, vector in enumerate(vectors)
        ]
        await client.put(f"{COLLECTION}-{SMALL}", items)


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


async def grpc_instance(clone: Clone, url: str) -> tuple[int, int]:
    """(pid, port) of the region's instance that speaks gRPC."""
    async with Client(url, over="grpc") as waking:
        await waking.collections()  # the first call starts it
    await asyncio.sleep(SETTLE_SECONDS)
    return instance_of(clone, REGION, "meridian-grpc")


async def by_grpc(
    instance: tuple[int, int],
    url: str,
    connections: int,
    writes: int,
    *,
    at_once: int = 1,
    together: bool = True,
) -> Json:
    """CPU of a notification over gRPC, of an instance's (pid, port): a channel for
    each connection, `at_once` items in each write, messages that hold several where
    `together`."""
    pid, port = instance
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(url))
        calls = [
            await _watched(stack, port, together=together) for _ in range(connections)
        ]
        heard = (_matches(call, writes * at_once) for call in calls)
        made = write(client, writes, at_once)
        return await _spent(pid, connections * writes * at_once, made, *heard)


async def _watched(
    stack: contextlib.AsyncExitStack, port: int, *, together: bool
) -> Any:
    """A call that watches, on a channel of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    await stack.enter_async_context(channel)
    method = channel.stream_stream(
        f"/{proto.SERVICE}/Watch",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=proto.message_class("ServerMessage").FromString,
    )
    call = method(metadata=[proto.SEVERAL_HEADER] if together else [])
    await call.write(proto_json.client_message(watch("s", SMALL, -1.0)))
    assert (await call.read()).WhichOneof("message") == "watching"
    return call


async def _matches(call: Any, count: int) -> int:
    """Bytes of the last message once so many matches were read."""
    async with asyncio.timeout(PATIENCE):
        while count > 0:
            message = await call.read()
            several = message.WhichOneof("message") == proto.SEVERAL
            held = message.several.messages if several else [message]
            count -= sum(one.WhichOneof("message") == "match" for one in held)
    return int(message.ByteSize())


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
        "grpc": await by_grpc(
            await grpc_instance(clone, url),
            url,
            max(1, connections // 10),
            max(1, writes // AT_ONCE),
            at_once=AT_ONCE,
        ),
    }
    size = answer["websocket"]["frame_bytes"]
    answer["raw"] = await by_raw(connections, writes, size)
    async with Client(url) as client:
        for dimension in (SMALL, LARGE):
            await client.drop(f"{COLLECTION}-{dimension}")
    return answer


async def alone(connections: int, writes: int, rounds: int = 3) -> Json:
    """Ours, the raw application and gRPC in turns, in a region by itself."""
    with single_region() as region:
        await region.world.ready()
        part = region.second_instance()
        instance = part["pid"], part["port"]
        async with Client(region.url) as client:
            await client.create(f"{COLLECTION}-{SMALL}", dimension=SMALL)
        rpc = region.grpc["pid"], region.grpc["port"]
        calls, fewer = max(1, connections // 10), max(1, writes // AT_ONCE)
        ways: dict[str, Json] = {
            "grpc": {"writes": fewer, "at_once": AT_ONCE},
            "grpc_apart": {"writes": fewer, "at_once": AT_ONCE, "together": False},
            "grpc_one": {"writes": writes},
        }
        found_by: dict[str, list[Json]] = {way: [] for way in ways}
        ours, raw = [], []
        for _ in range(rounds):
            for way, options in ways.items():
                made = await by_grpc(rpc, region.url, calls, **options)
                found_by[way].append(made)
            found = await by_websocket(instance, region.url, connections, writes)
            ours.append(found["cpu_us"])
            size = found["frame_bytes"]
            raw.append((await by_raw(connections, writes, size))["cpu_us"])
    return {
        **{
            f"{way}_us": summary([one["cpu_us"] for one in found], 2)
            for way, found in found_by.items()
        },
        "grpc_frame_bytes": found_by["grpc"][-1]["frame_bytes"],
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
        over = (
            f"gRPC, {AT_ONCE} matches at once: {found['grpc_us']} us each, in messages "
            f"of {found['grpc_frame_bytes']} B; in one message each "
            f"{found['grpc_apart_us']}; a match at a time {found['grpc_one_us']}"
        )
        report("connections", found, [line, over], before)
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
