"""The control plane: one process, one event loop; puts all parts together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from localcloud.control import pubsub
from localcloud.control.faults import Faults
from localcloud.control.feed import Feed
from localcloud.control.identity import Keys, metadata_routes
from localcloud.control.objects import Objects
from localcloud.control.page import Page
from localcloud.control.pubsub import Broker
from localcloud.control.pushed import PushedMetrics
from localcloud.control.rest import Rest
from localcloud.control.secrets import Secrets
from localcloud.control.status import Status
from localcloud.control.store import Row, Store
from localcloud.control.traces import Traces
from localcloud.realise.envoy import TYPES as FRONT_TYPES
from localcloud.realise.envoy import Envoy
from localcloud.realise.prometheus import ALERT, Prometheus
from localcloud.realise.redis import Redis
from localcloud.realise.run import SERVICE, WORKER_POOL, Run
from localcloud.realise.sql import DATABASE_TOKEN, USER_TOKEN, Sql
from localcloud.supervisor import Supervisor
from localcloud.world import CONTROL_PORT, World

log = logging.getLogger("control")
LIMIT_BYTES = 40 * 2**20
"""Largest request body."""
RESTART = 75
"""Exit status that asks the keeper for a new start."""
STOP_ORDER = ("envoy", "run/", "template/", "prometheus", "redis/", "sql/")


class ControlPlane:
    """Everything of one world."""

    def __init__(self, world: World, root: Path) -> None:
        self.world = world
        self.store = Store(world.folder("state") / "control.sqlite")
        self.keys = Keys(world.home / "keys")
        self.supervisor = Supervisor(self.store)
        self.run = Run(world, root, self.supervisor)
        self.sql = Sql(world, self.store, self.supervisor, self.keys)
        self.redis = Redis(world, self.store, self.supervisor, self.keys)
        self.envoy = Envoy(world, self.store, self.supervisor, self.run)
        self.prometheus = Prometheus(world, self.store, self.supervisor, self.run)
        self.broker = Broker(self.store, world.folder("state") / "pubsub.sqlite")
        self.rest = Rest(self.store, self._realisers())
        self.rest.changed.append(self._changed)
        self.status = Status(self.store, self.supervisor, self.run, self.envoy)
        self.feed = Feed(self.store, self.run)
        self.faults = Faults(
            self.store, self.supervisor, self.run, self.sql, self.redis
        )
        self.rest.delay = self.faults.delay
        self.page = Page(
            world, root, self.store, self.status, self.feed, self.faults, self.envoy
        )
        self.secrets = Secrets(self.store, self.keys)
        self.traces = Traces()
        self.pushed = PushedMetrics(world.prometheus)
        self.objects = Objects.of(self.store, world.folder("objects"))
        self.rest.changed.append(self.objects.changed)
        self.stopping = asyncio.Event()
        self.leaving = asyncio.Event()
        self.status_code = 0
        self._tasks: list[asyncio.Task[None]] = []

    def _realisers(self) -> dict[str, Any]:
        return {
            SERVICE: self.run,
            WORKER_POOL: self.run,
            "gcp:sql/databaseInstance:DatabaseInstance": self.sql,
            DATABASE_TOKEN: self.sql,
            USER_TOKEN: self.sql,
            "gcp:redis/instance:Instance": self.redis,
            ALERT: self.prometheus,
            **dict.fromkeys(FRONT_TYPES, self.envoy),
        }

    def _changed(self, row: Row) -> None:
        if row.token in (pubsub.SUBSCRIPTION, pubsub.TOPIC):
            self.broker.subscriptions_changed()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LIMIT_BYTES)
        topic = f"/{pubsub.API}/v1/{{topic:projects/[^/]+/topics/[^/:]+}}"
        subscription = (
            f"/{pubsub.API}/v1/{{subscription:projects/[^/]+/subscriptions/[^/:]+}}"
        )
        app.add_routes(
            [
                web.post(f"{topic}:publish", self.broker.publish),
                web.post(f"{subscription}:pull", self.broker.pull),
                web.post(f"{subscription}:acknowledge", self.broker.acknowledge),
                web.post(
                    f"{subscription}:modifyAckDeadline", self.broker.modify_deadline
                ),
                *metadata_routes(self.keys),
                *self.secrets.routes(),
                *self.objects.routes(),
                *self.traces.routes(),
                *self.pushed.routes(),
                web.get(
                    "/redis.googleapis.com/v1/{instance:projects/.+/instances/[^/]+}"
                    "/authString",
                    self._auth_string,
                ),
                web.post("/admin/shutdown", self._shutdown),
                web.post("/admin/restart", self._restart),
                web.post("/console/sweep", self._sweep),
                *self.page.routes(),
                web.route(
                    "*", "/{api:[^/]+\\.googleapis\\.com}/{path:.*}", self.rest.handle
                ),
            ]
        )
        return app

    async def _auth_string(self, request: web.Request) -> web.Response:
        value = self.redis.auth(request.match_info["instance"])
        return web.json_response({"authString": value})

    async def _sweep(self, request: web.Request) -> web.Response:
        keep = set((await request.json())["keep"])
        return web.json_response({"removed": await self.rest.sweep(keep)})

    async def _restart(self, request: web.Request) -> web.Response:
        """End with the status after which the keeper starts newer code."""
        self.status_code = RESTART
        self.leaving.set()
        return web.json_response({})

    async def _shutdown(self, request: web.Request) -> web.Response:
        self.stopping.set()
        return web.json_response({})

    async def serve(self) -> int:
        """Run until a signal (parts go on) or `/admin/shutdown` (they end)."""
        stop = self.leaving
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, stop.set)
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        pid_file = self.world.home / "control.pid"
        pid_file.write_text(str(os.getpid()))
        site = web.TCPSite(runner, self.world.address, CONTROL_PORT, reuse_address=True)
        await site.start()
        self._begin(
            self.prometheus_and_restore(),
            self.run.probe_forever(),
            self.status.sample_forever(),
            self.status.autoscale_forever(),
            self.broker.flush_forever(),
            self.feed.follow_forever(),
            self.faults.end_forever(),
        )
        waits = [asyncio.create_task(e.wait()) for e in (stop, self.stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in (*waits, *self._tasks):
            task.cancel()
        if self.stopping.is_set():
            await self.stop_everything()
        if not self.status_code:
            pid_file.unlink(missing_ok=True)
        self.broker.flush()
        for part in (self.run, self.envoy, self.page, self.pushed):
            await part.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 3)
        return self.status_code

    def _begin(self, *work: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(self._guard(w)) for w in work]

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("a task of the control plane ended")
            self.stopping.clear()
            raise

    async def prometheus_and_restore(self) -> None:
        """Adopt or start what is declared, in the order of creation."""
        self.faults.hold()
        self.broker.subscriptions_changed()
        if not any(self.store.all()):
            # The engine takes seconds to plan: what every world needs starts now.
            await asyncio.gather(self.run.warm(), self.sql.template.made())
        self.prometheus.start()
        await self.rest.restore()

    async def stop_everything(self) -> None:
        """End every process of the world, those in front first."""
        for prefix in STOP_ORDER:
            keys = self.supervisor.recorded(prefix)
            found = [r for r in map(self.supervisor.adopt, keys) if r]
            sign = signal.SIGINT if prefix == "sql/" else signal.SIGTERM
            for running in found:
                running.stopping = True
                self.supervisor.signal(running, signal.SIGCONT)
            await asyncio.gather(
                *(self.supervisor.stop(running, sign=sign) for running in found)
            )
