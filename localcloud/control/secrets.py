"""Secret Manager versions: values encrypted at rest, never logged, never in a
resource's body.
"""

from __future__ import annotations

import base64
import time

from aiohttp import web

from localcloud.control import envelope
from localcloud.control.identity import Keys
from localcloud.control.store import Json, Store

API = "secretmanager.googleapis.com"
LIMIT_BYTES = 65_536
"""Largest payload (gcp.md 1.6)."""


class Secrets:
    """`addVersion` and `access` of declared secrets."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store, self._keys = store, keys

    def routes(self) -> list[web.RouteDef]:
        base = f"/{API}/v1/{{secret:projects/[^/]+/secrets/[^/:]+}}"
        return [
            web.post(f"{base}:addVersion", self.add),
            web.get(f"{base}/versions/{{number}}:access", self.access),
        ]

    async def add(self, request: web.Request) -> web.Response:
        secret = request.match_info["secret"]
        if not self._store.get(API, f"v1/{secret}"):
            return _error(envelope.not_found(f"Secret [{secret}] not found."))
        payload = (await request.json()).get("payload", {}).get("data", "")
        try:
            value = base64.b64decode(payload, validate=True)
        except ValueError:
            text = "payload.data is not base64"
            return _error(envelope.ApiError(400, "INVALID_ARGUMENT", text))
        if not value or len(value) > LIMIT_BYTES:
            text = (
                f"payload.data holds {len(value)} bytes: 1 to {LIMIT_BYTES} are allowed"
            )
            return _error(envelope.ApiError(400, "INVALID_ARGUMENT", text))
        sql = "SELECT coalesce(max(number), 0) + 1 FROM secret_version WHERE secret=?"
        number = self._store.db.execute(sql, (secret,)).fetchone()[0]
        row = (secret, number, self._keys.seal(value), "ENABLED", time.time())
        self._store.db.execute("INSERT INTO secret_version VALUES (?,?,?,?,?)", row)
        return web.json_response(_version(secret, number))

    async def access(self, request: web.Request) -> web.Response:
        secret, number = request.match_info["secret"], request.match_info["number"]
        sql = (
            "SELECT number, sealed FROM secret_version WHERE secret=? "
            "AND (number=? OR ?='latest') ORDER BY number DESC LIMIT 1"
        )
        found = self._store.db.execute(sql, (secret, number, number)).fetchone()
        if not found:
            text = f"Secret Version [{secret}/versions/{number}] not found."
            return _error(envelope.not_found(text))
        data = base64.b64encode(self._keys.unseal(found[1])).decode()
        name = f"{secret}/versions/{found[0]}"
        return web.json_response({"name": name, "payload": {"data": data}})


def _version(secret: str, number: int) -> Json:
    name = f"{secret}/versions/{number}"
    return {"name": name, "createTime": envelope.now(), "state": "ENABLED"}


def _error(error: envelope.ApiError) -> web.Response:
    return web.json_response(error.body, status=error.code)
