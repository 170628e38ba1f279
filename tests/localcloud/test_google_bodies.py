"""The body validator against requests that Google's own controller sends, and against
the same requests with one thing wrong.
"""

from __future__ import annotations

import copy
import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localcloud.google import documents, schema
from tests.localcloud.goldens import GOLDENS, exchanges, needed

ACCEPTED_SHARE, REFUSED_SHARE = 0.98, 0.90
MAPS = re.compile(
    r"(^|\.)(\w*[lL]abels|annotations|limits|redisConfigs|engineConfigs)$"
)
"""Blocks whose keys their author chooses: a misspelt one is another key."""
WORD = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
"""What enumerations are made of."""
PLANTED = "planted"
Json = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """A request with a body that was answered with 200."""

    title: str
    document: str
    method: str
    path: str
    body: Any


def sent() -> list[Sent]:
    """Every accepted creation, update and call with a body."""
    return [
        Sent(f"{file.stem} {method} {path}", _document(api, path), method, path, body)
        for file in sorted(GOLDENS.glob("*.log"))
        for method, api, full, body, status, _ in exchanges(file)
        for path in [full.split("?")[0]]
        if body and status == 200 and method in ("POST", "PUT", "PATCH")
    ]


def _document(api: str, path: str) -> str:
    """Name of the discovery document: the version follows the service's own folder."""
    first, second = path.split("/")[:2]
    return documents.document_name(api, first if first.startswith("v") else second)


@functools.cache
def whole(name: str) -> Json:
    return documents.whole(name)


@functools.cache
def schemas(document: str, name: str) -> documents.Schemas:
    return documents.reachable(whole(document), [name])


def request_of(each: Sent) -> documents.Request | None:
    if not documents.has_document(each.document):
        return None
    return documents.request(whole(each.document), each.method, each.path)


def problems(each: Sent, body: Any) -> list[schema.Problem]:
    request = request_of(each)
    assert request
    found = schemas(each.document, request.schema)
    return schema.problems(found, request.schema, body, besides=request.in_path)


SENT = sent() if GOLDENS.exists() else []
JUDGED = [each for each in SENT if request_of(each)]


@needed
def test_what_google_accepted_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {s.title: list(map(str, p)) for s in JUDGED if (p := problems(s, s.body))}
    accepted = 1 - len(refused) / len(JUDGED)
    unjudged = Counter(s.document for s in SENT if not request_of(s))
    with capsys.disabled():
        print(
            f"\ngoldens: {accepted:.1%} of {len(JUDGED)} accepted bodies accepted; "
            f"{len(SENT) - len(JUDGED)} not judged, without a document: "
            + ", ".join(f"{name} {n}" for name, n in sorted(unjudged.items()))
        )
    assert len(JUDGED) >= 300
    assert accepted >= ACCEPTED_SHARE, refused


@needed
def test_what_is_planted_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    planted, refused = Counter[str](), Counter[str]()
    passed = []
    for each in JUDGED:
        for kind, place, body in mutations(each.body):
            planted[kind] += 1
            if problems(each, body):
                refused[kind] += 1
            else:
                passed.append(f"{kind} {each.title}: {place}")
    share = refused.total() / planted.total()
    with capsys.disabled():
        print(
            f"\ngoldens: {share:.1%} of {planted.total()} planted mutations refused: "
            + ", ".join(f"{k} {refused[k]}/{n}" for k, n in sorted(planted.items()))
        )
    assert set(planted) == {"type", "enum", "field"}
    assert share >= REFUSED_SHARE, passed
    assert all(refused[k] / n >= 0.85 for k, n in planted.items()), passed


def mutations(body: Any) -> Iterator[tuple[str, str, Any]]:
    """(kind, place, body) of every single fault that can be planted at every leaf.

    Nothing of it knows the schemas: places and values come from the body alone.
    """
    for place, container, key in leaves(body, ""):
        value = container[key]
        for wrong in wrong_types(value):
            yield "type", place, _with(body, container, {key: wrong})
        if isinstance(value, str) and WORD.fullmatch(value) and len(value) > 2:
            wrong = f"{value}_{PLANTED.upper()}"
            yield "enum", place, _with(body, container, {key: wrong})
        outside_maps = not MAPS.search(re.sub(r"\.?[^.]*$", "", place))
        if isinstance(container, dict) and outside_maps:
            misspelt = {f"{key}{PLANTED.title()}": value}
            yield "field", place, _with(body, container, misspelt, without=key)


def wrong_types(value: Any) -> list[Any]:
    """Values of other types; numbers may come as text, so a text here is no number."""
    if isinstance(value, str):
        return [True, {PLANTED: 1}]
    return [PLANTED, [value]]


def leaves(value: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """(place, container, key) of everything that is no block and no list."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in members:
        where = f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}"
        if isinstance(inner, dict | list):
            yield from leaves(inner, where.lstrip("."))
        elif inner is not None:
            yield where.lstrip("."), value, key


def _with(body: Any, container: Any, new: Json, without: Any = None) -> Any:
    """A copy of the body in which one container has other entries."""
    copies: dict[int, Any] = {}
    made = copy.deepcopy(body, copies)
    target = copies[id(container)]
    for key, value in new.items():
        target[key] = value
    if without is not None:
        del target[without]
    return made
