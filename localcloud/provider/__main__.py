"""The plugin's process: serves the engine on a loopback port and ends with it."""

from __future__ import annotations

import asyncio
import os
import sys

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from localcloud.provider.cloud import Cloud
from localcloud.provider.scratch import Scratch
from localcloud.provider.servicer import Provider

MESSAGE_LIMIT = 400 * 2**20
"""The engine's own limit on one message, bytes."""
PARENT_POLL_SECONDS = 0.5


async def serve(engine: str | None) -> None:
    """Serve until the process that started this one is gone."""
    parent = os.getppid()
    address = os.environ.get("MERIDIAN_CONTROL_PLANE")
    cloud: Cloud | Scratch | None = Cloud(address) if address else None
    if os.environ.get("MERIDIAN_SCRATCH"):
        cloud = Scratch()
    size = [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ]
    server = grpc.aio.server(options=size)
    servicer = Provider(engine, cloud)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_SECONDS)
    if cloud:
        await cloud.close()
    await server.stop(grace=0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
