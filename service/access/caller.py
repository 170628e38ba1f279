"""Who asks: the outcome of every way to authenticate."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from service.contract import ServiceError
from service.contract.validate import shown
from service.log.change import TENANT

SCOPES = ("read", "write", "watch", "manage", "keys", "operate")
"""`read` get, search, describe; `write` items; `watch` streams and feedback;
`manage` create and drop collections; `keys` the tenant's own keys; `operate` other
tenants' keys, metrics, knobs, configuration, drain."""
TENANT_SCOPES = frozenset(SCOPES) - {"operate"}
"""What a tenant may do with what is its own."""
TIERS = ("free", "standard", "premium")
"""From the first that is refused under overload to the last."""
DEFAULT_TENANT = TENANT
SYSTEM_TENANT = "~system"
"""Owner of keys and quotas. No caller has it: a tenant's name has no `~`."""
TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def checked_tenant(name: object, where: str = "tenant") -> str:
    """`name` as a tenant's name; raises ServiceError `out_of_range`."""
    # fullmatch: `$` would let a line end through.
    if not isinstance(name, str) or not _TENANT.fullmatch(name):
        raise ServiceError(
            "out_of_range",
            f"{where} is {shown(name)}; allowed: {TENANT_PATTERN}. Names that start "
            "with ~ are the system's own.",
        )
    return name


def checked_scopes(scopes: Iterable[str], where: str = "scopes") -> frozenset[str]:
    """`scopes` as a set of known ones, at least one; raises `out_of_range`."""
    given = list(scopes)
    unknown = [s for s in given if s not in SCOPES]
    if unknown or not given or isinstance(scopes, str):
        raise ServiceError(
            "out_of_range",
            f"{where} is {shown(given)}; send a list of one or more of "
            f"{', '.join(SCOPES)}.",
        )
    return frozenset(given)


def checked_tier(tier: object, where: str = "tier") -> str:
    """`tier` as one of TIERS; raises ServiceError `out_of_range`."""
    if not isinstance(tier, str) or tier not in TIERS:
        raise ServiceError(
            "out_of_range", f"{where} is {shown(tier)}; allowed: {', '.join(TIERS)}."
        )
    return tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who was let in, and what they may do."""

    tenant: str
    """Owner of everything they reach."""
    scopes: frozenset[str]
    tier: str
    """`free`, `standard` or `premium`."""
    key: str
    """Id of the credential, safe for logs."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may speak for them; `*` is any."""
    expires: float | None = None
    """Unix seconds at which the credential ends, None: not by itself."""

    def __post_init__(self) -> None:
        checked_tenant(self.tenant)
        checked_tier(self.tier)

    def need(self, scope: str) -> None:
        """Raises ServiceError `forbidden` unless the scope is theirs."""
        if scope not in self.scopes:
            raise ServiceError(
                "forbidden",
                f"This needs the scope {scope}; {self.key} has "
                f"{', '.join(sorted(self.scopes)) or 'none'}: use a key that has it.",
                details={"missing": scope, "given": sorted(self.scopes)},
            )

    def need_tenant(self, tenant: str) -> None:
        """Raises ServiceError `forbidden` for another's tenant without `operate`."""
        if tenant != self.tenant and "operate" not in self.scopes:
            raise ServiceError(
                "forbidden",
                f"{tenant} is another tenant and {self.key} belongs to {self.tenant}: "
                "use a key of that tenant, or one with the scope operate.",
                details={"missing": "operate", "given": sorted(self.scopes)},
            )

    def need_grant(self, tenant: str, scopes: Iterable[str], tier: str) -> None:
        """Raises ServiceError `forbidden` when a new key would exceed its maker.

        Without this the scope `keys` would be every scope of the tenant.
        """
        if "operate" in self.scopes:
            return
        self.need("keys")
        self.need_tenant(tenant)
        for scope in sorted(scopes):
            self.need(scope)
        if TIERS.index(tier) > TIERS.index(self.tier):
            raise ServiceError(
                "forbidden",
                f"{self.key} is of the tier {self.tier} and may make keys of that "
                f"tier and below, {tier} given: ask an operator.",
                details={"given": tier, "allowed": self.tier},
            )

    def expired(self, now: float) -> bool:
        """Whether the credential has ended (`now` in Unix seconds)."""
        return self.expires is not None and now >= self.expires
