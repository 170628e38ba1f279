"""Keys, tickets, quotas and knobs: who may ask, and how much."""

from typing import Any

from service.access.context import Context
from service.access.quotas import Quota
from service.access.tickets import SECONDS
from service.contract.requests import (
    CreateKey,
    Nothing,
    OneKey,
    OneTenant,
    RotateKey,
    SetQuota,
    TurnKnob,
)
from service.stream.instance import Instance


class Tenants:
    """Operations on what belongs to a tenant, and on the service's own values."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._access = instance.access

    async def create_key(self, context: Context, request: CreateKey) -> dict[str, Any]:
        """A new key; its text is shown this once."""
        tenant = request.tenant or context.caller.tenant
        scopes = [str(s) for s in request.scopes]
        context.caller.need_grant(tenant, scopes, request.tier)
        text = await self._access.keys.create(
            tenant, scopes, request.tier, request.origins or (), request.note or ""
        )
        return {"id": text.split("_")[1], "key": text}

    async def rotate_key(self, context: Context, request: RotateKey) -> dict[str, Any]:
        """A new text for a key; the old one goes on for the overlap."""
        await self._own(context, request.id)
        text = await self._access.keys.rotate(request.id, request.overlap_seconds)
        return {"id": request.id, "key": text}

    async def revoke_key(self, context: Context, request: OneKey) -> dict[str, Any]:
        """Ends a key in every region within 30 s."""
        await self._own(context, request.id)
        await self._access.keys.revoke(request.id)
        return {"done": True, "region": self._instance.settings.region}

    async def list_keys(self, context: Context, request: OneTenant) -> dict[str, Any]:
        """A tenant's keys, without secrets."""
        tenant = request.tenant or context.caller.tenant
        context.caller.need_tenant(tenant)
        return {"keys": await self._access.keys.list(tenant)}

    async def _own(self, context: Context, name: str) -> None:
        record = await self._access.keys.get(name)
        context.caller.need_grant(record.tenant, record.scopes, record.tier)

    async def issue_ticket(self, context: Context, request: Nothing) -> dict[str, Any]:
        """A ticket for a browser's WebSocket or EventSource."""
        ticket = await self._access.tickets.issue(context.caller)
        return {"ticket": ticket, "seconds": SECONDS}

    async def show_quota(self, context: Context, request: OneTenant) -> dict[str, Any]:
        """What a tenant may hold."""
        tenant = request.tenant or context.caller.tenant
        context.caller.need_tenant(tenant)
        return (await self._access.quotas.get(tenant)).shown()

    async def set_quota(self, context: Context, request: SetQuota) -> dict[str, Any]:
        """Gives a tenant a quota."""
        quota = Quota(streams=request.streams, items=request.items, bytes=request.bytes)
        await self._access.quotas.set(request.tenant, quota)
        return quota.shown()

    async def list_knobs(self, context: Context, request: Nothing) -> dict[str, Any]:
        """Values that are turned at run time."""
        return {"value": self._access.knobs.values()}

    async def turn_knob(self, context: Context, request: TurnKnob) -> dict[str, Any]:
        """Turns a value in all instances of the region, for a while."""
        await self._access.knobs.set(request.name, request.value, request.seconds)
        return {"value": self._access.knobs.values()}
