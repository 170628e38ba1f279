"""Cloud CDN and Cloud Armor."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import ARMOR, ARMOR_RULE, BACKEND, BACKEND_BUCKET
from policy.world import World

NEGATIVE = (300, 301, 302, 307, 308, 404, 405, 410, 421, 451, 501)
"""Status codes that may be cached by negative caching."""
DEFAULT_PRIORITY = 2_147_483_647
COUNTS = {"throttle": 1_000_000, "rate_based_ban": 10_000}
"""Most requests of a threshold, by the rule's action."""
INTERVALS = (10, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600)
KEYS = (
    "", "ALL", "IP", "HTTP_HEADER", "XFF_IP", "HTTP_COOKIE", "HTTP_PATH", "SNI",
    "REGION_CODE", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT", "USER_IP", "ASN",
)  # fmt: skip
KEYS_A_RULE = 3
RANGES_A_RULE = 10
EXPRESSIONS = 5
SHARED_A_MINUTE = 1_000
"""Requests a minute that an office or a carrier's NAT sends from one address."""


@rule(
    "cdn-negative-codes",
    MANDATORY,
    "Negative caching knows eleven status codes.",
    sources.COMPUTE,
    BACKEND,
    BACKEND_BUCKET,
)
def negative_codes(record: Record) -> Iterator[Fault]:
    for entry in record.root.each("cdnPolicy.negativeCachingPolicies"):
        code = entry.at("code")
        if code.number is not None and code.number not in NEGATIVE:
            allowed = ", ".join(map(str, NEGATIVE))
            yield code.fault(
                f"{allowed} are possible",
                "leave it out: 429 and 5xx must not be cached",
            )


@rule(
    "cdn-origin-sets-times",
    MANDATORY,
    "Where the origin's headers decide, no time to live is given.",
    f"{sources.COMPUTE}: must be omitted with USE_ORIGIN_HEADERS",
    BACKEND,
    BACKEND_BUCKET,
)
def origin_sets_times(record: Record) -> Iterator[Fault]:
    if not record.at("cdnPolicy.cacheMode").is_("USE_ORIGIN_HEADERS"):
        return
    for key in ("defaultTtl", "maxTtl", "clientTtl"):
        field = record.at(f"cdnPolicy.{key}")
        if field.given:
            yield field.fault(
                "cdnPolicy.cacheMode is USE_ORIGIN_HEADERS, which takes none",
                "leave it out and send Cache-Control",
            )


@rule(
    "cdn-no-forced-caching",
    MANDATORY,
    "Answers marked private are not cached.",
    f"{sources.COMPUTE}: FORCE_CACHE_ALL ignores private and no-store",
    BACKEND,
)
def no_forced_caching(record: Record) -> Iterator[Fault]:
    field = record.at("cdnPolicy.cacheMode")
    if field.is_("FORCE_CACHE_ALL"):
        yield field.fault(
            "one user's answer is served to another",
            "use USE_ORIGIN_HEADERS and mark public reads in the service",
        )


@rule(
    "cdn-key-without-authorization",
    ADVISORY,
    "The cache key does not contain who asks.",
    f"{sources.PEER}: a key with the authorization is never hit twice",
    BACKEND,
)
def key_without_authorization(record: Record) -> Iterator[Fault]:
    for header in record.root.each("cdnPolicy.cacheKeyPolicy.includeHttpHeaders"):
        if (header.text or "").lower() in ("authorization", "cookie"):
            yield header.fault(
                "every user has an entry of their own: nothing is ever hit",
                "cache public reads alone and leave the header out",
            )


def rate_limits(record: Record) -> Iterator[tuple[Field, Field]]:
    """Rules of a policy that limit rates, with their options."""
    inline = record.token == ARMOR
    for entry in record.root.each("rules") if inline else [record.root]:
        options = entry.at("rateLimitOptions")
        if options.given:
            yield entry, options


@rule(
    "armor-default-rule",
    MANDATORY,
    "A policy ends in a default rule.",
    f"{sources.COMPUTE}: priority 2147483647",
    ARMOR,
)
def default_rule(record: Record) -> Iterator[Fault]:
    priorities = [entry.at("priority") for entry in record.root.each("rules")]
    if priorities and not any(
        p.unknown or p.number == DEFAULT_PRIORITY for p in priorities
    ):
        yield record.at("rules").fault(
            f"none has the priority {DEFAULT_PRIORITY}, which must be there",
            "add a rule for all addresses with that priority",
        )


@rule(
    "armor-threshold-range",
    MANDATORY,
    "A throttle counts up to 1,000,000 requests, a ban up to 10,000.",
    sources.ARMOR,
    ARMOR,
    ARMOR_RULE,
)
def threshold_range(record: Record) -> Iterator[Fault]:
    for entry, options in rate_limits(record):
        action = entry.at("action").text or ""
        most = COUNTS.get(action)
        count = options.at("rateLimitThreshold.count")
        if most is not None and count.outside(1, most):
            yield count.fault(
                f"1 to {most} are possible for {action}, in each region of the "
                "balancer",
                "count over a shorter or longer interval",
            )


@rule(
    "armor-interval",
    MANDATORY,
    "Requests are counted over one of thirteen intervals.",
    sources.COMPUTE,
    ARMOR,
    ARMOR_RULE,
)
def interval(record: Record) -> Iterator[Fault]:
    for _, options in rate_limits(record):
        field = options.at("rateLimitThreshold.intervalSec")
        if field.number is not None and field.number not in INTERVALS:
            allowed = ", ".join(map(str, INTERVALS))
            yield field.fault(f"{allowed} s are possible", "choose one of them")


@rule(
    "armor-rate-key",
    MANDATORY,
    "Rates are counted by a key that Google knows.",
    sources.COMPUTE,
    ARMOR,
    ARMOR_RULE,
)
def rate_key(record: Record) -> Iterator[Fault]:
    for _, options in rate_limits(record):
        key = options.at("enforceOnKey")
        if key.text is not None and key.text not in KEYS:
            yield key.fault(f"{', '.join(KEYS[1:])} are possible", "choose one of them")


@rule(
    "armor-rate-keys-count",
    MANDATORY,
    "A rule counts by at most three keys.",
    sources.COMPUTE,
    ARMOR,
    ARMOR_RULE,
)
def rate_keys_count(record: Record) -> Iterator[Fault]:
    for _, options in rate_limits(record):
        keys = options.each("enforceOnKeyConfigs")
        if len(keys) > KEYS_A_RULE:
            yield options.at("enforceOnKeyConfigs").fault(
                f"{KEYS_A_RULE} keys are possible", "count by the narrowest ones"
            )


def entries(record: Record) -> list[Field]:
    """Rules of a policy, inline or a resource of its own."""
    return record.root.each("rules") if record.token == ARMOR else [record.root]


@rule(
    "armor-address-list",
    MANDATORY,
    "A rule by addresses has one to ten ranges.",
    sources.COMPUTE,
    ARMOR,
    ARMOR_RULE,
)
def address_list(record: Record) -> Iterator[Fault]:
    for entry in entries(record):
        config = entry.at("match.config")
        ranges = config.at("srcIpRanges")
        count = len(config.each("srcIpRanges"))
        if config.given and (ranges.empty or count > RANGES_A_RULE):
            yield ranges.fault(
                f"1 to {RANGES_A_RULE} ranges are possible, {count} given",
                "split the rule, or leave it out while its list is empty",
            )


@rule(
    "armor-ban-shared-addresses",
    ADVISORY,
    "A ban by address leaves room for those who share one.",
    f"{sources.PEER}: 100 requests in 10 s banned whole carriers",
    ARMOR,
    ARMOR_RULE,
)
def ban_shared(record: Record) -> Iterator[Fault]:
    for entry, options in rate_limits(record):
        count = options.at("rateLimitThreshold.count")
        seconds = options.at("rateLimitThreshold.intervalSec").number
        key = options.at("enforceOnKey")
        if not entry.at("action").is_("rate_based_ban") or key.is_not("IP", None):
            continue
        if count.number is not None and seconds:
            minute = count.number * 60 / seconds
            if minute < SHARED_A_MINUTE:
                yield count.fault(
                    f"{minute:g} a minute for one address; a carrier or a stadium "
                    f"sends {SHARED_A_MINUTE:,}",
                    "throttle instead of banning, or count by a key of the client",
                )


@rule(
    "armor-expressions",
    ADVISORY,
    "A rule has at most five sub-expressions.",
    "Digest of Google Cloud release notes, Cloud Armor, read 2026-11",
    ARMOR,
    ARMOR_RULE,
)
def expressions(record: Record) -> Iterator[Fault]:
    for entry in entries(record):
        field = entry.at("match.expr.expression")
        count = len(re.findall(r"&&|\|\|", field.text or "")) + 1
        if count > EXPRESSIONS:
            yield field.fault(
                f"{EXPRESSIONS} are possible, {count} given", "split the rule"
            )


@relation(
    "armor-one-owner",
    MANDATORY,
    "Rules of a policy are inline or resources of their own, not both.",
    f"{sources.PROVIDER}: each update removes the other's",
    ARMOR_RULE,
)
def one_owner(record: Record, world: World) -> Iterator[Fault]:
    for policy in world.meant_by(record, "securityPolicy", ARMOR):
        if policy.at("rules").given and not policy.at("rules").empty:
            yield record.at("securityPolicy").fault(
                f"{policy.name} has rules inline: each `up` removes the other's",
                "move this rule into the policy",
            )
