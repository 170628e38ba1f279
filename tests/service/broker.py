"""A small Pub/Sub broker over HTTP, for tests: topics, filters, leases, long pulls.

Traces go to the local cloud's own receiver, objects to its own store: every bucket
stands. `POST /away` {"count": 1} takes the store away, 0 brings it back.

`python -m tests.service.broker FILE` reads {"topics": {T: {S: origin-or-null}}} and
prints the port. Messages live in memory; `POST /drop` {"count": n} loses the next n
deliveries, `POST /twice` {"count": n} doubles them: what Pub/Sub may do. `GET
/published` counts changes by their origin, each as often as it was published.
"""

import asyncio
import contextlib
import itertools
import json
import sys
from collections import Counter, deque
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from localcloud.control.objects import Objects
from localcloud.control.traces import Traces

WAIT = 20.0
LEASE = 10.0


class Subscription:
    def __init__(self, origin: str | None) -> None:
        self.origin = origin
        self.queue: deque[dict] = deque()
        self.leased: dict[str, tuple[float, dict]] = {}
        self.event = asyncio.Event()

    def put(self, message: dict) -> None:
        if self.origin in (None, message["attributes"].get("origin")):
            self.queue.append(message)
            self.event.set()

    async def pull(self, most: int) -> list[tuple[str, dict]]:
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT
        while True:
            for ack, (due, message) in list(self.leased.items()):
                if due < loop.time():
                    del self.leased[ack]
                    self.queue.append(message)
            if self.queue or loop.time() >= until:
                break
            self.event.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), 1.0)
        taken = []
        while self.queue and len(taken) < most:
            message = self.queue.popleft()
            ack = f"ack-{next(NUMBERS)}"
            self.leased[ack] = (loop.time() + LEASE, message)
            taken.append((ack, message))
        return taken


NUMBERS = itertools.count()


def application(
    topics: dict[str, dict[str, str | None]], folder: Path
) -> web.Application:
    subscriptions = {
        name: Subscription(origin)
        for t in topics.values()
        for name, origin in t.items()
    }
    faults = {"drop": 0, "twice": 0, "away": 0}
    published: Counter[str] = Counter()

    async def call(request: web.Request) -> web.Response:
        path, _, verb = request.path.removeprefix("/v1/").rpartition(":")
        body = await request.json()
        if verb == "publish":
            for message in body["messages"]:
                attributes = message["attributes"]
                if "lane" in attributes:
                    count = int(attributes["last"]) - int(attributes["first"]) + 1
                    published[attributes["origin"]] += count
                for name in topics[path]:
                    changes = message["attributes"].get("kind") != "heads"
                    if changes and faults["drop"] > 0:
                        faults["drop"] -= 1
                        continue
                    subscriptions[name].put(message)
                    if changes and faults["twice"] > 0:
                        faults["twice"] -= 1
                        subscriptions[name].put(message)
            return web.json_response({"messageIds": ["1"] * len(body["messages"])})
        if verb == "pull":
            taken = await subscriptions[path].pull(body["maxMessages"])
            received = [{"ackId": a, "message": m} for a, m in taken]
            return web.json_response({"receivedMessages": received} if received else {})
        for ack in body["ackIds"]:
            subscriptions[path].leased.pop(ack, None)
        return web.json_response({})

    async def fault(request: web.Request) -> web.Response:
        faults[request.path.strip("/")] = (await request.json())["count"]
        return web.json_response({})

    @web.middleware
    async def away(request: web.Request, handler: Handler) -> web.StreamResponse:
        if faults["away"] and "/storage/" in request.path:
            return web.Response(status=503)
        return await handler(request)

    app = web.Application(client_max_size=2**26, middlewares=[away])

    async def counts(_: web.Request) -> web.Response:
        return web.json_response(published)

    app.router.add_get("/published", counts)
    app.router.add_post("/away", fault)
    app.router.add_post("/drop", fault)
    app.router.add_post("/twice", fault)
    traces = Traces()
    app.router.add_post("/v1/traces", traces.take)
    app.router.add_get("/traces", traces.listed)
    app.router.add_get("/traces/{id}", traces.one)
    app.add_routes(Objects(lambda _: True, folder).routes(""))
    app.router.add_post("/v1/{tail:.*}", call)
    return app


async def main() -> None:
    file = Path(sys.argv[1])
    topics = json.loads(file.read_text())["topics"]
    runner = web.AppRunner(application(topics, file.parent / "objects"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
