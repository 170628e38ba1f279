"""One entry per declared resource type, by Pulumi token."""

from __future__ import annotations

from functools import cache

from localcloud.types import (
    certificates,
    compute,
    delivery,
    foundation,
    iam,
    messaging,
    monitoring,
    run,
    sql,
    storage,
    stores,
)
from localcloud.types.base import IamMemberType, ResourceType

MODULES = (
    certificates,
    compute,
    delivery,
    foundation,
    iam,
    messaging,
    monitoring,
    run,
    sql,
    storage,
    stores,
)


class UnknownTypeError(Exception):
    """A type that `localcloud/types/` has no entry for."""


@cache
def registry() -> dict[str, ResourceType | IamMemberType]:
    """All entries by token."""
    return {kind.token: kind for module in MODULES for kind in module.TYPES}


def resource_types() -> list[ResourceType]:
    """Entries of resources proper, without the members of policies."""
    return [k for k in registry().values() if isinstance(k, ResourceType)]


def lookup(token: str) -> ResourceType | IamMemberType:
    """The entry of a token."""
    try:
        return registry()[token]
    except KeyError:
        raise UnknownTypeError(
            f"{token} is not known to the local provider: add an entry to "
            f"localcloud/types/ ({len(registry())} types are there)"
        ) from None
