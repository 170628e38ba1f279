"""Items that caches may keep: of public collections, and by signed addresses."""

import time
from email.utils import formatdate
from typing import Any

import orjson

from service.access.caller import checked_tenant
from service.api.reads import shown
from service.contract import ServiceError
from service.contract.signing import MOST_SECONDS, Address, read_address
from service.stream.instance import Instance
from service.transport.http import JSON, Header, Http, Receive, Scope, Send, id_of

FRESH_SECONDS = 60
"""How long a cache may answer without asking: a change is seen everywhere after it."""
_TIER = "free"


class Public:
    """Answers without a caller; every refusal says the same."""

    def __init__(self, http: Http, instance: Instance) -> None:
        self._http = http
        self._instance = instance

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One item, or that the cache's copy is still right."""
        self._instance.access.overload.admit(_TIER)
        address = read_address(scope["path"])
        found = await self._find(address) if address else None
        if address is None or found is None:
            raise ServiceError(
                "not_found",
                "Nothing that is public is at this address, or its signature is over.",
            )
        seconds = FRESH_SECONDS
        if address.key:
            seconds = max(0, min(seconds, address.expires - int(time.time())))
        etag = f'"{found["at"]:x}"'.encode()
        extra: list[Header] = [
            (b"date", formatdate(usegmt=True).encode()),  # a cache counts from it
            (b"etag", etag),
            (b"cache-control", f"public, max-age={seconds}".encode()),
            (b"access-control-allow-origin", b"*"),
        ]
        same = _known(scope, etag)
        data = b"" if same else orjson.dumps(shown(found))
        status = 304 if same else 200
        self._instance.metrics.answered("public", status)
        await self._http.answer(send, status, data, id_of(scope), extra, JSON)

    async def _find(self, address: Address) -> Any:
        """The item's row; None of whatever may not be told."""
        tenant = await self._tenant(address)
        if tenant is None:
            return None
        try:
            # Not the primary, as for callers: who is nobody must not reach it.
            key = (checked_tenant(tenant), address.collection)
            definition = await self._instance.lanes.definition(key)
        except ServiceError as error:
            if error.status < 500:
                return None
            raise
        if not (address.key or definition.fields.public):
            return None
        reader = self._instance.reader
        return (await reader.some(definition, [address.item])).get(address.item)

    async def _tenant(self, address: Address) -> str | None:
        """Whose item it is; None where a signature does not hold, or no more."""
        if not address.key:
            return address.tenant
        now = time.time()
        if not now < address.expires <= now + MOST_SECONDS:
            return None
        record = await self._instance.access.keys.find(address.key)
        return record.tenant if record and record.signed(address, now) else None


def _known(scope: Scope, etag: bytes) -> bool:
    """Whether the asker has this version already."""
    for key, value in scope["headers"]:
        if key == b"if-none-match":
            tags = [tag.strip().removeprefix(b"W/") for tag in value.split(b",")]
            return etag in tags or b"*" in tags
    return False
