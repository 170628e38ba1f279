"""Every input of Google's provider against the body that our entries make of it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.google import bodies, documents
from localcloud.types import resource_types
from localcloud.types.base import UNKNOWN, Create, ResourceType

TYPES = {kind.token: kind for kind in resource_types()}
DESCRIBED = sorted(token for token, kind in TYPES.items() if kind.schema)
WITHOUT = {
    "gcp:cloudquota/sQuotaPreference:SQuotaPreference",
    "gcp:memorystore/instance:Instance",
}
"""Types of APIs that the package has no document of."""
DEEPEST = 9
NEAR = 3
"""Levels at which each value is unknown in its turn: bodies are made of these."""
WORDED = re.compile(r"allowed are|must match|one of|a duration|a time|a date|base64")
"""What a text that stands for any text may break."""


def test_only_types_without_a_document_have_no_schema() -> None:
    assert set(TYPES) - set(DESCRIBED) == WITHOUT
    for token in WITHOUT:
        assert not documents.has_document(bodies.document(TYPES[token]))


@pytest.mark.parametrize("token", DESCRIBED)
def test_a_schema_is_that_of_the_request_that_creates(token: str) -> None:
    kind = TYPES[token]
    path = re.sub(r"\{\w+\}", "x", kind.path)
    method, target = {
        Create.PUT: ("PUT", path),
        Create.ENABLE: ("POST", f"{path}:enable"),
    }.get(kind.create, ("POST", path.rsplit("/", 1)[0]))
    document = documents.whole(bodies.document(kind))
    request = documents.request(document, method, target)
    assert request
    assert request.schema == kind.schema


def everything(module: str, arguments: Any, depth: int = 0) -> dict[str, Any]:
    """Inputs with each field of a class of the genuine provider, every leaf unknown."""
    names = inspect.signature(arguments.__init__).parameters.values()
    return {
        _camel(p.name): _value(module, str(p.annotation), depth)
        for p in names
        if p.name not in ("self", "__self__") and depth < DEEPEST
    }


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def _value(module: str, annotation: str, depth: int) -> Any:
    block = re.search(r"\b(\w+Args)\b", annotation.replace("ArgsDict", ""))
    inner = _leaf(annotation)
    if block:
        inputs = importlib.import_module(f"{module}._inputs")
        inner = everything(module, getattr(inputs, block[1]), depth + 1)
    if "Sequence[" in annotation:
        return [inner]
    return {"key": inner} if "Mapping[" in annotation and not block else inner


def _leaf(annotation: str) -> Any:
    """A value of the class's own type; a text is a number too, but no word."""
    for name, value in (("bool", True), ("int", 1.0), ("float", 1.0)):
        if re.search(rf"\b{name}\b", annotation):
            return value
    return "1"


def arguments_of(kind: ResourceType) -> dict[str, Any]:
    _, module, name = kind.token.split(":")
    package = f"pulumi_gcp.{module.split('/')[0].lower()}"
    return everything(package, getattr(importlib.import_module(package), f"{name}Args"))


@pytest.mark.parametrize("token", DESCRIBED)
def test_every_input_of_the_genuine_provider_has_a_place_in_the_body(
    token: str,
) -> None:
    inputs = arguments_of(TYPES[token])
    assert len(inputs) > 1
    if TYPES[token].body_input:
        inputs[str(TYPES[token].body_input)] = "{}"
    found = bodies.refusals(TYPES[token], inputs)
    wrong = [each for each in found if not WORDED.search(each.allowed)]
    assert [str(each) for each in wrong] == []


@pytest.mark.parametrize("token", DESCRIBED)
def test_whatever_is_not_known_yet_is_never_refused(token: str) -> None:
    """Every block, list and leaf of every input, each unknown in its turn."""
    kind, inputs = TYPES[token], arguments_of(TYPES[token])
    if kind.body_input:
        inputs[str(kind.body_input)] = "{}"
    before = {(p.given, p.allowed) for p in bodies.refusals(kind, inputs)}
    for container, key in list(places(inputs, depth=0)):
        known, container[key] = container[key], UNKNOWN
        after = {(p.given, p.allowed) for p in bodies.refusals(kind, inputs)}
        container[key] = known
        assert after <= before, key


def places(value: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    if depth > NEAR:
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner, depth + 1)
