"""A control plane's HTTP border in recorded shapes.

The shapes are those of `localcloud/control/page.py`; regions come from the catalogue,
the dashboard from `dashboards/`, so that a change there is seen here.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from dashboards import dashboards
from topology import facts, load, make_plan

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "console" / "dist"
Json = dict[str, Any]
NO_DATA = "meridian_repairs_total"
"""A query of this metric has no data here."""
ALERTS: Json = {"status": "success", "data": {"alerts": []}}
DECLARED: Json = {
    "types": [
        {"type": "gcp:compute/network:Network", "count": 1, "runs": None},
        {"type": "gcp:redis/instance:Instance", "count": 15, "runs": "Redis"},
    ]
}


def regions() -> list[Json]:
    plan = make_plan(load("local"))
    listed = []
    for index, (name, region) in enumerate(plan.regions.items()):
        place = facts.places()[name]
        hub = region.hub
        listed.append(
            {
                "name": name,
                "city": place.city,
                "latitude": place.latitude,
                "longitude": place.longitude,
                "role": "hub" if hub == name else "regional",
                "hub": hub,
                "ready": True,
                "instances": 1,
                "maximum": 20,
                "serving": True,
                "served_by": name,
                "latency_ms": 2.5 + index,
                "requests_per_second": float(index),
                "url": f"http://127.0.0.1:{8031 + index}",
            }
        )
    return listed


def parts(names: list[str]) -> list[Json]:
    made: list[Json] = [{"name": "envoy", "kind": "envoy", "pid": 7, "healthy": True}]
    for index, name in enumerate(names):
        for kind, key in (
            ("redis", f"redis/meridian-{name}"),
            ("run", f"run/{name}/meridian-stream/1"),
            ("run", f"run/{name}/meridian-worker/1"),
            ("sql", f"sql/meridian-{name}-g1"),
        ):
            pid = 1000 + 10 * index + len(made) % 10
            made.append({"name": key, "kind": kind, "pid": pid, "healthy": True})
    return made


def a_match(**changes: Any) -> Json:
    return {
        "stream": "a penalty is given",
        "collection": "demo-commentary",
        "item": "1",
        "text": "The referee points to the spot.",
        "score": 0.71,
        "written_in": "us-central1",
        "region": "asia-northeast1",
        "milliseconds": 23.4,
        "committed_at": int(time.time() * 1000),
        "event_id": "e1",
    } | changes


def a_span(name: str, region: str, after: float, ms: float) -> Json:
    return {
        "id": f"{name}-{region}",
        "parent": "" if name == "write" else "write",
        "name": name,
        "service": "meridian-worker",
        "region": region,
        "began": 1_800_000_000_000.0 + after,
        "ms": ms,
        "failed": False,
    }


def a_trace(id_: str, written_in: str, heard_in: list[str]) -> Json:
    spans = [a_span("write", written_in, 0, 8), a_span("commit", written_in, 1, 6)]
    for index, name in enumerate(heard_in):
        spans.append(a_span("feed", name, 20.0 + index, 2))
    spans.append(a_span("notify", heard_in[-1], 38, 2))
    return {
        "id": id_,
        "name": "write",
        "region": written_in,
        "began": 1_800_000_000_000.0,
        "ms": 40.0,
        "regions": sorted({span["region"] for span in spans}),
        "spans": spans,
    }


class Control:
    """Serves the bundle and `/console/*`; a test changes what it says."""

    def __init__(self) -> None:
        self.regions = regions()
        self.faults: list[Json] = []
        self.asked: list[str] = []
        self.posted: list[tuple[str, Json]] = []
        self.refusal: Json | None = None
        self.away = False
        self.traces = [
            a_trace("a" * 32, "us-central1", ["europe-west1", "asia-northeast1"]),
            a_trace("b" * 32, "asia-northeast1", ["us-central1"]),
        ]
        self._events: set[asyncio.Queue[bytes]] = set()
        self._watches: dict[web.WebSocketResponse, tuple[str, Json]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    # The test's side

    def start(self) -> None:
        self._thread.start()
        self._run(self._serve())

    def stop(self) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def region(self, name: str) -> Json:
        return next(region for region in self.regions if region["name"] == name)

    def tell(self) -> None:
        """Sends the world as it is now."""
        self._send("world", self._world())

    def match(self, **changes: Any) -> None:
        self._send("match", a_match(**changes))

    def vanish(self) -> None:
        """Ends every event stream and refuses new ones."""
        self.away = True
        self._loop.call_soon_threadsafe(
            lambda: [queue.put_nowait(b"") for queue in self._events]
        )

    # The page's side

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._note])
        app.add_routes(
            [
                web.get("/console/world", self._get(self._world)),
                web.get("/console/events", self._stream),
                web.get("/console/dashboards", self._get(self._dashboards)),
                web.get("/console/alerts", self._get(lambda: ALERTS)),
                web.get("/console/declared", self._get(lambda: DECLARED)),
                web.get("/console/query", self._query),
                web.get("/console/traces", self._get(self._traces)),
                web.get("/console/traces/{id}", self._trace),
                web.post("/console/faults", self._fail),
                web.get("/console/region/{region}/v1/watch", self._watch),
                web.post("/console/region/{region}/{path:.*}", self._write),
                web.get("/", self._index),
                web.static("/assets", DIST / "assets"),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.away and request.path.startswith("/console/"):
            return web.Response(status=503)
        answer: web.StreamResponse = await handler(request)
        return answer

    def _get(self, of: Callable[[], Json]) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(of())

        return answer

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(DIST / "index.html")

    def _world(self) -> Json:
        names = [region["name"] for region in self.regions]
        rest = {"faults": self.faults, "at": time.time()}
        return {"regions": self.regions, "parts": parts(names), **rest}

    def _traces(self) -> Json:
        return {"traces": self.traces}

    async def _trace(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        return web.json_response(next(t for t in self.traces if t["id"] == wanted))

    def _dashboards(self) -> Json:
        plan = make_plan(load("local"))
        return {"dashboards": [json.loads(text) for text in dashboards(plan).values()]}

    def _send(self, kind: str, body: Json) -> None:
        data = f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()
        self._loop.call_soon_threadsafe(
            lambda: [queue.put_nowait(data) for queue in self._events]
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._events.add(queue)
        try:
            self._send("world", self._world())
            while data := await queue.get():
                await response.write(data)
        except ConnectionError:
            pass
        finally:
            self._events.discard(queue)
        return response

    async def _query(self, request: web.Request) -> web.Response:
        query, start = request.query["query"], float(request.query["start"])
        times = [start + 5 * step for step in range(121)]
        by_region = "region" in query
        named = [region["name"] for region in self.regions] if by_region else [""]
        result = [
            {
                "metric": {"region": name} if name else {},
                "values": [[at, str(index + at % 7)] for at in times],
            }
            for index, name in enumerate(named)
            if NO_DATA not in query
        ]
        data = {"resultType": "matrix", "result": result}
        return web.json_response({"status": "success", "data": data})

    async def _fail(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append((request.path, body))
        until = time.time() + body["seconds"]
        fault = {"target": f"region/{body['region']}", "how": "kill", "until": until}
        self.faults.append(fault)
        return web.json_response({"target": fault["target"], "until": until})

    async def _watch(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        region = request.match_info["region"]
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                wanted = json.loads(message.data)
                self._watches[socket] = (region, wanted)
                told = {"type": "watching", "stream": wanted["stream"]}
                await socket.send_json({**told, "region": region})
        self._watches.pop(socket, None)
        return socket

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append((request.path, body))
        if self.refusal and request.path.endswith("items:upsert"):
            return web.json_response({"error": self.refusal}, status=400)
        if not request.path.endswith("items:upsert"):
            return web.json_response(body)
        item, now = body["items"][0], int(time.time() * 1000)
        stored = {"id": item["id"], "event_id": item["event_id"], "committed_at": now}
        for socket, (region, wanted) in list(self._watches.items()):
            if "penalty" in wanted["text"]:
                await socket.send_json(self._heard(wanted, item, region, now))
        answer = {"results": [stored], "stored": 1}
        return web.json_response({**answer, "region": request.match_info["region"]})

    def _heard(self, wanted: Json, item: Json, region: str, now: int) -> Json:
        return {
            "type": "match",
            "stream": wanted["stream"],
            "event_id": item["event_id"],
            "score": 0.7123,
            "written_in": "us-central1",
            "committed_at": now,
            "notified_at": now + 31,
            "region": region,
        }
