"""The Python client of the service.

    async with Client("http://127.0.0.1:8080") as client:
        await client.create("news", dimension=384)
        await client.put("news", [{"id": "1", "text": "A penalty is given"}])
        hits = await client.search("news", text="spot kick", k=3)
        async for match in client.watch(
            [Query(stream="penalties", collection="news", text="penalty",
                   threshold=0.4)]
        ):
            print(match.stream, match.id, match.score, match.written_in, match.region)

Every item gets an event id before it is first sent. A write that was refused with
503 or whose connection broke is sent again with the same ids, to the next address
where several are given, until `deadline` seconds are over. `watch` reconnects by
itself, resumes each stream by its token and gives every event of a stream once.
"""

from service.client.client import Client, ClientError
from service.client.watching import Gap, Match, Query, Watching

__all__ = ["Client", "ClientError", "Gap", "Match", "Query", "Watching"]
