"""Requests of a Google-maintained controller, replayed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from localcloud.types import resource_types
from localcloud.types.base import Create, Operation, ResourceType
from tests.localcloud.conftest import Plane
from tests.localcloud.goldens import GOLDENS, exchanges, needed

pytestmark = needed


def creations() -> list[tuple[str, ResourceType, str, str, Any, Any]]:
    """Create requests of types that this project declares."""
    kinds = [
        k
        for k in resource_types()
        if k.create in (Create.QUERY, Create.BODY, Create.PUT)
    ]
    found = []
    for file in sorted(GOLDENS.glob("*.log")):
        for method, api, path, body, status, answer in exchanges(file):
            if method not in ("POST", "PUT") or status != 200 or not body:
                continue
            plain = path.split("?")[0].replace("sql/v1beta4/", "v1/")
            for kind in kinds:
                put = kind.create is Create.PUT
                place = kind.path if put else kind.path.rsplit("/", 1)[0]
                pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(place))
                if api == kind.api and re.fullmatch(pattern, plain):
                    found.append((file.stem, kind, method, path, body, answer))
    return found


CASES = creations() if GOLDENS.exists() else []


def test_enough_of_our_types_have_goldens() -> None:
    tokens = {kind.token for _, kind, *_ in CASES}
    assert len(CASES) >= 40
    assert len(tokens) >= 12, tokens


@pytest.mark.parametrize(
    ("name", "kind", "method", "path", "body", "answer"),
    CASES,
    ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CASES)],
)
async def test_a_recorded_creation_is_accepted_in_the_recorded_form(
    plane: Plane,
    name: str,
    kind: ResourceType,
    method: str,
    path: str,
    body: Any,
    answer: Any,
) -> None:
    url = f"/{kind.api}/{path.replace('sql/v1beta4/', 'v1/')}"
    response = await plane.client.request(method, url, json=body)
    mine = await response.json()
    assert response.status == 200, mine
    if kind.operation is Operation.NONE:
        assert mine["name"].rsplit("/", 1)[-1] == answer["name"].rsplit("/", 1)[-1]
        return
    envelope = {"name", "kind", "selfLink", "targetLink", "operationType"}
    missing = (envelope & set(answer)) - set(mine)
    assert missing == set(), f"{name}: fields of the envelope"
    assert mine.get("kind") == answer.get("kind")
    recorded = answer.get("operationType")
    if recorded:  # one API writes it with the method's whole name
        assert mine["operationType"] == recorded.rsplit(".", 1)[-1]


async def test_a_services_defaults_are_the_recorded_ones(plane: Plane) -> None:
    case = next(c for c in CASES if c[0].startswith("run__") and "basic" in c[0])
    _, kind, method, path, body, answer = case
    await plane.client.request(method, f"/{kind.api}/{path}", json=body)
    name = answer["metadata"]["name"]
    mine = await (await plane.client.get(f"/{kind.api}/v2/{name}")).json()
    recorded = answer["metadata"]["template"]
    for key in ("maxInstanceRequestConcurrency", "timeout", "executionEnvironment"):
        assert mine["template"][key] == recorded[key]
    limits = recorded["containers"][0]["resources"]["limits"]
    assert mine["template"]["containers"][0]["resources"]["limits"] == limits
    assert mine["traffic"] == answer["metadata"]["traffic"]
