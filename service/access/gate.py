"""From the headers of a request to its caller."""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_to_bytes

from service.access.address import Failures, Network, client_address
from service.access.caller import (
    DEFAULT_TENANT,
    SCOPES,
    TENANT_SCOPES,
    Caller,
)
from service.access.records import KeyStore
from service.access.tickets import Tickets
from service.access.tokens import Tokens, looks_like_token
from service.contract import ServiceError
from service.contract.signing import KEY_PREFIX, sha256

Headers = Iterable[tuple[bytes, bytes]]
CHALLENGE = (b"www-authenticate", b'Bearer realm="meridian"')
"""Header of every 401."""
ROOT = "root"
OPEN = "open"
_IN_ADDRESS = re.compile(
    rb"(?:^|[&;])(?:x-)?(?:api[-_]?key|access_token|authorization)=|"
    rb"mk_[a-z0-9]{12}_|mr_[a-z0-9_-]{43}|"
    # Only where a word starts: else a long address is read once per letter.
    rb"(?<![a-z0-9_-])eyJ[a-z0-9_-]+\.[a-z0-9_-]+\.",
    re.IGNORECASE,
)
_MOST_FIELDS = 50
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOW = "send the header `Authorization: Bearer <key or token>` or `x-api-key: <key>`"


def new_root_key() -> tuple[str, str]:
    """(text, SHA-256 for the settings) of a root key."""
    text = f"mr_{secrets.token_urlsafe(32)}"
    return text, sha256(text)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How callers are told apart; without `required` everybody is let in."""

    required: bool = False
    root_sha256: str = field(default="", repr=False)
    """SHA-256 (hex) of the root key, empty: there is none."""
    address_header: bytes = b""
    proxies: tuple[Network, ...] = ()
    """Networks whose `x-forwarded-for` is believed."""
    open_tier: str = "standard"
    """Tier of whoever comes without a credential."""
    open_origins: tuple[str, ...] = ("*",)
    """Their web origins: without authentication pages are let in as all are."""

    def __post_init__(self) -> None:
        if self.root_sha256 and not _SHA256.fullmatch(self.root_sha256):
            raise ValueError(
                "The root key's SHA-256 is not 64 hexadecimal digits in lower case: "
                "set the digest, never the key."
            )


class Gate:
    """Tells who asks. `clock` gives Unix seconds."""

    def __init__(
        self,
        access: Access,
        clock: Callable[[], float],
        *,
        keys: KeyStore,
        tokens: Tokens | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        self._access = access
        self._clock = clock
        self._keys = keys
        self._tokens = tokens
        self._tickets = tickets
        self._failures = Failures(clock)
        self._open = Caller(
            tenant=DEFAULT_TENANT,
            scopes=TENANT_SCOPES,
            tier=access.open_tier,
            key=OPEN,
            origins=access.open_origins,
        )
        self._root = Caller(
            tenant=DEFAULT_TENANT, scopes=frozenset(SCOPES), tier="premium", key=ROOT
        )

    async def admit(
        self,
        headers: Headers,
        query: bytes,
        peer: str,
        *,
        ticket_allowed: bool = False,
    ) -> Caller:
        """The caller; raises `unauthenticated`, `bad_ticket`, `rate_limited`.

        What memory can tell is told at once. What needs a look elsewhere is limited
        for an address that keeps failing, so that one neighbour who guesses does not
        lock out those behind the same address whose keys are in use.
        """
        headers = list(headers)
        credential = _credential(headers)
        ticket = self._ticket(query, credential, ticket_allowed) if query else None
        if credential is None and ticket is None:
            return self._without()
        if credential is not None and (known := self._known(credential)) is not None:
            return known
        access = self._access
        address = client_address(headers, peer, access.proxies, access.address_header)
        self._refuse_guessing(address)
        try:
            return await (
                self._redeem(ticket)
                if credential is None
                else self._look_up(credential)
            )
        except ServiceError as error:
            if error.status == 401:
                # Looked at again: many may have been under way at once.
                self._refuse_guessing(address)
                self._failures.add(address)
            raise

    async def holds(self, caller: Caller) -> bool:
        """Whether a caller who was let in still would be.

        For long connections: asked every 10 s it ends those of a revoked key.
        """
        if caller.expired(self._clock()):
            return False
        if caller.key in (ROOT, OPEN) or caller.key.startswith("oidc-"):
            return True
        record = await self._keys.find(caller.key)
        return record is not None and record.revoked is None

    def _without(self) -> Caller:
        if self._access.required:
            raise ServiceError("unauthenticated", f"No credential is given: {_HOW}.")
        return self._open

    def _ticket(
        self, query: bytes, credential: str | None, allowed: bool
    ) -> str | None:
        if _IN_ADDRESS.search(unquote_to_bytes(query)):
            raise ServiceError(
                "unauthenticated",
                "A key or token stands in the address, which ends in logs: revoke it, "
                f"and {_HOW}; a browser's WebSocket or EventSource takes ?ticket=.",
            )
        if b"ticket" not in query:
            return None
        try:
            pairs = parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise ServiceError(
                "bad_request",
                f"The address has more than {_MOST_FIELDS} parameters: send fewer.",
            ) from None
        found = [value for name, value in pairs if name == "ticket"]
        if not found:
            return None
        if not allowed:
            raise ServiceError(
                "unauthenticated",
                f"A ticket opens a WebSocket or an EventSource only: here {_HOW}.",
            )
        if credential is not None or len(found) > 1:
            raise _several()
        return found[0]

    def _known(self, text: str) -> Caller | None:
        """The caller, as far as no look elsewhere is needed."""
        if text.startswith(KEY_PREFIX):
            return self._keys.known(text)
        if looks_like_token(text):
            return self._tokens.known(text) if self._tokens else None
        root = self._access.root_sha256
        if root and hmac.compare_digest(sha256(text), root):
            return self._root
        return None

    def _refuse_guessing(self, address: str) -> None:
        wait = self._failures.wait(address)
        if wait > 0:
            raise ServiceError(
                "rate_limited",
                f"{address} failed to authenticate too often: wait {wait:.0f} s and "
                "look at the key.",
                details={"retry_after": round(wait, 1)},
            )

    def _look_up(self, text: str) -> Awaitable[Caller]:
        if looks_like_token(text) and self._tokens and not text.startswith(KEY_PREFIX):
            return self._tokens.caller(text)
        return self._by_key(text)

    async def _by_key(self, text: str) -> Caller:
        caller = await self._keys.caller(text)
        if caller is None:
            # One sentence for all cases: which it is helps only who guesses.
            raise ServiceError(
                "unauthenticated",
                "The key is wrong, unknown, over or revoked: look at what is sent, or "
                "ask the tenant's key holder for a new one.",
            )
        return caller

    async def _redeem(self, ticket: str | None) -> Caller:
        if self._tickets is None or ticket is None:
            raise ServiceError("bad_ticket", f"No tickets are given here: {_HOW}.")
        caller = await self._tickets.redeem(ticket)
        if not await self.holds(caller):
            raise ServiceError(
                "bad_ticket", "The key that asked for the ticket is over or revoked."
            )
        return caller


def _several() -> ServiceError:
    return ServiceError(
        "unauthenticated", "Several credentials are given: send exactly one."
    )


def _credential(headers: list[tuple[bytes, bytes]]) -> str | None:
    """What stands in `Authorization` or `x-api-key`; None when neither is sent."""
    found = []
    for name, value in headers:
        lower = name.lower()
        if lower == b"x-api-key":
            found.append(value.strip())
        elif lower == b"authorization":
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() != b"bearer" or not rest.strip():
                raise ServiceError(
                    "unauthenticated", f"The Authorization header is no Bearer: {_HOW}."
                )
            found.append(rest.strip())
    if len(found) > 1:
        raise _several()
    # An empty header is a credential too, one that opens nothing.
    return found[0].decode("latin-1") if found else None
