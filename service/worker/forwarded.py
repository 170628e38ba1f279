"""Writes that instances of other hubs send to the home of a collection (ADR 0020)."""

from collections.abc import Awaitable, Callable
from typing import Any

from service.contract import ServiceError
from service.log.carried import COMMIT, HEAD, Row, answered, refusal, unpacked
from service.log.change import START
from service.log.commit import PrimaryAway
from service.log.definition import Definition
from service.log.reader import Reader
from service.log.writing import Outcome, Writing
from service.tracing import read_parent


class Forwarded:
    """Commits them here, or refuses them: nothing is sent on to another hub."""

    def __init__(self, hub: str, reader: Reader, writing: Writing) -> None:
        self._hub = hub
        self._reader = reader
        self._writing = writing

    async def answer(self, number: str, question: str, params: list[Any]) -> list[Row]:
        """Rows that answer a question of that id, which may come twice.

        Raises KeyError, ValueError or TypeError of what is not understood, and what
        reading the database raises.
        """
        works: dict[str, Callable[..., Awaitable[list[Row]]]]
        works = {COMMIT: self._commit, HEAD: self._head}
        work = works[question]
        try:
            return await work(number, *params)
        except ServiceError as error:
            return [{"refused": refusal(_told(self._hub, error))}]

    async def _commit(
        self,
        number: str,
        tenant: str,
        name: str,
        born: int,
        place: str | None,
        given: list[Any],
        *_: Any,
    ) -> list[Row]:
        writes = [unpacked(one) for one in given]
        definition = await self._definition(tenant, name, born)
        request = read_parent(place)
        outcomes = await self._writing.run(definition, writes, number, request)
        return [_row(self._hub, outcome) for outcome in outcomes]

    async def _head(
        self, _: str, tenant: str, name: str, born: int, *__: Any
    ) -> list[Row]:
        definition = await self._definition(tenant, name, born)
        lane = definition.lane
        reached = await self._reader.positions(lane)
        return [{"position": [*reached.get((self._hub, lane), START)]}]

    async def _definition(self, tenant: str, name: str, born: int) -> Definition:
        """The collection that the asker means; it is written here."""
        found = await self._reader.definition(tenant, name)
        if found is None:
            raise ServiceError(
                "unknown_collection",
                f"There is no collection {name!r} in {self._hub}, its home: create it "
                "with POST /v1/collections.",
            )
        if found.at != born or found.fields.home != self._hub:
            raise ServiceError(
                "unavailable",
                f"{name} was dropped and created anew, and this region has yet to "
                "hear of it: send it again.",
                details={"retry_after": 1.0},
            )
        return found


def _told(hub: str, error: ServiceError) -> ServiceError:
    """To another hub's caller a primary that is away is a home that is away."""
    if not isinstance(error, PrimaryAway):
        return error
    return ServiceError("home_away", error.message, details={"home": hub})


def _row(hub: str, outcome: Outcome) -> Row:
    return answered(
        _told(hub, outcome) if isinstance(outcome, ServiceError) else outcome
    )
