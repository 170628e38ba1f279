"""Bearer tokens (JWT) of configured OIDC issuers."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jwt
import orjson

from service.access.caller import SCOPES, TIERS, Caller, checked_tenant, checked_tier
from service.access.jwks import ALGORITHMS, Issuer, Jwks, PublicKey
from service.access.origins import checked_origins
from service.access.system import Memory
from service.contract import ServiceError

LEEWAY = 30.0
"""Seconds that the clocks of issuer and service may be apart."""
REMEMBERED = 60.0
"""Seconds a verified token is believed without verifying it again."""
MOST_BYTES = 8192
"""Longest token."""
_MOST_REMEMBERED = 5000
# The times are judged here, by the clock that was given.
_OPTIONS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


def looks_like_token(text: str) -> bool:
    """Whether a credential has the three parts of a JWT."""
    return text.count(".") == 2


def read_issuers(text: str) -> tuple[Issuer, ...]:
    """Issuers from JSON: a list of objects with the fields of `Issuer`.

    Raises ValueError naming the entry and what is wrong.
    """
    entries = orjson.loads(text or "[]")
    if not isinstance(entries, list):
        raise ValueError("token issuers: send a JSON list of objects.")
    return tuple(_read_issuer(n, entry) for n, entry in enumerate(entries))


def _read_issuer(n: int, entry: Any) -> Issuer:
    known = Issuer.__dataclass_fields__
    if not isinstance(entry, dict) or not entry.keys() <= known.keys():
        raise ValueError(
            f"token issuer {n}: send an object with the keys {', '.join(known)}."
        )
    given = dict(entry)
    try:
        if "scopes" in given:
            given["scopes"] = frozenset(given["scopes"])
        if given.get("tenants") is not None and "tenants" in given:
            given["tenants"] = tuple(checked_tenant(t) for t in given["tenants"])
        given["origins"] = checked_origins(given.get("origins", ()))
        checked_tier(given.get("default_tier", "standard"))
        made = Issuer(**given)
    except (TypeError, ServiceError, ValueError) as error:
        raise ValueError(f"token issuer {n}: {error}") from None
    if unknown := made.scopes - set(SCOPES):
        raise ValueError(
            f"token issuer {n}: scopes {sorted(unknown)}; allowed: {', '.join(SCOPES)}."
        )
    return made


def refused(reason: str) -> ServiceError:
    """The refusal of a token; `reason` holds nothing of its text."""
    return ServiceError(
        "unauthenticated",
        f"The bearer token is refused: {reason}. Ask its issuer for a new one.",
    )


class Tokens:
    """Verifies tokens. `clock` gives Unix seconds."""

    def __init__(self, issuers: Iterable[Issuer], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._issuers = {i.issuer: (i, Jwks(i, clock)) for i in issuers}
        self._seen: Memory[Caller] = Memory(clock, _MOST_REMEMBERED)

    def known(self, text: str) -> Caller | None:
        """The caller of a token that was verified a moment ago and still holds."""
        caller = self._seen.get(_digest(text), REMEMBERED)
        now = self._clock()
        return None if caller is None or caller.expired(now) else caller

    async def caller(self, text: str) -> Caller:
        """The caller of a token; raises `unauthenticated`, or `unavailable`."""
        if (known := self.known(text)) is not None:
            return known
        if len(text) > MOST_BYTES:
            raise refused(f"it has {len(text)} bytes, at most {MOST_BYTES} allowed")
        kid, algorithm, claimed = _unverified(text)
        issuer, jwks = self._issuers.get(claimed, (None, None))
        if issuer is None or jwks is None:
            raise refused("its issuer (iss) is not one that is configured")
        key = await jwks.key(kid)
        if key is None or key.algorithm != algorithm:
            raise refused("its issuer has no such key (kid) for its algorithm")
        claims = _verified(text, issuer, key)
        self._check_times(claims, issuer)
        caller = _caller(claims, issuer)
        self._seen.put(_digest(text), caller)
        return caller

    def _check_times(self, claims: Mapping[str, Any], issuer: Issuer) -> None:
        now = self._clock()
        if _moment(claims, "exp") + LEEWAY <= now:
            raise refused("it has expired (exp)")
        if "nbf" not in claims and not issuer.require_nbf:
            return
        if _moment(claims, "nbf") - LEEWAY > now:
            raise refused("it is not valid yet (nbf)")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unverified(text: str) -> tuple[str, str, str]:
    """(kid, algorithm, issuer) as the token says, which only choose the key."""
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        raise refused("it is no JSON Web Token") from None
    algorithm, kid, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if algorithm not in ALGORITHMS:
        raise refused(f"its algorithm is none of {', '.join(ALGORITHMS)}")
    if not isinstance(kid, str) or not isinstance(issuer, str):
        raise refused("it names no key (kid) or no issuer (iss)")
    return kid, algorithm, issuer


def _verified(text: str, issuer: Issuer, key: PublicKey) -> dict[str, Any]:
    required = ["exp", "aud", "iss", *(["nbf"] if issuer.require_nbf else [])]
    try:
        return jwt.decode(
            text,
            key.key,
            algorithms=[key.algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            options={**_OPTIONS, "require": required},  # type: ignore[arg-type]
        )
    except jwt.MissingRequiredClaimError as error:
        raise refused(f"it has no {error.claim}") from None
    except jwt.InvalidAudienceError:
        raise refused("it is for another audience (aud)") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise refused("its signature or its form is wrong") from None


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"its {name} is no number")
    if not math.isfinite(value):
        raise refused(f"its {name} is not finite")
    return float(value)


def _caller(claims: Mapping[str, Any], issuer: Issuer) -> Caller:
    tenant = claims.get(issuer.tenant_claim)
    tier = claims.get(issuer.tier_claim, issuer.default_tier)
    scopes = claims.get(issuer.scopes_claim, "")
    words = scopes.split() if isinstance(scopes, str) else scopes
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise refused(f"its {issuer.scopes_claim} is neither words nor a list of them")
    if issuer.tenants is not None and tenant not in issuer.tenants:
        raise refused("its issuer does not speak for its tenant")
    if tier not in TIERS:
        raise refused(f"its {issuer.tier_claim} is none of {', '.join(TIERS)}")
    try:
        # A subject may be a mail address, so that logs get a digest of it.
        subject = _digest(f"{issuer.issuer} {claims.get('sub', '')}")[:12]
        return Caller(
            tenant=tenant,  # type: ignore[arg-type]  # checked by Caller
            scopes=frozenset(words) & issuer.scopes,
            tier=tier,
            key=f"oidc-{subject}",
            origins=issuer.origins,
            expires=_moment(claims, "exp") + LEEWAY,
        )
    except ServiceError:
        raise refused(f"its {issuer.tenant_claim} is no tenant's name") from None
