"""A provider that only echoes: the local provider without its REST and its world.

`launcher()` puts it on PATH under the genuine name. A created resource is its inputs
and the outputs that the program reads, computed by the entries of `localcloud/types/`
from a made-up body: the engine does the same work as for the real world.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from localcloud.provider import servicer
from localcloud.provider.__main__ import MESSAGE_LIMIT, PARENT_POLL_SECONDS
from localcloud.types import lookup
from localcloud.types.base import IamMemberType, Json, short_hash

ROOT = Path(__file__).resolve().parents[1]
MADE_UP: Json = {
    "address": "192.0.2.1",
    "host": "10.64.0.4",
    "port": 6378,
    "ipAddresses": [{"ipAddress": "10.64.1.2"}],
    "serverCaCerts": [],
}
"""What Google would add to a body and the program reads."""


class Echo(servicer.Provider):
    """Answers at once and keeps nothing."""

    def __init__(self, engine: str | None) -> None:
        super().__init__(engine, None)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.preview:
            return await super().Create(request, context)
        kind = lookup(servicer._type_of(request.urn))
        inputs = servicer._load(request.properties)
        if isinstance(kind, IamMemberType):
            key = f"{kind.policy(inputs, self._project)}/{inputs['role']}"
            state: Json = {**inputs, "etag": ""}
            key = f"{key}/{inputs['member']}"
        else:
            path = kind.resource_path(inputs, self._project)
            if path.endswith("/"):
                path += short_hash(request.urn)
            key = path.removeprefix(kind.version)
            state = servicer._state(kind, inputs, MADE_UP, path)
        properties = servicer._dump(state)
        return provider_pb2.CreateResponse(id=key, properties=properties)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        state = {**servicer._load(request.olds), **servicer._load(request.news)}
        return provider_pb2.UpdateResponse(properties=servicer._dump(state))

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()


def launcher(folder: Path) -> Path:
    """A folder for the front of PATH, with this module as `pulumi-resource-gcp`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pulumi-resource-gcp"
    file.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} "
        f'exec {shlex.quote(sys.executable)} -m benchmarks.echo "$@"\n'
    )
    file.chmod(0o755)
    return folder


async def serve(engine: str | None) -> None:
    """Serve the engine until it is gone; the same server as the local provider's."""
    parent = os.getppid()
    size = [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ]
    server = grpc.aio.server(options=size)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Echo(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_SECONDS)
    await server.stop(grace=0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
