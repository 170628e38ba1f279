"""A gRPC stream that is refused: what passes is asked again, the rest is told."""

import grpc
import pytest
import pytest_asyncio

from service.client import Client, ClientError, Query
from service.contract import proto


class Refusing(grpc.GenericRpcHandler):
    """Refuses the first calls of Watch with a code of the contract, then takes one."""

    def __init__(self, code, status, times):
        self.code, self.status, self.left, self.calls = code, status, times, 0

    def service(self, details):
        if not details.method.endswith("/Watch"):
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._watch,
            request_deserializer=proto.message_class("ClientMessage").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    async def _watch(self, requests, context):
        self.calls += 1
        if self.left:
            self.left -= 1
            context.set_trailing_metadata((("meridian-code", self.code),))
            await context.abort(self.status, "refused")
        async for _ in requests:
            answer = proto.message_class("ServerMessage")()
            answer.watching.stream, answer.watching.token = "s", "t"
            answer.watching.threshold = 0.5
            yield answer


@pytest_asyncio.fixture
async def refused():
    """Starts a server; a handler to its address."""
    servers = []

    async def start(handler):
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        await server.stop(None)


def watch(client):
    query = Query(stream="s", collection="c", vector=[1.0], threshold=0.5)
    return client.watch([query], "grpc")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unavailable", grpc.StatusCode.UNAVAILABLE),
        ("overloaded", grpc.StatusCode.UNAVAILABLE),
        ("rate_limited", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_what_passes_is_asked_again(refused, code, status):
    handler = Refusing(code, status, 2)
    async with Client(await refused(handler)) as client:
        watching = watch(client)
        await watching.ready()
        assert handler.calls == 3
        await watching.close()


@pytest.mark.asyncio
async def test_what_stays_ends_the_watching_with_its_code(refused):
    handler = Refusing("unknown_collection", grpc.StatusCode.NOT_FOUND, 9)
    async with Client(await refused(handler)) as client:
        watching = watch(client)
        with pytest.raises(ClientError) as told:
            await watching.ready()
        assert told.value.code == "unknown_collection" and handler.calls == 1
        await watching.close()
