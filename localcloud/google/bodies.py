"""The inputs of a resource against what Google's API takes as its body."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import Any

from localcloud.google import documents, schema
from localcloud.google.documents import Schemas
from localcloud.google.schema import OPAQUE, Problem
from localcloud.types import resource_types
from localcloud.types.base import UNKNOWN, Json, ResourceType, google_body


def refusals(kind: ResourceType, inputs: Json) -> list[Problem]:
    """What Google would refuse of these inputs; places are paths of the inputs.

    A value with the engine's mark for what is not known yet is not judged. An empty
    answer for a type without a document says nothing.
    """
    if kind.schema is None:
        return []
    if kind.body_input and UNKNOWN in str(inputs.get(kind.body_input)):
        return []
    try:
        body = google_body(kind, inputs)
    except json.JSONDecodeError:
        return [_unreadable(kind)]
    except (AttributeError, KeyError, TypeError) as error:
        # What makes the body looks into blocks that are none, or are not there.
        return [_shapeless(kind, error)]
    return [_as_input(kind, each) for each in body_refusals(kind, _opaque(body))]


def body_refusals(kind: ResourceType, body: Any) -> list[Problem]:
    """What Google would refuse of the body of a creation; places are its own paths."""
    if kind.schema is None:
        return []
    return schema.problems(schemas(document(kind)), kind.schema, body)


def document(kind: ResourceType) -> str:
    """Name of the discovery document that describes a type."""
    return documents.document_name(kind.api, kind.version.strip("/").split("/")[-1])


@cache
def schemas(name: str) -> Schemas:
    """What bodies of the declared types of one API are made of."""
    return documents.reachable(documents.whole(name), _roots()[name])


def preload() -> None:
    """Read every document that a declared type needs, so that a fork has it."""
    for name in _roots():
        schemas(name)


@cache
def _roots() -> dict[str, list[str]]:
    """Schemas of declared types, by document."""
    found = defaultdict(list)
    for kind in resource_types():
        if kind.schema:
            found[document(kind)].append(kind.schema)
    return dict(found)


def _opaque(value: Any) -> Any:
    """The body with the engine's marks made into what is never judged."""
    if isinstance(value, str):
        return OPAQUE if UNKNOWN in value else value
    if isinstance(value, dict):
        return {k: _opaque(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_opaque(v) for v in value]
    return value


def _as_input(kind: ResourceType, problem: Problem) -> Problem:
    """A problem of the body under the path that its author wrote."""
    place = input_path(kind, problem.place)
    if kind.body_input:
        return replace(problem, place=f"{kind.body_input} {problem.place}".rstrip())
    if place == problem.place:
        return problem
    return replace(problem, place=f"{place} ({problem.place} at Google)")


def input_path(kind: ResourceType, place: str) -> str:
    """Path of the inputs that a path of the body comes from; itself where none is."""
    for path, name in sorted(kind.rename.items(), key=lambda item: item[0].count(".")):
        prefix, _, last = path.rpartition(".")
        before = r"(.*\.)?" if prefix == "**" else f"({_regex(prefix)}\\.)"
        found = re.match(f"{before if prefix else '()'}{_regex(name)}(?!\\w)", place)
        if found:
            place = f"{found[1] or ''}{last}{place[found.end() :]}"
    for path in kind.wrap:
        place = re.sub(rf"^({_regex(path)})\[0\]", r"\1", place)
    return place


def _regex(path: str) -> str:
    return re.escape(path).replace(r"\[\]", r"\[\d+\]")


def _unreadable(kind: ResourceType) -> Problem:
    return Problem(
        place=str(kind.body_input),
        given="no JSON",
        allowed="Google's body is read from it",
        remedy="write it with json.dumps",
    )


def _shapeless(kind: ResourceType, error: Exception) -> Problem:
    missing = isinstance(error, KeyError)
    return Problem(
        place=str(error.args[0]) if missing else "a block of the inputs",
        given="missing" if missing else "of another shape",
        allowed="no body can be made without it",
        remedy=f"give it as {kind.token} has it",
    )
