"""The public keys of one token issuer, fetched from its JWKS address."""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.access.caller import TENANT_SCOPES
from service.contract import ServiceError
from service.telemetry import log

FRESH = 300.0
"""Seconds fetched keys are believed without asking."""
STALE = 3600.0
"""Seconds they are believed while the issuer does not answer."""
PAUSE = 10.0
"""Least seconds between two fetches, whatever tokens come in."""
PATIENCE = 5.0
MOST_BYTES = 256 * 1024
MOST_KEYS = 64
ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Signatures believed. `none` has no key; HMAC would take the public key for one."""
_CURVES = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Somebody whose tokens are believed, and for what."""

    issuer: str
    """Exactly the claim `iss`."""
    audience: str
    jwks_url: str
    """https, or http on loopback."""
    tenant_claim: str = "tenant"
    scopes_claim: str = "scope"
    """A list, or words with spaces between; unknown words are passed over."""
    tier_claim: str = "tier"
    default_tier: str = "standard"
    origins: tuple[str, ...] = ()
    """Web origins of its callers."""
    tenants: tuple[str, ...] | None = None
    """Tenants it may speak for, None: all."""
    scopes: frozenset[str] = TENANT_SCOPES
    """The most that its tokens may carry."""
    require_nbf: bool = True
    """Turn it off for issuers that write no `nbf`, as many do."""

    def __post_init__(self) -> None:
        for name in ("issuer", "audience"):
            if not getattr(self, name):
                raise ValueError(f"{name} of a token issuer is empty: set it.")
        address = urlsplit(self.jwks_url)
        if address.scheme == "https" and address.hostname:
            return
        if address.scheme != "http" or not _is_loopback(address.hostname or ""):
            raise ValueError(
                f"jwks_url is {self.jwks_url!r}: use https, or http on loopback."
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and the one algorithm it is for."""

    key: Any
    algorithm: str


class Jwks:
    """Keys of an issuer by their id. `clock` gives seconds."""

    def __init__(self, issuer: Issuer, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> PublicKey | None:
        """A key, None when the issuer has none of that id; raises `unavailable`."""
        fetching = None
        if self._age(self._fetched) >= FRESH or kid not in self._keys:
            fetching = self._refresh()
        # A key that is believed still is used at once: its issuer may be slow.
        if fetching and not (kid in self._keys and self._age(self._fetched) < STALE):
            await asyncio.shield(fetching)
        if self._age(self._fetched) >= STALE:
            raise ServiceError(
                "unavailable",
                f"The keys of {self._issuer.issuer} cannot be read from its jwks_url: "
                "try again, or use an API key.",
            )
        return self._keys.get(kid)

    def _age(self, moment: float | None) -> float:
        if moment is None:
            return float("inf")
        age = self._clock() - moment
        return age if age >= 0 else float("inf")

    def _refresh(self) -> "asyncio.Task[None] | None":
        """The fetch under way, None when the last one is too recent."""
        if self._fetching is None and self._age(self._tried) >= PAUSE:
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched_now)
        return self._fetching

    def _fetched_now(self, _: "asyncio.Task[None]") -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            self._keys = read_keys(await self._body())
            self._fetched = self._clock()
        except (aiohttp.ClientError, OSError, ValueError) as e:
            issuer, reason = self._issuer.issuer, f"{type(e).__name__}: {e}"
            log("WARNING", "JWKS not read", issuer=issuer, error=reason[:200])

    async def _body(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        # A session a fetch: once in five minutes, and no loop is kept.
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._issuer.jwks_url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"status {answer.status}, 200 expected")
            body = bytearray()
            async for chunk in answer.content.iter_chunked(16_384):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
            return bytes(body)


def read_keys(body: bytes) -> dict[str, PublicKey]:
    """The usable keys of a JWKS; raises ValueError when it is no JWKS."""
    document = orjson.loads(body)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no JSON object with a list `keys`")
    found = {}
    for given in keys[:MOST_KEYS]:
        key = _usable(given) if isinstance(given, dict) else None
        if key is not None:
            found[given["kid"]] = key
    return found


def _usable(given: dict[str, Any]) -> PublicKey | None:
    """A key for signatures of ours; one for anything else is passed over."""
    kind = (given.get("kty"), given.get("crv"))
    algorithm = "RS256" if kind[0] == "RSA" else _CURVES.get(kind)  # type: ignore[arg-type]
    if algorithm is None or not isinstance(given.get("kid"), str):
        return None
    if given.get("use", "sig") != "sig" or given.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(given, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        return None
    # Private keys have no business there, and would sign rather than verify.
    return PublicKey(key, algorithm) if hasattr(key, "verify") else None
