"""Web origins: whose pages may call, by CORS and at the start of a WebSocket.

CORS keeps a page from reading an answer; nothing of the kind keeps it from opening
a WebSocket, so there the service itself refuses.
"""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from service.access.caller import Caller
from service.contract import ServiceError
from service.contract.validate import shown

Headers = list[tuple[bytes, bytes]]
ANY = "*"
PREFLIGHT_SECONDS = 600
"""How long a browser may keep the answer to a preflight."""
MOST_ORIGINS = 32
"""Origins of one record."""
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_ALLOWED = (
    b"authorization, content-type, last-event-id, traceparent, x-api-key, "
    b"x-meridian-timeout-ms, x-request-id"
)
_EXPOSED = b"retry-after, x-meridian-region, x-meridian-retry, x-request-id"


def normal(origin: str) -> str | None:
    """An origin as scheme://host[:port] without a default port, None if it is none."""
    scheme, separator, rest = origin.strip().lower().partition("://")
    if not separator or scheme not in _PORTS:
        return None
    try:
        port = urlsplit(f"//{rest}").port
    except ValueError:
        return None
    host = rest if port is None else rest[: rest.rindex(":")]
    if not _HOST.fullmatch(host):
        return None
    plain = port is None or port == _PORTS[scheme]
    return f"{scheme}://{host}" if plain else f"{scheme}://{host}:{port}"


def checked_origins(origins: Iterable[str], where: str = "origins") -> tuple[str, ...]:
    """Origins for a record; raises ServiceError `out_of_range`."""
    given = [origins] if isinstance(origins, str) else list(origins)
    if len(given) > MOST_ORIGINS:
        raise ServiceError(
            "out_of_range",
            f"{where} has {len(given)} origins; at most {MOST_ORIGINS}: send fewer.",
        )
    found = []
    for origin in given:
        made = origin if origin == ANY else normal(origin)
        if made is None:
            raise ServiceError(
                "out_of_range",
                f"{where} holds {shown(origin)}: send scheme://host or "
                "scheme://host:port with http or https and no path, or *.",
            )
        found.append(made)
    return tuple(dict.fromkeys(found))


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = [value for key, value in headers if key.lower() == name]
    # Two of them are nobody's browser: joined they are no origin and are refused.
    return b",".join(found).decode("latin-1") if found else None


def allows(origins: Collection[str], origin: str) -> bool:
    """Whether a page of `origin` is among `origins` (scheme, host and port)."""
    return ANY in origins or (normal(origin) or "") in origins


def check_origin(caller: Caller, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises ServiceError `origin_refused` for a page that may not speak for them.

    A request without an Origin does not come from a page.
    """
    origin = _header(headers, b"origin")
    if origin is not None and not allows(caller.origins, origin):
        raise _refused(origin, f"is not among the origins of {caller.key}")


def cors_headers(
    origins: Collection[str], headers: Iterable[tuple[bytes, bytes]]
) -> Headers:
    """What an answer says so that an allowed page may read it.

    `origins` are the caller's; for a refusal before there is a caller, all known
    ones. No cookie is ever used, so credentials are not allowed by name.
    """
    origin = _header(headers, b"origin")
    if origin is None:
        return []
    vary = (b"vary", b"origin")
    if not allows(origins, origin):
        return [vary]
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        vary,
    ]


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a browser asks before it asks."""
    wanted = b"access-control-request-method"
    return method == "OPTIONS" and any(key.lower() == wanted for key, _ in headers)


def preflight(
    known: Collection[str], headers: Iterable[tuple[bytes, bytes]]
) -> Headers:
    """Headers of the answer (204) to a preflight; raises `origin_refused`.

    A preflight carries no key, so whoever's origin it is may go on to ask; the
    request itself is judged by the caller's own origins.
    """
    headers = list(headers)
    origin = _header(headers, b"origin")
    if origin is None or not allows(known, origin):
        raise _refused(origin or "", "is not an origin of any key")
    return [
        *cors_headers(known, headers),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _ALLOWED),
        (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
    ]


def _refused(origin: str, why: str) -> ServiceError:
    return ServiceError(
        "origin_refused",
        f"The page's origin {shown(origin)} {why}: add it to the key's origins as "
        "scheme://host[:port].",
        details={"given": origin[:200]},
    )
