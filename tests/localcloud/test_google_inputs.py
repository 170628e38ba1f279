"""Every input of Google's provider against the body that our entries make of it."""

from __future__ import annotations

import importlib
import inspect
import re
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
    inner: Any = UNKNOWN
    if block:
        inputs = importlib.import_module(f"{module}._inputs")
        inner = everything(module, getattr(inputs, block[1]), depth + 1)
    if "Sequence[" in annotation:
        return [inner]
    return {"key": UNKNOWN} if "Mapping[" in annotation and not block else inner


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
    assert [str(each) for each in bodies.refusals(TYPES[token], inputs)] == []
