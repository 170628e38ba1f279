"""What every component shares: arguments, options of children, outputs, protection."""

import types
import typing
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import pulumi

from topology.catalogue import Durability

T = TypeVar("T")

Block = Any
"""Nested arguments of the provider as a plain mapping: half the cost of its classes.
A test holds every field against those classes."""


class Component(pulumi.ComponentResource):
    """A component whose annotated attributes are its outputs."""

    def __init__(
        self, token: str, name: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(token, name, None, opts)
        self.stem = name

    def child(self, **extra: Any) -> pulumi.ResourceOptions:
        """Options of a child: this parent and nothing inherited."""
        return pulumi.ResourceOptions(parent=self, **extra)

    def finish(self) -> None:
        """Register every annotated output; one that was not set is an error."""
        kind: Any = type(self)
        names = _output_names(kind)
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise AttributeError(
                f"{type(self).__name__} {self.stem}: outputs {', '.join(missing)} "
                "are annotated and were not set: set them before finish()"
            )
        self.register_outputs({name: getattr(self, name) for name in names})


def coerce(kind: type[T], given: T | Mapping[str, Any]) -> T:
    """Arguments as their dataclass.

    A package's consumer sends a plain mapping with floats for integers; both forms end
    up the same. Unknown keys are an error that names them.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"{kind.__name__}: {given!r} is neither that nor a mapping")
    hints = _hints(typing.cast(Any, kind))
    unknown = sorted(set(given) - set(hints))
    if unknown:
        known = ", ".join(sorted(hints))
        raise TypeError(
            f"{kind.__name__}: unknown arguments {', '.join(unknown)}: use {known}"
        )
    return kind(**{key: _rebuild(hints[key], value) for key, value in given.items()})


def after(value: Any, resources: Sequence[pulumi.Resource]) -> Any:
    """`value`, known only once the resources exist, so that it means "ready".

    URNs are joined, not ids: these are known in a preview, so the value stays known.
    """
    return pulumi.Output.all(value, *[r.urn for r in resources]).apply(_first)


@dataclass(frozen=True, kw_only=True)
class Protection:
    """The four layers against deletion, as one durability sets them."""

    engine: bool
    """Pulumi's `protect`."""
    policy: str
    """The provider's `deletion_policy`."""
    api: bool
    """Google's own deletion protection flags."""
    retain: bool
    """Pulumi's `retain_on_delete`."""

    def options(self) -> dict[str, Any]:
        """The layers that are resource options."""
        chosen = {"protect": self.engine, "retain_on_delete": self.retain}
        return {key: True for key, on in chosen.items() if on}


_PROTECTION = {
    Durability.EPHEMERAL: Protection(
        engine=False, policy="DELETE", api=False, retain=False
    ),
    Durability.GUARDED: Protection(
        engine=True, policy="PREVENT", api=True, retain=False
    ),
    Durability.SEALED: Protection(engine=True, policy="PREVENT", api=True, retain=True),
}


def protection(durability: Durability | None) -> Protection:
    """Layers for a durability; GUARDED where none is given."""
    return _PROTECTION[durability or Durability.GUARDED]


def _first(values: Sequence[Any]) -> Any:
    return values[0]


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Annotations as they stand: evaluating `pulumi.Input` fails on its own name."""
    return {field.name: field.type for field in fields(typing.cast(Any, kind))}


@cache
def _output_names(kind: type) -> tuple[str, ...]:
    return tuple(kind.__annotations__)


def _rebuild(hint: Any, value: Any) -> Any:
    """One argument in its annotated form."""
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        if value is None or _is_input(hint):
            return value
        hint = next(k for k in typing.get_args(hint) if k is not types.NoneType)
        return _rebuild(hint, value)
    if isinstance(value, pulumi.Output):
        return value
    if origin in {list, Sequence} and isinstance(value, Sequence):
        (inner,) = typing.get_args(hint)
        return [_rebuild(inner, item) for item in value]
    if origin in {dict, Mapping} and isinstance(value, Mapping):
        _, inner = typing.get_args(hint)
        return {key: _rebuild(inner, item) for key, item in value.items()}
    if is_dataclass(hint):
        return coerce(typing.cast(type, hint), value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint is int and isinstance(value, float):
        return _whole(value)
    return value


def _whole(value: float) -> int:
    if not value.is_integer():
        raise TypeError(f"{value} is not a whole number")
    return int(value)


def _is_input(hint: Any) -> bool:
    """Whether an annotation is `pulumi.Input[...]`, whose value passes untouched."""
    kinds = typing.get_args(hint)
    return any(typing.get_origin(kind) is Awaitable for kind in kinds)
