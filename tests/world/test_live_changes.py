"""A world on the real engine that is broken, searched for secrets, changed: in five
regions, two of them hubs. What needs all fifteen is in `test_live_world`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.world.conftest import FEW, Clone, changed, process_titles

PLANTED = 20
TAKEN_OUT = "us-west1"
"""A region from which no other one copies."""


@pytest.fixture(scope="module")
def clone(few: Clone) -> Clone:
    return few


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


def test_prometheus_takes_the_metrics_of_every_process(clone: Clone) -> None:
    def taken() -> set[tuple[str, str]]:
        found = _asked(clone, "up == 1")
        return {(x["metric"]["region"], x["metric"]["service"]) for x in found}

    kinds = ("meridian-stream", "meridian-worker")
    every = {(region, kind) for region in FEW for kind in kinds}
    clone.wait(lambda: every <= taken())
    active = _asked(clone, "max by (region) (meridian_worker_active)")
    assert {x["metric"]["region"]: x["value"][1] for x in active} == dict.fromkeys(
        FEW, "1"
    )


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
        return sum(r["ready"] for r in regions) == len(FEW)

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
        return clone.ready() == len(FEW)

    clone.wait(back, 60)
    assert clone.json("status")["faults"] == []


def test_status_says_why_a_region_is_not_ready(clone: Clone) -> None:
    clone.run("fail", "cache", "us-central1", "--for", "30s")

    def region() -> dict[str, Any]:
        regions = clone.json("status")["regions"]
        return next(r for r in regions if r["name"] == "us-central1")

    clone.wait(lambda: "redis is away" in region()["degraded"], 40)
    clone.wait(lambda: "redis is away" in clone.run("status").stdout, 20)
    clone.wait(lambda: region()["ready"] and region()["degraded"] == [], 60)


def test_planted_secrets_are_found_nowhere(clone: Clone) -> None:
    regions = [r["name"] for r in clone.json("status")["regions"]]
    planted = [f"planted-{secrets.token_hex(16)}" for _ in range(PLANTED)]
    for number, value in enumerate(planted):
        name = f"meridian-{regions[number % len(regions)]}-admin"
        clone.run("secret", "put", name, stdin=f"{value}\n")
    haystack = {
        "export": _export(clone),
        "preview": clone.run("preview", "--json").stdout,
        "arguments": "\n".join(process_titles()),
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


def _asked(clone: Clone, query: str) -> list[dict[str, Any]]:
    """What this world's Prometheus answers."""
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
    found: list[dict[str, Any]] = json.loads(_read(clone, path, 9090))["data"]["result"]
    return found


def _read(clone: Clone, path: str, port: int = 4000) -> str:
    address = yaml.safe_load((clone.root / ".meridian/world/world.json").read_text())
    url = f"http://{address['network']}.1:{port}{path}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def test_access_tokens_are_in_no_state_and_no_log(clone: Clone) -> None:
    state = _export(clone) + json.dumps(clone.states())
    logs = "".join(
        file.read_text(errors="replace")
        for file in (clone.root / ".meridian/world/logs").rglob("*.log")
    )
    for text in (state, logs, "\n".join(process_titles())):
        assert re.search(r"local\.[A-Za-z0-9_-]{40,}", text) is None
        assert "requirepass" not in text


def test_a_regions_capacity_is_changed_by_its_one_line(clone: Clone) -> None:
    # Not before what compares parts: the second instance ends some time later.
    file = clone.catalogue
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


def test_a_region_is_taken_out_and_put_back_while_the_rest_serves(clone: Clone) -> None:
    file = clone.catalogue
    text = file.read_text()
    pattern = rf"^  {TAKEN_OUT}:\n(    .*\n)+"
    shorter = re.sub(pattern, "", text, count=1, flags=re.M)
    assert shorter != text
    try:
        file.write_text(shorter)
        steps = changed(clone.json("preview"))
        assert {s["op"] for s in steps} == {"delete", "update"}
        assert all(TAKEN_OUT in s["urn"] for s in steps if s["op"] == "delete")
        clone.run("up")
        names = [r["name"] for r in clone.json("status")["regions"]]
        assert len(names) == len(FEW) - 1
        assert not [p for p in clone.processes() if TAKEN_OUT in p]
    finally:
        file.write_text(text)
    clone.run("up")
    assert clone.ready() == len(FEW)
    assert changed(clone.json("preview")) == []
