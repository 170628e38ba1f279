"""The neutral record of a planned resource, and its readers.

A resource is seen alike whether it was recorded from a program, planned by the engine
(`pulumi preview --json`) or read from a state (`pulumi stack export`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policy.field import Field, Opaque

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for a value that is not known yet. Source: pulumi's wire
format, `pulumi.runtime.rpc.UNKNOWN`, 3.272."""
SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key that marks a special value of the engine. Source: as above."""
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
MASKED = "[secret]"
"""What stands for a secret in `pulumi preview --json`. Source: tried, 3.255."""
DEEPEST = 60
"""Nesting at which a value is no longer read; Google's deepest block has twelve."""


class FormatError(ValueError):
    """A document that is neither a preview nor a state."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One planned resource."""

    urn: str
    """The engine's name of it: stack, project, chain of types, logical name."""
    token: str
    """Type, such as `gcp:redis/instance:Instance`."""
    name: str
    """Logical name."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """As the engine sees them: camel case, special values replaced by `Opaque`."""
    parent: str = ""
    """URN of the parent; empty for none."""
    provider: str = ""
    """Reference of its provider; empty where the source does not say."""
    depends_on: tuple[str, ...] = ()
    """URNs it waits for, for whatever reason."""
    property_depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """URNs that the value of an input comes from, by the input."""
    protect: bool = False
    """Pulumi's `protect`."""
    retain_on_delete: bool = False
    """Pulumi's `retain_on_delete`."""
    ignore_changes: tuple[str, ...] = ()
    """Inputs whose changes are left alone."""
    custom: bool = True
    """False for a component."""

    @property
    def root(self) -> Field:
        """Its inputs, as rules read them."""
        return Field(self.inputs)

    def at(self, path: str) -> Field:
        """The input below a dotted path."""
        return self.root.at(path)


def plain(value: Any, depth: int = 0) -> Any:
    """A value without the engine's marks: unknowns and secrets become `Opaque`."""
    if depth > DEEPEST or value == UNKNOWN_TEXT or type(value).__name__ == "Unknown":
        return Opaque.UNKNOWN
    if isinstance(value, Mapping):
        mark = value.get(SIGNATURE)
        if mark is not None:
            return _special(mark, value, depth)
        return {
            str(key): plain(inner, depth + 1)
            for key, inner in value.items()
            if not str(key).startswith("__")
        }
    if isinstance(value, list | tuple):
        return [plain(inner, depth + 1) for inner in value]
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> Any:
    """A reference with an unknown part is as good as unknown."""
    if value == MASKED:
        return Opaque.SECRET
    return Opaque.UNKNOWN if UNKNOWN_TEXT in value else value


def _special(mark: Any, value: Mapping[Any, Any], depth: int) -> Any:
    if mark == SECRET_SIGNATURE:
        return Opaque.SECRET
    if mark == OUTPUT_SIGNATURE:
        if value.get("secret"):
            return Opaque.SECRET
        return plain(value["value"], depth + 1) if "value" in value else Opaque.UNKNOWN
    return Opaque.UNKNOWN


def from_registrations(registrations: Iterable[Any]) -> list[Record]:
    """Records of what a program registered; anything with the attributes will do."""
    return [
        Record(
            urn=r.urn,
            token=r.token,
            name=r.name,
            inputs=_mapping(plain(r.inputs)),
            parent=r.parent,
            provider=r.provider,
            depends_on=tuple(r.depends_on),
            protect=r.protect,
            retain_on_delete=r.retain_on_delete,
            ignore_changes=tuple(r.ignore_changes),
            custom=r.custom,
        )
        for r in registrations
    ]


def from_preview(document: Any) -> list[Record]:
    """Records of `pulumi preview --json --show-sames`; what is deleted is left out."""
    steps = _list(document, "steps")
    if steps is None:
        raise FormatError(
            "the document has no `steps`: pass the output of `pulumi preview --json "
            "--show-sames`"
        )
    made: dict[str, Record] = {}
    for step in steps:
        state = step.get("newState") if isinstance(step, Mapping) else None
        if isinstance(state, Mapping) and step.get("op") not in _GONE:
            record = _from_resource(state)
            made[record.urn] = record
    return list(made.values())


_GONE = {"delete", "delete-replaced", "discard", "discard-replaced", "remove-pending"}


def from_state(document: Any) -> list[Record]:
    """Records of `pulumi stack export`."""
    deployment = document.get("deployment") if isinstance(document, Mapping) else None
    resources = _list(deployment, "resources")
    if resources is None:
        raise FormatError(
            "the document has no `deployment.resources`: pass the output of `pulumi "
            "stack export`"
        )
    return [
        _from_resource(resource)
        for resource in resources
        if isinstance(resource, Mapping) and not resource.get("delete")
    ]


def _from_resource(state: Mapping[str, Any]) -> Record:
    """A resource of the engine's checkpoint format, version 3."""
    urn = str(state.get("urn", ""))
    depends = state.get("propertyDependencies")
    return Record(
        urn=urn,
        token=str(state.get("type", "")),
        name=urn.rsplit("::", 1)[-1],
        inputs=_mapping(plain(state.get("inputs") or {})),
        parent=str(state.get("parent") or ""),
        provider=str(state.get("provider") or ""),
        depends_on=_texts(state.get("dependencies")),
        property_depends={
            str(key): _texts(urns)
            for key, urns in (depends if isinstance(depends, Mapping) else {}).items()
        },
        protect=bool(state.get("protect")),
        retain_on_delete=bool(state.get("retainOnDelete")),
        ignore_changes=_texts(state.get("ignoreChanges")),
        custom=bool(state.get("custom")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(document: Any, key: str) -> list[Any] | None:
    found = document.get(key) if isinstance(document, Mapping) else None
    return found if isinstance(found, list) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
