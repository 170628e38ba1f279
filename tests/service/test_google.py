"""Tokens and AUTH strings, from a server that answers as Google's do."""

import dataclasses
import json

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from localcloud.control import objects
from service.feed import open_redis
from service.google import Google, GoogleError
from service.settings import Settings
from tests.service.servers import Redis
from tests.service.test_template import NOWHERE

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def cloud():
    """(settings, what was asked, answers by path)"""
    asked, answers = [], {}

    async def answer(request):
        asked.append((request.path, request.headers.get("Authorization")))
        status, body = answers.get(request.path, (404, {}))
        return web.Response(status=status, text=json.dumps(body))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    settings = Settings.from_environment(
        {
            **NOWHERE,
            "GCE_METADATA_HOST": f"127.0.0.1:{port}",
            "MERIDIAN_GOOGLE_API": f"http://127.0.0.1:{port}/{{api}}",
            "REDIS_INSTANCE": "projects/p/locations/l/instances/i",
        }
    )
    yield settings, asked, answers
    await runner.cleanup()


TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
AUTH = "/redis.googleapis.com/v1/projects/p/locations/l/instances/i/authString"
PUBLISH = "/pubsub.googleapis.com/v1/t:publish"


async def test_the_token_is_asked_once_and_sent_with_every_call(cloud):
    settings, asked, answers = cloud
    answers[TOKEN] = (200, {"access_token": "abc", "expires_in": 3600})
    answers[PUBLISH] = (200, {"messageIds": ["1"]})
    google = Google(settings)
    await google.publish("t", [(b"x", {})])
    await google.publish("t", [(b"x", {})])
    assert await google.token() == "abc"
    await google.close()
    assert asked == [(TOKEN, None), (PUBLISH, "Bearer abc"), (PUBLISH, "Bearer abc")]


async def test_a_refused_token_is_asked_again(cloud):
    settings, asked, answers = cloud
    answers[TOKEN] = (200, {"access_token": "abc", "expires_in": 3600})
    answers[PUBLISH] = (401, {"error": {"code": 401}})
    google = Google(settings)
    for _ in range(2):
        with pytest.raises(GoogleError, match="401"):
            await google.publish("t", [(b"x", {})])
    await google.close()
    assert [path for path, _ in asked] == [TOKEN, PUBLISH, TOKEN, PUBLISH]


async def test_redis_is_entered_with_the_auth_string(cloud, tmp_path):
    settings, _, answers = cloud
    answers[TOKEN] = (200, {"access_token": "abc", "expires_in": 3600})
    answers[AUTH] = (200, {"authString": "pass-of-redis"})
    server = Redis(tmp_path / "redis")
    server.process.command += ["--requirepass", "pass-of-redis"]
    server.start()
    try:
        here = dataclasses.replace(settings, redis_port=server.port)
        google = Google(here)
        client = await open_redis(here, google)
        assert await client.ping()
        await client.aclose()
        await google.close()
    finally:
        server.process.kill()


async def test_without_a_metadata_server_nothing_is_asked():
    settings = Settings.from_environment({**NOWHERE, "REDIS_INSTANCE": "i"})
    google = Google(settings)
    assert await google.token() is None
    assert await google.redis_password() is None
    await google.close()


async def test_objects_are_written_listed_read_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PAGE", 2)
    app = web.Application()
    app.add_routes(objects.Objects(lambda bucket: bucket == "b", tmp_path).routes())
    async with TestServer(app) as server:
        address = f"http://127.0.0.1:{server.port}/{{api}}"
        settings = {**NOWHERE, "MERIDIAN_GOOGLE_API": address}
        google = Google(Settings.from_environment(settings))
        names = [f"a/{n} ü?%2F.part" for n in range(5)]
        for name in (*names, "b/other"):
            await google.write_object("b", name, name.encode())
        assert [n async for n in google.list_objects("b", "a/")] == names
        for name in names:
            assert await google.read_object("b", name, 5) == name.encode()
        for _ in range(2):
            await google.delete_object("b", names[0])
        with pytest.raises(GoogleError) as refused:
            await google.read_object("b", names[0], 5)
        assert refused.value.status == 404
        assert [n async for n in google.list_objects("b", "a/")] == names[1:]
        with pytest.raises(GoogleError):
            await google.write_object("another", "x", b"")
        await google.close()
