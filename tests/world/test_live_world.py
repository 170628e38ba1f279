"""The whole world on the real engine: up, change, faults, secrets, down."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.client import Client, Query
from tests.world.conftest import Clone, changed

REGIONS = 15
PLANTED = 20


def test_fifteen_regions_are_ready(clone: Clone) -> None:
    status = clone.json("status")
    assert sum(r["ready"] for r in status["regions"]) == REGIONS
    roles = [r["role"] for r in status["regions"]]
    assert (roles.count("hub"), roles.count("regional")) == (5, 10)
    kinds = {part["kind"] for part in status["parts"]}
    assert {"sql", "redis", "run", "envoy", "prometheus"} <= kinds
    assert all(part["healthy"] for part in status["parts"])


def test_a_preview_after_up_is_empty_twice(clone: Clone) -> None:
    for _ in range(2):
        preview = clone.json("preview")
        assert changed(preview) == []
        assert preview["summary"] == {"same": len(preview["steps"])}


def test_up_with_nothing_to_do_restarts_nothing(clone: Clone) -> None:
    before = {p["name"]: p["pid"] for p in clone.json("status")["parts"]}
    clone.run("up")
    after = {p["name"]: p["pid"] for p in clone.json("status")["parts"]}
    assert before == after


def test_ten_replicas_stream_from_five_primaries(clone: Clone) -> None:
    status = clone.json("status")
    names = {p["name"] for p in status["parts"] if p["kind"] == "sql"}
    folder = clone.root / ".meridian" / "world" / "sql"
    standby = {
        n for n in names if (folder / n.split("/")[1] / "data/standby.signal").exists()
    }
    assert (len(names), len(standby)) == (REGIONS, 10)
    senders = [p for p in _process_titles() if "walsender" in p and "streaming" in p]
    receivers = [
        p for p in _process_titles() if "walreceiver" in p and "streaming" in p
    ]
    assert len(senders) >= 10
    assert len(receivers) >= 10


def _process_titles() -> list[str]:
    line = ["ps", "-eo", "args"]
    return subprocess.run(
        line, capture_output=True, text=True, check=True
    ).stdout.split("\n")


def test_a_regions_capacity_is_changed_by_its_one_line(clone: Clone) -> None:
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    try:
        _add_to_region(file, text, "europe-west3", "min_instances: 2")
        steps = changed(clone.json("preview"))
        assert [(s["op"], s["type"]) for s in steps] == [
            ("update", "gcp:cloudrunv2/service:Service")
        ]
        assert "europe-west3" in steps[0]["urn"]
        assert all("minInstanceCount" in path for path in steps[0]["changes"])
        clone.run("up")
        regions = {r["name"]: r for r in clone.json("status")["regions"]}
        assert regions["europe-west3"]["instances"] == 2
        assert changed(clone.json("preview")) == []
    finally:
        file.write_text(text)
    clone.run("up")


def _add_to_region(file: Path, text: str, region: str, line: str) -> None:
    """Add one key to a region's block, in the block's own indentation."""
    found = re.search(rf"^(\s+){region}:\s*\n(\s+)\S", text, re.M)
    if found:
        at = text.index("\n", found.start(1) + 1) + 1
        file.write_text(f"{text[:at]}{found[2]}{line}\n{text[at:]}")
        return
    inline = re.search(rf"^(\s+{region}:\s*{{[^}}]*)}}", text, re.M)
    assert inline, f"no block of {region}"
    file.write_text(f"{text[: inline.end() - 1]}, {line}}}{text[inline.end() :]}")


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


def test_the_front_doors_cache_keeps_what_is_public_and_nothing_else(
    clone: Clone,
) -> None:
    url = clone.json("status")["regions"][0]["url"]

    def ask(path: str, body: object = None) -> tuple[Any, bytes]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data=data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers, answer.read()

    for name, public in (("open-shelf", True), ("closed-shelf", False)):
        shape = {"name": name, "dimension": 2, "public": public}
        ask("/v1/collections", shape)
        items = {"items": [{"id": "a", "vector": [1, 0]}]}
        ask(f"/v1/collections/{name}/items:upsert", items)
    kept = "/v1/public/default/collections/open-shelf/items/a"
    _, body = ask(kept)

    def from_the_cache() -> bool:
        (first, one), (again, other) = ask(kept), ask(kept)
        assert one == other == body
        return bool(first["x-request-id"] == again["x-request-id"])

    clone.wait(from_the_cache, 5)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(kept.replace("open", "closed"))
    crawled = [f"/v1/collections/{n}-shelf" for n in ("open", "closed")]
    crawled += [f"{path}/items/a" for path in crawled]
    crawled += ["/v1/collections", "/v1/limits", "/v1/schema", "/health/ready"]
    for path in crawled:
        asked = {ask(path)[0]["x-request-id"] for _ in range(2)}
        assert len(asked) == 2, path


def test_the_front_door_names_the_client_whatever_he_says(clone: Clone) -> None:
    url = clone.json("status")["regions"][0]["url"]
    headers = {
        "authorization": "Bearer mk_nobody_nothing",
        "x-meridian-client-address": "203.0.113.9",
    }
    said = ""
    for _ in range(25):
        request = urllib.request.Request(f"{url}/v1/collections", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        if refused.value.code == 429:
            said = json.load(refused.value)["error"]["message"]
            break
        assert refused.value.code == 401
    assert said.startswith("127."), said


def lasting(clone: Clone) -> dict[str, int]:
    """Part -> pid, without those that end by themselves: gRPC scales to zero."""
    parts = {p["name"]: p["pid"] for p in clone.json("status")["parts"]}
    passing = ("template/", "/meridian-grpc/")
    return {n: p for n, p in parts.items() if not any(word in n for word in passing)}


def test_a_dead_control_plane_comes_back_and_adopts_all(clone: Clone) -> None:
    before = lasting(clone)
    lines = [p for p in clone.processes() if "localcloud.control" in p]
    assert len(lines) == 1
    os.kill(int(lines[0].split()[0]), signal.SIGKILL)

    def back() -> bool:
        try:
            regions = clone.json("status")["regions"]
        except AssertionError:
            return False
        return sum(r["ready"] for r in regions) == REGIONS

    clone.wait(back)
    assert lasting(clone) == before
    assert changed(clone.json("preview")) == []


def test_keeper_and_control_plane_killed_together_are_brought_back_by_up(
    clone: Clone,
) -> None:
    before = lasting(clone)
    for name in ("localcloud.keeper", "localcloud.control"):
        (line,) = [p for p in clone.processes() if name in p]
        os.kill(int(line.split()[0]), signal.SIGKILL)
    clone.run("up")
    # An `up` with nothing to do is over before the new control plane has seen all.
    clone.wait(lambda: lasting(clone) == before, 30)
    assert len([p for p in clone.processes() if "localcloud.keeper" in p]) == 1


def test_a_killed_region_is_served_by_the_next_and_comes_back(clone: Clone) -> None:
    clone.run("fail", "region", "us-central1", "--for", "6s")

    def served_elsewhere() -> bool:
        regions = {r["name"]: r for r in clone.json("status")["regions"]}
        by = regions["us-central1"]["served_by"]
        return by is not None and by != "us-central1"

    clone.wait(served_elsewhere, 20)

    def back() -> bool:
        return sum(r["ready"] for r in clone.json("status")["regions"]) == REGIONS

    clone.wait(back, 60)
    assert clone.json("status")["faults"] == []


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
    assert done.stdout.count("'missing': 0, 'doubled': 0") == len(kinds)


def test_planted_secrets_are_found_nowhere(clone: Clone) -> None:
    regions = [r["name"] for r in clone.json("status")["regions"]]
    planted = [f"planted-{secrets.token_hex(16)}" for _ in range(PLANTED)]
    for number, value in enumerate(planted):
        name = f"meridian-{regions[number % REGIONS]}-admin"
        clone.run("secret", "put", name, stdin=f"{value}\n")
    haystack = {
        "export": _export(clone),
        "preview": clone.run("preview", "--json").stdout,
        "arguments": "\n".join(_process_titles()),
        "page": _read(clone, "/console/world") + _read(clone, "/console/declared"),
    }
    for file in (clone.root / ".meridian").rglob("*"):
        if file.is_file() and "sql" not in file.parts and file.stat().st_size < 2**26:
            haystack[str(file)] = file.read_bytes().decode(errors="replace")
    assert len(haystack) > 40, "hardly anything was searched"
    found = [(p, v) for p, text in haystack.items() for v in planted if v in text]
    assert found == []


def _export(clone: Clone) -> str:
    """One cell's state as the engine shows it, secrets in the clear."""
    words = ("stack", "export", "--show-secrets")
    return clone.pulumi(*words, env="local", region="us-central1")


def _read(clone: Clone, path: str) -> str:
    address = yaml.safe_load((clone.root / ".meridian/world/world.json").read_text())
    url = f"http://{address['network']}.1:4000{path}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def test_access_tokens_are_in_no_state_and_no_log(clone: Clone) -> None:
    state = _export(clone) + json.dumps(clone.states())
    logs = "".join(
        file.read_text(errors="replace")
        for file in (clone.root / ".meridian/world/logs").rglob("*.log")
    )
    for text in (state, logs, "\n".join(_process_titles())):
        assert re.search(r"local\.[A-Za-z0-9_-]{40,}", text) is None
        assert "requirepass" not in text


def test_a_region_is_taken_out_and_put_back_while_the_rest_serves(clone: Clone) -> None:
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    shorter = re.sub(r"^  me-west1:\n(    .*\n)+", "", text, count=1, flags=re.M)
    assert shorter != text
    try:
        file.write_text(shorter)
        steps = changed(clone.json("preview"))
        assert {s["op"] for s in steps} == {"delete", "update"}
        assert all("me-west1" in s["urn"] for s in steps if s["op"] == "delete")
        clone.run("up")
        names = [r["name"] for r in clone.json("status")["regions"]]
        assert len(names) == REGIONS - 1
        assert not [p for p in clone.processes() if "me-west1" in p]
    finally:
        file.write_text(text)
    clone.run("up")
    assert sum(r["ready"] for r in clone.json("status")["regions"]) == REGIONS
    assert changed(clone.json("preview")) == []
