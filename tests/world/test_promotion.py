"""A hub is lost for good: its replica leads its log, and it comes back as a replica."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from service.client import Client
from tests.world.conftest import Clone, changed

LOST, NEW, FAR = "europe-west1", "europe-west3", "us-east1"
BAKE = ("--bake", "1")


def regions(clone: Clone) -> dict[str, dict[str, Any]]:
    return {r["name"]: r for r in clone.json("status")["regions"]}


def put(clone: Clone, region: str, item: str, durability: str = "zone") -> Any:
    """Writes one item and returns its place in the log."""
    url = regions(clone)[region]["url"]

    async def write() -> Any:
        async with Client(url, deadline=20) as client:
            await client.create(durability, dimension=2, durability=durability)
            entry = {"id": item, "vector": [1.0, 0.0]}
            (result,) = await client.put(durability, [entry])
            return result["position"]

    return asyncio.run(write())


def found(clone: Clone, region: str, collection: str = "zone") -> set[str]:
    url = regions(clone)[region]["url"]

    async def read() -> set[str]:
        async with Client(url) as client:
            hits = await client.search(collection, vector=[1.0, 0.0])
            return {hit["id"] for hit in hits}

    return asyncio.run(read())


def said(clone: Clone, region: str, words: str) -> list[dict[str, Any]]:
    """Log lines of a region that have these words as their message."""
    lines = [
        line
        for file in (clone.root / ".meridian/world/logs" / region).glob("*.log")
        for line in file.read_text(errors="replace").splitlines()
    ]
    return [json.loads(line) for line in lines if f'"{words}"' in line]


def test_a_replica_leads_the_log_of_a_lost_hub(few: Clone) -> None:
    assert put(few, NEW, "before")["origin"] == LOST
    assert put(few, NEW, "promised", "region")["origin"] == LOST
    few.run("fail", "region", LOST, "--for", "45s")
    few.run("promote", NEW)
    few.run("apply", "--region", NEW, *BAKE)
    assert few.wait(lambda: said(few, NEW, "epoch begun"))[0]["lost_changes"] == 0
    place = put(few, NEW, "after")
    assert (place["origin"], place["epoch"]) == (LOST, 2)
    few.wait(lambda: found(few, FAR) == {"before", "after"})
    # No replica follows the new primary yet, and the other hub has some.
    assert put(few, NEW, "meanwhile", "region")["origin"] != LOST
    few.wait(lambda: found(few, FAR, "region") == {"promised", "meanwhile"})


def test_the_lost_server_comes_back_fenced_and_then_as_a_replica(few: Clone) -> None:
    few.wait(lambda: said(few, LOST, "another server leads this log"), 90)
    few.run("apply", *BAKE)
    few.wait(lambda: regions(few)[LOST]["served_by"] == NEW, 20)
    assert regions(few)[LOST]["role"] == "regional"
    text = few.catalogue.read_text()
    few.catalogue.write_text(text.replace("serving: false", "serving: true"))
    few.run("apply", *BAKE)
    few.wait(lambda: few.ready() == len(regions(few)))
    few.wait(lambda: found(few, LOST) == {"before", "after"})
    assert put(few, LOST, "again")["epoch"] == 2
    assert changed(few.json("preview")) == []
