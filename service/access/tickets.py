"""Single-use tickets for what a browser opens without headers.

A page cannot send a key with a WebSocket or an EventSource, and an address ends in
logs and histories. A ticket may stand in an address: it is used up by the first
request and over after 30 s.
"""

import asyncio
import hashlib
import secrets
from typing import Any

import orjson
import redis.asyncio

from service.access.caller import Caller
from service.contract import ServiceError
from service.feed import AWAY

SECONDS = 30
SCOPES = frozenset({"read", "watch"})
"""The most a ticket may do."""
PATIENCE = 1.0
_FORM_LENGTH = len("mt_") + 43


def _key(text: str) -> str:
    # Whoever reads Redis finds no ticket that works.
    return f"ticket:{hashlib.sha256(text.encode()).hexdigest()}"


def _away(error: BaseException) -> ServiceError:
    return ServiceError(
        "unavailable",
        f"This region's Redis, where tickets are kept, is away "
        f"({type(error).__name__}): ask for a ticket in another region.",
        elsewhere=True,
    )


class Tickets:
    """Tickets of one region: they hold in the region that gave them."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def issue(self, caller: Caller) -> str:
        """A ticket for a caller; raises `forbidden` when it could open nothing."""
        scopes = caller.scopes & SCOPES
        if not scopes:
            caller.need("watch")
        text = f"mt_{secrets.token_urlsafe(32)}"
        body = orjson.dumps(
            {
                "tenant": caller.tenant,
                "scopes": sorted(scopes),
                "tier": caller.tier,
                "key": caller.key,
                "origins": caller.origins,
                "expires": caller.expires,
            }
        )
        await self._ask(self._client.set(_key(text), body, ex=SECONDS))
        return text

    async def redeem(self, text: str) -> Caller:
        """The caller of a ticket, which is used up; raises `bad_ticket`."""
        found = None
        if text.startswith("mt_") and len(text) == _FORM_LENGTH:
            found = await self._ask(self._client.getdel(_key(text)))
        if found is None:
            raise ServiceError(
                "bad_ticket",
                f"The ticket is unknown, used or older than {SECONDS} s: ask for a "
                "new one for every connection.",
            )
        fields = orjson.loads(found)
        fields["scopes"] = frozenset(fields["scopes"])
        fields["origins"] = tuple(fields["origins"])
        return Caller(**fields)

    async def _ask(self, command: Any) -> Any:
        try:
            return await asyncio.wait_for(command, PATIENCE)
        except AWAY as error:
            raise _away(error) from None
