"""What the picture of the world says of a region that is passed over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from localcloud.control.status import Status
from localcloud.control.store import Row, Store
from localcloud.realise.envoy import Envoy
from localcloud.realise.run import SERVICE, WORKER_POOL, Run
from localcloud.supervisor import Supervisor
from localcloud.world import open_world

API, PLACE = "run.googleapis.com", "v2/projects/p/locations/us-central1"
GRPC = {"template": {"containers": [{"ports": [{"name": "h2c"}]}]}}
HTTP = {"template": {"containers": [{"ports": [{"name": "http1"}]}]}}


def answering(status: int, body: dict[str, Any]) -> TestServer:
    async def ready(request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/health/ready", ready)
    return TestServer(app)


async def test_a_region_that_is_not_ready_is_asked_for_its_reasons(
    tmp_path: Path,
) -> None:
    """Whatever was declared first, and whatever else has a health page."""
    world = open_world(tmp_path)
    store = Store(world.folder("state") / "control.sqlite")
    supervisor = Supervisor(store)
    run = Run(world, tmp_path, supervisor)
    status = Status(store, supervisor, run, Envoy(world, store, supervisor, run))
    declared = {
        "workerPools/meridian-worker": (WORKER_POOL, {}, answering(200, {})),
        "services/meridian-grpc": (SERVICE, GRPC, answering(200, {})),
        "services/meridian-stream": (
            SERVICE,
            HTTP,
            answering(503, {"reasons": ["redis is away"]}),
        ),
    }
    for name, (token, body, server) in declared.items():
        await server.start_server()
        path = f"{PLACE}/{name}"
        store.put(Row(API, path, token, body))
        instances = {"one": SimpleNamespace(port=server.port)}
        run.pools[path] = SimpleNamespace(instances=instances)  # type: ignore[assignment]
    async with aiohttp.ClientSession() as session:
        answer = await status.asked_itself(session, "us-central1")
        nowhere = await status.asked_itself(session, "us-east1")
    assert (answer, nowhere) == ({"reasons": ["redis is away"]}, {})
    for _, _, server in declared.values():
        await server.close()
