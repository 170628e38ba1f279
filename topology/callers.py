"""Who may call the service besides the holders of keys, and how often each may."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from topology.settings import setting

RATE = "requests/s of a tenant in a region"
CLAIM = r"[A-Za-z0-9_:/.-]{1,128}"
URL = r"https://[A-Za-z0-9._~:/%-]{1,500}"


class Tier(StrEnum):
    """What a key or token is worth under overload, and which rates are its own."""

    FREE = "free"
    STANDARD = "standard"
    PREMIUM = "premium"


@dataclass(frozen=True, kw_only=True)
class RateSettings:
    """How often a tenant of a tier may ask; what is left out is not limited."""

    read: float | None = setting(default=None, minimum=0.01, unit=RATE)
    """Items read, scrolled, counted."""
    search: float | None = setting(default=None, minimum=0.01, unit=RATE)
    """Vectors searched for."""
    write: float | None = setting(default=None, minimum=0.01, unit=RATE)
    """Items written or deleted."""
    watch: float | None = setting(default=None, minimum=0.01, unit=RATE)
    """Streams begun."""
    manage: float | None = setting(default=None, minimum=0.01, unit=RATE)
    """Collections made or dropped."""
    burst_seconds: float = setting(default=2.0, minimum=0.1, maximum=3600, unit="s")
    """What is saved up and may be spent at once; at least one request."""


@dataclass(frozen=True, kw_only=True)
class IssuerSettings:
    """An OIDC issuer whose tokens are believed."""

    issuer: str = setting(pattern=URL, hint="exactly the claim `iss`")
    """Who signs."""
    audience: str = setting(pattern=CLAIM, hint="the claim `aud`")
    """Whom the tokens are meant for."""
    jwks_url: str = setting(pattern=URL, hint="an https address")
    """Where its public keys are."""
    tenant_claim: str = setting(default="tenant", pattern=CLAIM)
    """Claim that names the tenant."""
    scopes_claim: str = setting(default="scope", pattern=CLAIM)
    """Claim that holds the scopes."""
    tier_claim: str = setting(default="tier", pattern=CLAIM)
    """Claim that names the tier."""
    default_tier: Tier = setting(default=Tier.STANDARD)
    """Tier of tokens that name none."""
    require_nbf: bool = setting(default=True)
    """Off for issuers that write no `nbf`."""


@dataclass(frozen=True, kw_only=True)
class CallerSettings:
    """Rates by tier, and issuers of tokens."""

    rates: Mapping[Tier, RateSettings] | None = setting(default=None)
    """Rates by tier; a tier that is left out is not limited."""
    issuers: Mapping[str, IssuerSettings] | None = setting(default=None)
    """Issuers by a name of one's own."""

    def rates_json(self) -> str | None:
        """The service's form: {tier: {group: [per second, burst]}}."""
        made = {tier.value: _rates(rates) for tier, rates in (self.rates or {}).items()}
        return _compact(made) if any(made.values()) else None

    def issuers_json(self) -> str | None:
        """The service's form: a list, in the order of the names."""
        known = self.issuers or {}
        made = [dataclasses.asdict(known[name]) for name in sorted(known)]
        return _compact(made) if made else None


def _rates(settings: RateSettings) -> dict[str, list[float]]:
    given = dataclasses.asdict(settings)
    seconds = given.pop("burst_seconds")
    return {
        group: [rate, max(1.0, rate * seconds)]
        for group, rate in given.items()
        if rate is not None
    }


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
