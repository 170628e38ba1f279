"""Collections: created, listed, described, dropped."""

import asyncio
from typing import Any

from service.access.context import Context
from service.contract import ServiceError
from service.contract.requests import CreateCollection, Nothing, OneCollection
from service.log.commit import Pending
from service.log.database import GONE
from service.log.definition import Definition, Fields
from service.stream.instance import Instance

_FIXED = (
    "dimension",
    "metric",
    "element_type",
    "writes",
    "durability",
    "retention_seconds",
    "public",
)


class Collections:
    """Operations on collections."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def create(
        self, context: Context, request: CreateCollection
    ) -> dict[str, Any]:
        """Creates a collection, or answers what it is when it is the same."""
        most = self._instance.settings.limits.max_dimension
        if request.dimension > most:
            raise ServiceError(
                "out_of_range",
                f"body.dimension is {request.dimension}; allowed: 1 to {most}.",
            )
        tenant = context.caller.tenant
        known = await self._instance.reader.definition(tenant, request.name)
        if known is None:
            known = await self._create(tenant, request)
        for key in _FIXED:
            if getattr(known.fields, key) != getattr(request, key):
                raise ServiceError(
                    "immutable_field",
                    f"{request.name} exists with {key} {getattr(known.fields, key)}, "
                    f"{getattr(request, key)} given: {key} never changes; use "
                    "another name.",
                    details={"key": key},
                )
        self._instance.lanes.learn(known)
        return shown(known)

    async def _create(self, tenant: str, request: CreateCollection) -> Definition:
        instance = self._instance
        hub = instance.settings.hub
        fields = Fields(
            **{key: getattr(request, key) for key in _FIXED},
            home=hub if request.writes == "home" else "",
        )
        reader = instance.primary_reader
        try:
            dropped = await reader.dropped(tenant, request.name)
            # The same event until it is dropped: of two that create at once one wins.
            event = f"collection/{tenant}/{request.name}/{dropped}"
            one = Pending(
                event,
                request.name,
                "",
                "collection",
                None,
                fields.text(),
                tenant=tenant,
            )
            await self._commit(one, fields.durability)
            found = await reader.definition(tenant, request.name)
        except GONE as error:
            raise instance.primary_away(error) from None
        if found is None:
            raise ServiceError(
                "unavailable",
                f"{request.name} was dropped while it was created: create it again.",
                elsewhere=True,
            )
        return found

    async def _commit(self, pending: Pending, durability: str) -> None:
        pending.durability = durability
        self._instance.committer.submit([pending])
        await pending.done
        self._instance.metrics.writes.add(pending.op)

    async def every(self, context: Context, request: Nothing) -> dict[str, Any]:
        """All collections of the tenant."""
        reader = self._instance.reader
        found = await reader.definitions(context.caller.tenant)
        counts = await asyncio.gather(*(reader.count(d) for d in found))
        described = [
            shown(d) | {"count": n} for d, n in zip(found, counts, strict=True)
        ]
        return {"collections": described, "region": self._instance.settings.region}

    async def describe(
        self, context: Context, request: OneCollection
    ) -> dict[str, Any]:
        """A collection and how many items it has here."""
        definition = await self._instance.definition(context, request.collection)
        count = await self._instance.reader.count(definition)
        return shown(definition) | {"count": count}

    async def drop(self, context: Context, request: OneCollection) -> dict[str, Any]:
        """Drops a collection; what was written before is gone in every region."""
        definition = await self._instance.definition(context, request.collection)
        event = f"drop/{definition.tenant}/{definition.name}/{definition.at}"
        tenant, name = definition.key
        one = Pending(event, name, "", "drop", None, "{}", tenant=tenant)
        await self._commit(one, definition.fields.durability)
        self._instance.lanes.forget_definition(definition.key)
        return {"done": True, "region": self._instance.settings.region}


def shown(definition: Definition) -> dict[str, Any]:
    """The public shape of a collection."""
    fields = definition.fields
    made = {
        "name": definition.name,
        "score": "higher is nearer",
        "lane": definition.lane,
        **{key: getattr(fields, key) for key in _FIXED},
    }
    return made | ({"home": fields.home} if fields.home else {})
