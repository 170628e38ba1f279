"""Who a process is: the metadata server, access tokens, and the keys they derive from.

Every token and AUTH string is a keyed hash of a name under the world's key, so none is
stored and each is the same after
a restart. The key lies in a file that only its owner reads.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from aiohttp import web
from cryptography.fernet import Fernet

TOKEN_SECONDS = 3600


class Keys:
    """Secrets of one world."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        file = folder / "world.key"
        if not file.exists():
            scratch = folder / "world.key.new"
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(secrets.token_bytes(32))
            os.replace(scratch, file)
        self._key = file.read_bytes()
        sealing = base64.urlsafe_b64encode(self._derive("seal"))
        self._fernet = Fernet(sealing)

    def __repr__(self) -> str:
        return "Keys(***)"

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)

    def token(self, account: str) -> str:
        """Access token of a service account."""
        raw = self._derive(f"token:{account}")
        return "local." + base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def password(self, purpose: str) -> str:
        """Password of a part, for instance a Redis AUTH string."""
        return self._derive(f"password:{purpose}").hex()

    def seal(self, value: bytes) -> bytes:
        """Encrypt for storage."""
        return self._fernet.encrypt(value)

    def unseal(self, sealed: bytes) -> bytes:
        return self._fernet.decrypt(sealed)


def metadata_routes(keys: Keys) -> list[web.RouteDef]:
    """The part of the metadata server that Google's libraries ask."""

    async def token(request: web.Request) -> web.Response:
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403, text="Metadata-Flavor: Google is missing")
        value = keys.token(request.match_info["account"])
        answer = {
            "access_token": value,
            "expires_in": TOKEN_SECONDS,
            "token_type": "Bearer",
        }
        return web.json_response(answer, headers={"Metadata-Flavor": "Google"})

    async def email(request: web.Request) -> web.Response:
        account = request.match_info["account"]
        return web.Response(text=account, headers={"Metadata-Flavor": "Google"})

    base = "/identity/{account}/computeMetadata/v1/instance/service-accounts/default"
    return [web.get(f"{base}/token", token), web.get(f"{base}/email", email)]
