"""What one declared resource type looks like to Pulumi and to Google.

Property paths are dotted, with `[]` for the members of a list:
`template.containers[].envs`. `**.envs` means at any depth.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's mark for a value that is not known yet."""


class Operation(StrEnum):
    """Envelope of the answer to a change."""

    NONE = "none"
    """The resource itself."""
    LONG_RUNNING = "lro"
    """google.longrunning.Operation."""
    COMPUTE = "compute"
    """compute#operation."""
    SQL = "sql"
    """sql#operation."""


class Create(StrEnum):
    """How the new resource's name travels."""

    QUERY = "query"
    """POST to the collection with `?<id_param>=`."""
    BODY = "body"
    """POST to the collection, `name` in the body."""
    PUT = "put"
    """PUT to the resource."""
    SERVER = "server"
    """POST to the collection, the server draws the name."""
    ENABLE = "enable"
    """POST to `<resource>:enable`; there is no undoing it."""


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One declared type: the single place that knows its shape on both sides."""

    token: str
    """Pulumi type token."""
    api: str
    """Google API host."""
    path: str
    """Resource path with `{project}`, `{location}` and `{id}`."""
    source: str
    """Where the facts of this entry come from."""
    schema: str | None = None
    """Body of a creation in Google's discovery document of `api` and `version`; None
    where the package of documents has none.
    """
    id_input: str = "name"
    """Input that holds `{id}`."""
    create: Create = Create.QUERY
    id_param: str | None = None
    id_field: str = "name"
    """Field of the body that names the resource, with `Create.BODY`."""
    operation: Operation = Operation.NONE
    kind: str | None = None
    """`kind` of the body (compute, sql), or the proto message of a long-running answer.
    """
    update: str = "PATCH"
    """Method of a change in place."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Input path -> last name in Google's body; dotted where it goes into a block:
    `routingConfig.routingMode`.
    """
    wrap: frozenset[str] = frozenset()
    """Paths that are one object in Pulumi and a list in Google's body."""
    unwrap: frozenset[str] = frozenset()
    """Paths that are a list in Pulumi and one object in Google's body."""
    drop: frozenset[str] = frozenset()
    """Inputs that Google never sees: switches of the provider itself, and what only
    other requests or versions of the API know.
    """
    replace: frozenset[str] = frozenset()
    """Input paths whose change replaces the resource."""
    widens: frozenset[str] = frozenset()
    """Address ranges of `replace` that may grow in place, and only grow."""
    releases: frozenset[str] = frozenset()
    """Paths of `replace` that may be taken away in place: a replica is promoted."""
    ignore_removed: frozenset[str] = frozenset()
    """Inputs of JSON text in which a key that is only removed is no change (the
    provider suppresses it).
    """
    auto_id: Callable[[Json], str] | None = None
    """Makes `{id}` from the inputs when it is no input of its own."""
    body_input: str | None = None
    """Input whose JSON text is the whole body."""
    body: Callable[[Json], Json] | None = None
    """Last touch on the body made from the inputs."""
    defaults: Callable[[Json], None] | None = None
    """Fills in, in place, what Google's server adds to a body."""
    outputs: Callable[[Json, Json, str], Json] | None = None
    """(inputs, body, path) -> computed outputs besides the common ones."""
    runs: str | None = None
    """The real part behind it; None: declared, kept as state, not run."""

    def resource_path(self, inputs: Json, project: str) -> str:
        """Path of the resource that these inputs declare."""
        identity = (
            self.auto_id(inputs) if self.auto_id else inputs.get(self.id_input, "")
        )
        location = inputs.get("location") or inputs.get("region") or "global"
        values = {**inputs, "location": location, "id": identity}
        values["project"] = inputs.get("project") or project
        return re.sub(r"\{(\w+)\}", lambda m: str(values[m.group(1)]), self.path)

    @property
    def autoname(self) -> bool:
        """Whether the provider draws a missing name, as Google's own does."""
        return (
            self.id_input == "name"
            and self.auto_id is None
            and self.create is not Create.SERVER
        )

    @property
    def version(self) -> str:
        """What stands before the resource name in a path: `v2/`, `compute/v1/`."""
        start = re.search(r"projects/|services/|b/\{|billing", self.path)
        return self.path[: start.start()] if start else ""


@dataclass(frozen=True, kw_only=True)
class IamMemberType:
    """One binding of one member, kept in the policy of another resource."""

    token: str
    api: str
    policy: Callable[[Json, str], str]
    """(inputs, project) -> path of the resource whose policy holds it."""
    source: str
    read: tuple[str, str] = ("POST", ":getIamPolicy")
    """Method and suffix of the request that reads the policy."""
    write: tuple[str, str] = ("POST", ":setIamPolicy")
    bare: bool = False
    """Whether the policy is the body itself, not its field `policy`."""
    runs: str | None = None


def short_hash(*parts: object) -> str:
    """Seven hexadecimal digits, as the engine's own names end in."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:7]


def by_key(members: list[Json], key: str, *, keep: bool = False) -> Json:
    """A list in Pulumi that is a map in Google's body, by a field of its members."""
    return {
        member.get(key, ""): {k: v for k, v in member.items() if keep or k != key}
        for member in members
        if isinstance(member, dict)
    }


def visit(value: Any, path: Sequence[str], change: Callable[[Json, str], None]) -> None:
    """Call `change(container, key)` at every place that a dotted path names."""
    head, rest = path[0], path[1:]
    if head == "**":
        _visit_all(value, rest, change)
        return
    name = head.removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    if not rest:
        change(value, name)
    elif head.endswith("[]"):
        members = value[name]
        for member in members if isinstance(members, list) else ():
            visit(member, rest, change)
    else:
        visit(value[name], rest, change)


def _visit_all(
    value: Any, path: Sequence[str], change: Callable[[Json, str], None]
) -> None:
    members = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for member in list(members):
            _visit_all(member, path, change)
        visit(value, path, change)


def google_body(kind: ResourceType, inputs: Json) -> Json:
    """Google's request body for the inputs of a resource."""
    if kind.body_input:
        written: Json = json.loads(inputs[kind.body_input])
        return written
    body = {k: v for k, v in inputs.items() if k not in kind.drop and k != "__defaults"}
    body = copy.deepcopy(body)
    for path in kind.drop:
        if "." in path:
            visit(body, path.split("."), _remove)
    for path in kind.wrap:
        visit(body, path.split("."), _wrap)
    for path in kind.unwrap:
        visit(body, path.split("."), _unwrap)
    ordered = sorted(kind.rename.items(), key=lambda item: -item[0].count("."))
    for path, name in ordered:
        visit(body, path.split("."), _renamer(name))
    body = _integers(body)
    return kind.body(body) if kind.body else body


def _renamer(name: str) -> Callable[[Json, str], None]:
    *blocks, last = name.split(".")

    def rename(container: Json, key: str) -> None:
        value = container.pop(key)
        for block in blocks:
            container = container.setdefault(block, {})
        container[last] = value

    return rename


def _remove(container: Json, key: str) -> None:
    del container[key]


def _wrap(container: Json, key: str) -> None:
    if not isinstance(container[key], list):
        container[key] = [container[key]]


def _unwrap(container: Json, key: str) -> None:
    if isinstance(container[key], list):
        members = container.pop(key)
        if members:
            container[key] = members[0]


def _integers(value: Any) -> Any:
    """The engine sends every number as a float; Google's fields are integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {k: _integers(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_integers(v) for v in value]
    return value
