"""Pulumi inputs of our types against the bodies that Google's own controller sent for
the same resources, modulo what the server adds by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.google import bodies
from localcloud.provider import limits
from localcloud.provider.cloud import create_request
from localcloud.types import lookup
from localcloud.types.base import Create, ResourceType, google_body
from tests.localcloud.goldens import GOLDENS, exchanges, needed

CONTROLLERS = {"cnrm-test", "managed-by-cnrm"}
"""Labels that the controller adds to every resource."""
LEAST = 20
Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A resource of a golden, as somebody would write it in Pulumi."""

    golden: str
    token: str
    inputs: Json
    server: Json = field(default_factory=dict)
    """Leaves that the controller sends and Pulumi's user leaves out: defaults of the
    server, and what the request's path says already.
    """


TABLE: Json = yaml.safe_load(Path(__file__).with_name("expansions.yaml").read_text())
SERVER: Json = TABLE["server_of_type"]
NUMBERS = {(n["type"], n["place"], n["word"]): n["number"] for n in TABLE["numbers"]}
"""What a word is in Google's protocol buffers: some goldens carry the number."""
CASES = [
    Case(row["golden"], row["type"], row["inputs"], row.get("server", {}))
    for row in TABLE["resources"]
]


def kind_of(case: Case) -> ResourceType:
    kind = lookup(case.token)
    assert isinstance(kind, ResourceType)
    return kind


def recorded(case: Case) -> Json:
    """The body of the golden whose resource has the inputs' name."""
    kind = kind_of(case)
    put = kind.create is Create.PUT
    place = kind.resource_path(case.inputs, "p1")
    if not put:
        place = place.rsplit("/", 1)[0]
    (file,) = GOLDENS.glob(f"*__{case.golden}.http.log")
    found = [
        body
        for method, api, path, body, status, _ in exchanges(file)
        if (method, api, status) == ("PUT" if put else "POST", kind.api, 200)
        and path.split("?")[0].replace("sql/v1beta4/", "v1/") == place
        and _names(case, path, body)
    ]
    assert found, f"no creation of {case.token} at {place} in {file.name}"
    return found[0] or {}


def _names(case: Case, path: str, body: Any) -> bool:
    """Whether a request is the one that creates the case's resource."""
    shown = case.inputs.get("displayName", "")
    if kind_of(case).create is Create.SERVER:
        return bool(body.get("displayName", "") == shown)
    identity = case.inputs.get(kind_of(case).id_input) or case.inputs["accountId"]
    inside = {body.get("name"), body.get("accountId")} if body else set()
    return (
        identity in inside
        or path.split("?")[0].endswith(f"/{identity}")
        or (re.search(rf"[?&]\w+Id={re.escape(identity)}(&|$)", path) is not None)
    )


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, value as text) of all that says something; numbers may be texts."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            if key not in CONTROLLERS:
                where = f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}"
                yield from leaves(inner, where.lstrip("."))
    elif value not in (None, ""):
        yield place, str(value)


@needed
@pytest.mark.parametrize("case", CASES, ids=[f"{c.golden}-{c.token}" for c in CASES])
def test_inputs_expand_to_the_recorded_body(case: Case) -> None:
    kind = kind_of(case)
    path = kind.resource_path(case.inputs, "p1")
    _, _, made = create_request(kind, path, google_body(kind, case.inputs))
    mine, theirs = dict(leaves(made)), dict(leaves(recorded(case)))
    for place, word in mine.items():
        number = NUMBERS.get((kind.token, place, word))
        if number is not None:  # the controller sends this enumeration by number
            mine[place] = str(number)
    server = dict(leaves({**SERVER.get(kind.token, {}), **case.server}))
    missing = {k: v for k, v in theirs.items() if k not in mine}
    assert {k: v for k, v in mine.items() if theirs.get(k) != v} == {}
    assert {k: v for k, v in missing.items() if server.get(k) != v} == {}


@pytest.mark.parametrize("case", CASES, ids=[f"{c.golden}-{c.token}" for c in CASES])
def test_the_same_inputs_pass_the_check(case: Case) -> None:
    kind = kind_of(case)
    found = bodies.refusals(kind, case.inputs) + limits.refusals(kind, case.inputs)
    assert [str(each) for each in found] == []


def test_there_are_enough_of_them() -> None:
    assert len({(c.golden, c.token, str(c.inputs)) for c in CASES}) == len(CASES)
    assert len(CASES) >= LEAST
    assert len({c.token for c in CASES}) >= LEAST
