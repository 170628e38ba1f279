"""Google's discovery documents, as `google-api-python-client` ships them.

A document is read once a process, and of it only the schemas stay that bodies of
declared types reach: Compute Engine's has five megabytes and a thousand schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

Json = dict[str, Any]
Schemas = Mapping[str, Json]
PACKAGE = "googleapiclient"
FOLDER = "discovery_cache/documents"
KEPT = frozenset(
    {
        "$ref",
        "additionalProperties",
        "enum",
        "format",
        "items",
        "pattern",
        "properties",
        "type",
    }
)
"""Keys that decide about a body; the rest is prose."""


class NoDocumentError(Exception):
    """An API or version that the package has no document of."""


def document_name(api: str, version: str) -> str:
    """Name of a document: (`run.googleapis.com`, `v2`) -> `run.v2`."""
    return f"{api.split('.')[0]}.{version}"


def has_document(name: str) -> bool:
    """Whether the package ships a document of this name."""
    return bool(_file(name).is_file())


def whole(name: str) -> Json:
    """A document as it is, methods included. Nothing keeps it: it may be large."""
    if not has_document(name):
        raise NoDocumentError(
            f"google-api-python-client has no discovery document {name}.json"
        )
    document: Json = orjson.loads(_file(name).read_bytes())
    return document


def reachable(document: Json, roots: Iterable[str]) -> Schemas:
    """The schemas that bodies of the given ones are made of, without prose."""
    every: Json = document["schemas"]
    found: dict[str, Json] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _pruned(every[name])
        waiting += _references(found[name])
    return found


def methods(document: Json) -> Iterator[Json]:
    """Every method of an API: `httpMethod`, `flatPath` or `path`, `request`."""
    yield from document.get("methods", {}).values()
    for resource in document.get("resources", {}).values():
        yield from methods(resource)


@dataclass(frozen=True)
class Request:
    """What a method takes."""

    schema: str
    """Schema of its body."""
    in_path: frozenset[str]
    """Fields that its path holds; clients repeat them in the body, and may."""


def request(document: Json, method: str, path: str) -> Request | None:
    """The request that an HTTP method and a path, with its version, stand for.

    None: the API has no such method, or one without a body.
    """
    base = document["servicePath"]
    for each in methods(document):
        if each["httpMethod"] != method or "request" not in each:
            continue
        if _pattern(base + each.get("flatPath", each["path"])).fullmatch(path):
            parameters = each.get("parameters", {}).items()
            named = {k for k, v in parameters if v["location"] == "path"}
            return Request(each["request"]["$ref"], frozenset(named))
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{\+?\w+\}", template)
    return re.compile("[^/:]+".join(map(re.escape, parts)))


def _file(name: str) -> Any:
    return files(PACKAGE).joinpath(FOLDER, f"{name}.json")


def _pruned(schema: Json) -> Json:
    """A schema, its own children included, with what decides alone."""
    kept = {key: value for key, value in schema.items() if key in KEPT}
    if "properties" in kept:
        kept["properties"] = {k: _pruned(v) for k, v in kept["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _pruned(kept[key])
    return kept


def _references(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"]
    for inner in schema.get("properties", {}).values():
        yield from _references(inner)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _references(schema[key])
