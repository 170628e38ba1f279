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


class Broker:
    """Topics with their subscriptions, and what is wrong with them."""

    def __init__(self, topics: dict[str, dict[str, str | None]]) -> None:
        self.topics = topics
        self.subscriptions = {
            name: Subscription(origin)
            for t in topics.values()
            for name, origin in t.items()
        }
        self.faults = {"drop": 0, "twice": 0, "away": 0}
        self.published: Counter[str] = Counter()

    async def call(self, request: web.Request) -> web.Response:
        """Publish, pull or acknowledge."""
        path, _, verb = request.path.removeprefix("/v1/").rpartition(":")
        body = await request.json()
        if verb == "publish":
            for message in body["messages"]:
                self._publish(path, message)
            return web.json_response({"messageIds": ["1"] * len(body["messages"])})
        if verb == "pull":
            taken = await self.subscriptions[path].pull(body["maxMessages"])
            received = [{"ackId": a, "message": m} for a, m in taken]
            return web.json_response({"receivedMessages": received} if received else {})
        for ack in body["ackIds"]:
            self.subscriptions[path].leased.pop(ack, None)
        return web.json_response({})

    def _publish(self, topic: str, message: dict) -> None:
        attributes = message["attributes"]
        if "lane" in attributes:
            count = int(attributes["last"]) - int(attributes["first"]) + 1
            self.published[attributes["origin"]] += count
        changes = attributes.get("kind") != "heads"
        for name in self.topics[topic]:
            if changes and self.faults["drop"] > 0:
                self.faults["drop"] -= 1
                continue
            self.subscriptions[name].put(message)
            if changes and self.faults["twice"] > 0:
                self.faults["twice"] -= 1
                self.subscriptions[name].put(message)

    async def fault(self, request: web.Request) -> web.Response:
        """Sets how often what the path names goes wrong."""
        self.faults[request.path.strip("/")] = (await request.json())["count"]
        return web.json_response({})

    async def counts(self, _: web.Request) -> web.Response:
        """How many changes of each origin were published."""
        return web.json_response(self.published)


def application(broker: Broker, folder: Path) -> web.Application:
    @web.middleware
    async def away(request: web.Request, handler: Handler) -> web.StreamResponse:
        if broker.faults["away"] and "/storage/" in request.path:
            return web.Response(status=503)
        return await handler(request)

    app = web.Application(client_max_size=2**26, middlewares=[away])
    app.router.add_get("/published", broker.counts)
    for name in broker.faults:
        app.router.add_post(f"/{name}", broker.fault)
    traces = Traces()
    app.router.add_post("/v1/traces", traces.take)
    app.router.add_get("/traces", traces.listed)
    app.router.add_get("/traces/{id}", traces.one)
    app.add_routes(Objects(lambda _: True, folder).routes(""))
    app.router.add_post("/v1/{tail:.*}", broker.call)
    return app


async def main() -> None:
    file = Path(sys.argv[1])
    topics = json.loads(file.read_text())["topics"]
    runner = web.AppRunner(application(Broker(topics), file.parent / "objects"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
