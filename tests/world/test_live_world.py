"""Fifteen regions on the real engine: what is true of all of them together. What five
regions show as well is in `test_live_changes`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from service.client import Client, Query
from tests.world.conftest import Clone, changed, process_titles

REGIONS = 15


def test_fifteen_regions_are_ready(clone: Clone) -> None:
    status = clone.json("status")
    assert sum(r["ready"] for r in status["regions"]) == REGIONS
    roles = [r["role"] for r in status["regions"]]
    assert (roles.count("hub"), roles.count("regional")) == (5, 10)
    kinds = {part["kind"] for part in status["parts"]}
    assert {"sql", "redis", "run", "envoy", "prometheus"} <= kinds
    assert all(part["healthy"] for part in status["parts"])


def test_a_preview_after_up_is_empty(clone: Clone) -> None:
    preview = clone.json("preview")
    assert changed(preview) == []
    assert preview["summary"] == {"same": len(preview["steps"])}


def test_ten_replicas_stream_from_five_primaries(clone: Clone) -> None:
    status = clone.json("status")
    names = {p["name"] for p in status["parts"] if p["kind"] == "sql"}
    folder = clone.root / ".meridian" / "world" / "sql"
    standby = {
        n for n in names if (folder / n.split("/")[1] / "data/standby.signal").exists()
    }
    assert (len(names), len(standby)) == (REGIONS, 10)
    senders = [p for p in process_titles() if "walsender" in p and "streaming" in p]
    receivers = [p for p in process_titles() if "walreceiver" in p and "streaming" in p]
    assert len(senders) >= 10
    assert len(receivers) >= 10


def test_the_demonstration_hears_what_exact_search_expects_twice(clone: Clone) -> None:
    first = clone.json("demo", "--rounds", "1")
    second = clone.json("demo", "--rounds", "1", "--over", "grpc")
    assert first["matches"] >= 20
    assert first["regions"] >= 10
    for answer in (first, second):
        assert (answer["lost"], answer["doubled"], answer["invented"]) == (0, 0, 0)
    assert first["matches"] == second["matches"]


def test_a_kept_stream_goes_on_in_another_region(clone: Clone) -> None:
    urls = {r["name"]: r["url"] for r in clone.json("status")["regions"]}
    east = {"vector": [1.0, 0.0], "metadata": {}}

    async def first() -> str:
        async with Client(urls["us-central1"]) as client:
            await client.create("kept", dimension=2)
            query = Query(
                stream="mine",
                collection="kept",
                vector=[1.0, 0.0],
                threshold=0.5,
                persistent=True,
            )
            watching = client.watch([query], "sse", acks="explicit")
            await watching.ready()
            for name in ("one", "two"):
                await client.put("kept", [{"id": name, **east}])
            match = await anext(aiter(watching))
            assert match.id == "one"
            await watching.ack(match)
            return str(watching.ids["mine"])

    async def second(known: str) -> list[str]:
        async with Client(urls["asia-south1"]) as client:
            watching = client.attach(known, over="grpc")
            await client.put("kept", [{"id": "three", **east}])
            told = aiter(watching)
            found = [(await anext(told)).id for _ in range(2)]
            await watching.close()
            await client.drop_stream(known)
            return found

    known = asyncio.run(first())
    assert known.startswith("us-central1.")
    assert asyncio.run(second(known)) == ["two", "three"]
    assert known not in {stream["id"] for stream in clone.json("streams")}


def test_the_first_call_of_grpc_starts_an_instance_that_ends_again(
    clone: Clone,
) -> None:
    def speak_grpc() -> dict[str, int]:
        regions = clone.json("status")["regions"]
        return {r["name"]: r["grpc_instances"] for r in regions}

    # Thirty seconds after the last call, as the demonstration left it.
    clone.wait(lambda: not any(speak_grpc().values()), 60)
    there = ("--region", "me-west1", "--over", "grpc")
    words = "The referee waves play on"
    held = "demo-commentary"
    clone.run("put", held, "--text", words, "--id", "played-on", *there)

    def found() -> bool:
        hits = json.loads(clone.run("search", held, words, "-k", "1", *there).stdout)
        return [hit["id"] for hit in hits] == ["played-on"]

    clone.wait(found, 10)
    assert speak_grpc() == dict.fromkeys(speak_grpc(), 0) | {"me-west1": 1}


def test_a_typed_sentence_is_heard(clone: Clone) -> None:
    words = "The referee points to the spot and gives a penalty"
    answer = clone.json("demo", "--sentence", words)
    assert answer["written"] == 1
    assert answer["matches"] >= 1
    assert answer["lost"] == answer["invented"] == 0

    def told() -> bool:
        spans = clone.json("trace")["spans"]
        return {"commit", "publish", "feed", "match", "notify"} <= {
            span["name"] for span in spans
        }

    # Spans are sent once a second.
    clone.wait(told, 15)
    one = clone.json("trace")
    assert one["name"] == "write" and len(one["regions"]) == REGIONS
    lines = clone.run("trace", one["id"]).stdout.splitlines()
    assert one["id"] in lines[0]
    # More may have come since.
    assert len(lines) >= 3 + len(one["spans"])
    assert one["id"] in clone.run("trace", "--list").stdout
    missing = clone.run("trace", "no-such-event", code=2).stderr
    assert "telemetry.trace_share" in missing


def test_no_write_is_lost_and_none_told_twice_under_faults(clone: Clone) -> None:
    kinds = ("service", "worker", "database", "cache", "region")
    command = [sys.executable, "-m", "benchmarks.faults", "--rounds", "1"]
    for kind in kinds:
        command += ["--kind", kind]
    done = subprocess.run(
        command,
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("'missing': 0,", "'doubled': 0,"):
        assert done.stdout.count(told) == len(kinds), done.stdout
