"""The servers that `benchmarks.peers` asks: ours and pgvector; others in `peer_http`.

Each is started alone on loopback in a folder of its own, filled with the same rows,
and asked for the ten nearest by cosine: the answer has the ids (text) and scores or
distances. What a client prepares once (bytes of a request, a statement) is prepared.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import orjson

from benchmarks.wire import Wire, post
from benchmarks.writes import TRACE_SHARE
from service.client import Client
from service.kernel.interface import Floats
from tests.service.servers import Postgres, init_postgres
from tests.service.world import Template, World

DIMENSION, HITS, BATCH = 384, 10, 1_000
COLLECTION, REGION = "peers-benchmark", "asia"
FILL_SECONDS = 400
"""Of ours and of Chroma, on machines that are busy."""
START_SECONDS = 60
KNOB_SECONDS = 1.5
"""Until an instance has read its knobs: it does once a second."""
EFS = (10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 1000)
"""Candidates that a search keeps, up to the most that pgvector allows."""
INDEX = "CREATE INDEX ON items USING hnsw (vector vector_cosine_ops)"
SEARCH = f"SELECT id, vector <=> $1 FROM items ORDER BY vector <=> $1 LIMIT {HITS}"
MEMORY = (
    "shared_buffers = 1GB\nmaintenance_work_mem = 1GB\nautovacuum = off\n"
    "max_parallel_maintenance_workers = 1\n"
)
"""The tests' 16 MB would have pgvector copy pages of its index at every search."""


class Side(Protocol):
    """A server with rows in it, over one kept connection."""

    name: str
    version: str
    settings: ClassVar[tuple[float, ...]]
    """What `use` takes, the least that it finds first; ends with what is usual or
    with the most that is allowed."""
    pid: int
    """Of the process whose descendants, and itself, are the server."""

    def fill(self, rows: Floats) -> None:
        """Stores rows of shape (count, 384) and builds the index."""

    def use(self, setting: float) -> None:
        """Searches look at so much from now on: they find more for more."""

    def connect(self) -> None:
        """A fresh connection: servers close those that were idle for a while."""

    def request(self, query: Floats) -> Any:
        """What `ask` sends for a vector of shape (384,)."""

    def ask(self, request: Any) -> Any:
        """The answer as it arrives."""

    def rows_of(self, answer: Any) -> list[int]:
        """Numbers of the rows that were found."""

    def close(self) -> None:
        """Ends every process."""


def packed(row: Floats) -> str:
    """Base64 of the f32 of a vector."""
    return base64.b64encode(row.tobytes()).decode()


class Ours:
    """An instance of a region alone, as `benchmarks.writes` has it."""

    name = "meridian"
    settings = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Shares of the usual width: what the knob `search_width` takes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        init_postgres(folder / "cluster")
        self._template = Template()
        cluster = folder / "cluster"
        self._world = World(folder, self._template, cluster, {REGION: REGION}, {})
        try:
            asyncio.run(self._world.ready())
            self._region = self._world.regions[REGION]
            part = self._region.second_instance(MERIDIAN_TRACE_SHARE=TRACE_SHARE)
        except BaseException:
            self.close()
            raise
        self.pid, self._port = part["pid"], part["port"]
        self.version = "this checkout"
        self._wire: Wire | None = None

    def beside(self) -> list[int]:
        """The region's other processes, at whose heads families stand."""
        region = self._region
        parts = [region.instance, region.worker, region.grpc]
        children = [region.postgres.process.child, region.redis.process.child]
        return [p["pid"] for p in parts] + [c.pid for c in children if c]

    def fill(self, rows: Floats) -> None:
        asyncio.run(self._fill(rows))

    async def _fill(self, rows: Floats) -> None:
        url = f"http://127.0.0.1:{self._port}"
        async with Client(url, deadline=60) as client:
            await client.create(COLLECTION, dimension=DIMENSION)
            for start in range(0, len(rows), BATCH):
                batch = enumerate(rows[start : start + BATCH], start)
                items = [{"id": f"i{n}", "vector": packed(row)} for n, row in batch]
                await client.put(COLLECTION, items)
            deadline = time.monotonic() + FILL_SECONDS
            while (await client.describe(COLLECTION))["count"] < len(rows):
                if time.monotonic() > deadline:
                    raise RuntimeError("the items do not arrive")
                await asyncio.sleep(0.2)

    def use(self, setting: float) -> None:
        asyncio.run(self._turn(setting))
        time.sleep(KNOB_SECONDS)

    async def _turn(self, share: float) -> None:
        async with Client(f"http://127.0.0.1:{self._port}") as client:
            await client.call(
                "turn_knob", name="search_width", value=share, seconds=3_600
            )

    def connect(self) -> None:
        if self._wire:
            self._wire.close()
        self._wire = Wire(self._port)

    def request(self, query: Floats) -> bytes:
        body = orjson.dumps({"vector": packed(query), "k": HITS})
        return post(f"/v1/collections/{COLLECTION}:search", body)

    def ask(self, request: bytes) -> bytes:
        assert self._wire
        return self._wire.ask(request)

    def rows_of(self, answer: bytes) -> list[int]:
        return [int(hit["id"][1:]) for hit in orjson.loads(answer)["hits"]]

    def close(self) -> None:
        self._world.close()
        self._template.close()


class Pgvector:
    """HNSW of pgvector (m 16, ef_construction 64: its defaults), behind asyncpg.

    The vector travels in binary, the plan is made once for all.
    """

    name = "pgvector"
    settings = EFS

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        init_postgres(folder / "data")
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(MEMORY)
        self._postgres = Postgres(folder / "data", folder / "log")
        self._runner = asyncio.Runner()
        self._postgres.start()
        try:
            self._runner.run(self._connect())
        except BaseException:
            self.close()
            raise
        assert self._postgres.process.child
        self.pid = self._postgres.process.child.pid

    async def _connect(self) -> None:
        self._connection: Any = await self._postgres.connect()
        one = self._connection
        await one.execute("CREATE EXTENSION vector")
        await one.set_type_codec(
            "vector", encoder=bytes, decoder=bytes, format="binary", schema="public"
        )
        await one.execute("SET plan_cache_mode = force_generic_plan")
        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        server = await one.fetchval("SHOW server_version")
        self.version = f"{await one.fetchval(query)} (Postgres {server})"

    def fill(self, rows: Floats) -> None:
        self._runner.run(self._fill(rows))

    async def _fill(self, rows: Floats) -> None:
        one = self._connection
        columns = f"id text PRIMARY KEY, vector vector({DIMENSION})"
        await one.execute(f"CREATE TABLE items ({columns})")
        records = [(f"i{n}", self.request(row)) for n, row in enumerate(rows)]
        await one.copy_records_to_table("items", records=records)
        await one.execute(f"{INDEX} WITH (m = 16, ef_construction = 64)")
        await one.execute("VACUUM ANALYZE items")
        await one.execute("CHECKPOINT")
        self._statement = await one.prepare(SEARCH)
        query = f"EXPLAIN {SEARCH}".replace("$1", "(SELECT vector FROM items LIMIT 1)")
        plan = "\n".join(row[0] for row in await one.fetch(query))
        if "items_vector_idx" not in plan:
            raise RuntimeError(f"pgvector does not use its index:\n{plan}")

    def connect(self) -> None:
        """Postgres keeps its connection."""

    def use(self, setting: float) -> None:
        self._runner.run(self._connection.execute(f"SET hnsw.ef_search = {setting}"))

    def request(self, query: Floats) -> bytes:
        head = len(query).to_bytes(2, "big") + b"\0\0"
        return head + query.astype(">f4").tobytes()

    def ask(self, request: bytes) -> Any:
        return self._runner.run(self._statement.fetch(request))

    def rows_of(self, answer: Sequence[Any]) -> list[int]:
        return [int(row[0][1:]) for row in answer]

    def close(self) -> None:
        self._postgres.stop()
        self._runner.close()
