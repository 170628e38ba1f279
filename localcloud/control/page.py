"""The page and its data. Nothing here is Google's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from localcloud.control.faults import Faults
from localcloud.control.feed import Feed
from localcloud.control.status import Status
from localcloud.control.store import Json, Store
from localcloud.errors import WorldError
from localcloud.realise.envoy import Envoy
from localcloud.types import registry
from localcloud.world import World

DASHBOARD = "gcp:monitoring/dashboard:Dashboard"


class Page:
    """Routes below `/console/`, and the static bundle at `/`."""

    def __init__(
        self,
        world: World,
        root: Path,
        store: Store,
        status: Status,
        feed: Feed,
        faults: Faults,
        envoy: Envoy,
    ) -> None:
        self._world, self._bundle = world, root / "console" / "dist"
        self._store, self._status, self._feed = store, status, feed
        self._faults, self._envoy = faults, envoy
        self._session: aiohttp.ClientSession | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/console/world", self.world),
            web.get("/console/events", self.events),
            web.get("/console/dashboards", self.dashboards),
            web.get("/console/declared", self.declared),
            web.get("/console/query", self.query),
            web.get("/console/alerts", self.alerts),
            web.post("/console/faults", self.fail),
            web.route("*", "/console/region/{region}/{path:.*}", self.region),
            web.get("/", self.index),
            web.get("/assets/{name}", self.asset),
            web.get("/{name:[\\w.-]+\\.(?:svg|png|ico|json|js|css|txt)}", self.asset),
        ]

    def snapshot(self) -> Json:
        return {**self._status.world(), "faults": self._faults.active()}

    async def world(self, request: web.Request) -> web.Response:
        return web.json_response(self.snapshot())

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._feed.serve(request, self.snapshot)

    async def dashboards(self, request: web.Request) -> web.Response:
        found = [row.body for row in self._store.all(DASHBOARD)]
        return web.json_response({"dashboards": found})

    async def declared(self, request: web.Request) -> web.Response:
        """What is declared: each type with its count and what runs it."""
        counts: dict[str, int] = {}
        for row in self._store.all():
            counts[row.token] = counts.get(row.token, 0) + 1
        types = [
            {"type": token, "count": counts[token], "runs": kind.runs}
            for token, kind in sorted(registry().items())
            if token in counts
        ]
        return web.json_response({"types": types})

    async def query(self, request: web.Request) -> web.Response:
        """A range query of the live Prometheus: query, start, end, step."""
        return await self._forward(
            "GET", f"{self._world.prometheus}/api/v1/query_range", params=request.query
        )

    async def alerts(self, request: web.Request) -> web.Response:
        return await self._forward("GET", f"{self._world.prometheus}/api/v1/alerts")

    async def fail(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            fault = await self._faults.start(
                body.get("kind", ""),
                body.get("region", ""),
                body.get("how", "kill"),
                float(body.get("seconds", 30)),
            )
        except (WorldError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"target": fault.target, "until": fault.until})

    async def region(self, request: web.Request) -> web.StreamResponse:
        """A region's front door as its clients see it, under the page's origin."""
        url = self._envoy.urls().get(request.match_info["region"])
        path = request.match_info["path"]
        if url is None:
            return web.json_response({"error": "no such region"}, status=404)
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._websocket(request, f"{url}/{path}")
        body = await request.read()
        return await self._forward(request.method, f"{url}/{path}", data=body)

    async def _websocket(self, request: web.Request, url: str) -> web.WebSocketResponse:
        front = web.WebSocketResponse(compress=False)
        await front.prepare(request)
        async with self._client().ws_connect(url) as back:

            async def up() -> None:
                async for message in front:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await back.send_str(message.data)
                await back.close()

            task = asyncio.create_task(up())
            async for message in back:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await front.send_str(message.data)
            task.cancel()
        await front.close()
        return front

    async def _forward(self, method: str, url: str, **options: Any) -> web.Response:
        headers = {"content-type": "application/json"} if method != "GET" else {}
        try:
            async with self._client().request(
                method, url, headers=headers, **options
            ) as response:
                return web.Response(
                    body=await response.read(),
                    status=response.status,
                    content_type=response.content_type,
                )
        except (aiohttp.ClientError, OSError) as error:
            return web.json_response({"error": f"{url}: {error}"}, status=502)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def index(self, request: web.Request) -> web.StreamResponse:
        file = self._bundle / "index.html"
        if not file.exists():
            text = "The page is not built: `make up` builds it. Data: /console/world"
            return web.Response(text=text, status=503)
        return web.FileResponse(file, headers={"cache-control": "no-cache"})

    async def asset(self, request: web.Request) -> web.StreamResponse:
        inner = "assets" if request.path.startswith("/assets/") else ""
        file = self._bundle / inner / request.match_info["name"]
        if not file.is_file() or self._bundle not in file.resolve().parents:
            raise web.HTTPNotFound
        return web.FileResponse(file)

    async def close(self) -> None:
        if self._session:
            await self._session.close()
