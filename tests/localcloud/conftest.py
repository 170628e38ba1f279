"""A control plane over an empty store, with nothing run behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from localcloud.control import pubsub
from localcloud.control.app import LIMIT_BYTES
from localcloud.control.identity import Keys, metadata_routes
from localcloud.control.objects import Objects
from localcloud.control.pubsub import Broker
from localcloud.control.rest import Rest
from localcloud.control.secrets import Secrets
from localcloud.control.store import Store


class Plane:
    """The REST surface of the control plane and what is behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "control.sqlite")
        self.keys = Keys(folder / "keys")
        self.rest = Rest(self.store, {})
        self.broker = Broker(self.store, folder / "pubsub.sqlite")
        self.rest.changed.append(lambda row: self.broker.subscriptions_changed())
        self.objects = Objects.of(self.store, folder / "objects")
        self.rest.changed.append(self.objects.changed)
        self.client: TestClient[web.Request, web.Application]

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LIMIT_BYTES)
        topic = f"/{pubsub.API}/v1/{{topic:projects/[^/]+/topics/[^/:]+}}"
        name = f"/{pubsub.API}/v1/{{subscription:projects/[^/]+/subscriptions/[^/:]+}}"
        app.add_routes(
            [
                web.post(f"{topic}:publish", self.broker.publish),
                web.post(f"{name}:pull", self.broker.pull),
                web.post(f"{name}:acknowledge", self.broker.acknowledge),
                web.post(f"{name}:modifyAckDeadline", self.broker.modify_deadline),
                *metadata_routes(self.keys),
                *self.objects.routes(),
                *Secrets(self.store, self.keys).routes(),
                web.route("*", "/{api:[^/]+}/{path:.*}", self.rest.handle),
            ]
        )
        return app


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(tmp_path)
    async with TestClient(TestServer(made.application())) as client:
        made.client = client
        yield made
