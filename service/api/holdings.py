"""What a tenant holds, compared with its quota before a write."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from service.log.definition import Definition
from service.log.writing import Write
from service.stream.instance import Instance

_FRESH = 5.0
"""Seconds a count is believed; what this instance wrote since is added."""


@dataclass(slots=True)
class _Held:
    items: int
    bytes: int
    at: float


class Holdings:
    """Counts of the tenants that have a quota; others cost nothing."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._held: dict[str, _Held] = {}

    async def check(self, definition: Definition, writes: Sequence[Write]) -> None:
        """Raises ServiceError `quota_exceeded` when writes do not fit.

        What replaces an item counts by what it adds. Of instances that write at once
        each counts its own, so a quota may be passed by what comes in within seconds.
        """
        tenant = definition.tenant
        quota = await self._instance.access.quotas.get(tenant)
        if quota.items is None and quota.bytes is None:
            return
        held = self._held.get(tenant)
        if held is None or time.monotonic() - held.at > _FRESH:
            items, size = await self._instance.reader.holdings(tenant)
            held = self._held[tenant] = _Held(items, size, time.monotonic())
        wanted = {w.item_id: len(w.vector or b"") + len(w.metadata) for w in writes}
        known = await self._instance.reader.sizes(definition, list(wanted))
        more = len(wanted) - len(known)
        grown = sum(wanted.values()) - sum(known.values())
        quota.check_items(held.items, more)
        quota.check_bytes(held.bytes, grown)
        held.items += more
        held.bytes += grown
