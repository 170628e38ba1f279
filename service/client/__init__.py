"""The Python client of the service.

    async with Client("http://127.0.0.1:8080", key="mk_...") as client:
        await client.create("news", dimension=384)
        await client.put("news", [{"id": "1", "text": "A penalty is given"}])
        hits = await client.search("news", text="spot kick", k=3)
        query = Query(stream="penalties", collection="news", text="penalty",
                      threshold=0.4)
        async for match in client.watch([query]):
            print(match.stream, match.id, match.score, match.written_in, match.region)

Calls go over HTTP, WebSocket or gRPC (`over=`), streams over WebSocket, server-sent
events or gRPC. Every item gets an event id before it is first sent: what failed is
sent again with the same ids, to the next address where several are given, until
`deadline` seconds are over. `watch` reconnects by itself, resumes each stream by its
token and gives every event of a stream once. `SyncClient` is the same without a loop.

A persistent stream outlives its client: `watch(queries, persistent=True)` keeps it,
`attach(id)` goes on after what was acknowledged, in any process and region.
"""

from service.client.bulk import Progress, load
from service.client.client import Client
from service.client.errors import ClientError, DeadlineError
from service.client.queries import Attachment, Gap, Match, Query
from service.client.sync import SyncClient
from service.client.watching import Watching

__all__ = [
    "Attachment",
    "Client",
    "ClientError",
    "DeadlineError",
    "Gap",
    "Match",
    "Progress",
    "Query",
    "SyncClient",
    "Watching",
    "load",
]
