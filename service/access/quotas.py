"""What a tenant may hold: streams, items and bytes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from service.access.caller import checked_tenant
from service.access.system import FRESH, Memory, SystemItems
from service.contract import ServiceError
from service.contract.validate import shown
from service.log.commit import Committer
from service.log.reader import Reader
from service.single_flight import SingleFlight

COLLECTION = "quotas"
_MOST = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The most a tenant may hold; None is no bound."""

    streams: int | None = None
    """Standing queries at once, over all connections of an instance's region."""
    items: int | None = None
    bytes: int | None = None
    """Of vectors and metadata."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and 0 <= value <= _MOST):
                raise ServiceError(
                    "out_of_range",
                    f"quota {each.name} is {shown(value)}; send a whole number from 0 "
                    "up, or null for no bound.",
                )

    def check_streams(self, held: int, more: int = 1) -> None:
        """Raises ServiceError `quota_exceeded` when `more` do not fit."""
        _check("streams", held, more, self.streams, "drop some")

    def check_items(self, held: int, more: int = 1) -> None:
        """Raises ServiceError `quota_exceeded` when `more` do not fit."""
        _check("items", held, more, self.items, "delete some")

    def check_bytes(self, held: int, more: int) -> None:
        """Raises ServiceError `quota_exceeded` when `more` do not fit."""
        _check("bytes", held, more, self.bytes, "delete items")

    def shown(self) -> dict[str, Any]:
        """The public shape."""
        return asdict(self)


def _check(what: str, held: int, more: int, allowed: int | None, remedy: str) -> None:
    # What adds nothing always fits: a quota that was lowered blocks no update.
    if allowed is None or more <= 0 or held + more <= allowed:
        return
    raise ServiceError(
        "quota_exceeded",
        f"The tenant holds {held} {what} and asks for {more} more; its quota is "
        f"{allowed}: {remedy}, or ask an operator for a higher quota.",
        details={"what": what, "given": held + more, "allowed": allowed},
    )


class QuotaStore:
    """The quotas of all tenants. `clock` gives Unix seconds."""

    def __init__(
        self,
        reader: Reader,
        committer: Committer,
        clock: Callable[[], float],
        default: Quota | None = None,
    ) -> None:
        self._items = SystemItems(reader, committer, clock, COLLECTION)
        self._kept: Memory[Quota] = Memory(clock)
        self._default = default or Quota()
        self._reading = SingleFlight(self._look_up)

    async def get(self, tenant: str) -> Quota:
        """A tenant's quota, at most FRESH seconds old; the default when none is set."""
        known = self._kept.get(tenant, FRESH)
        if known is not None:
            return known
        found = await self._reading.get(checked_tenant(tenant))
        assert found is not None  # the default where none is set
        return found

    async def _look_up(self, tenant: str) -> Quota:
        stored = await self._items.read(tenant)
        found = self._default if stored is None else Quota(**stored["quota"])
        self._kept.put(tenant, found)
        return found

    async def set(self, tenant: str, quota: Quota) -> None:
        """Gives a tenant a quota, in every region within seconds."""
        record = {"tenant": checked_tenant(tenant), "quota": quota.shown()}
        await self._items.store({tenant: record})
        self._kept.put(tenant, quota)
