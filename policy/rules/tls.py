"""TLS, certificates, and plain HTTP in front of them."""

from __future__ import annotations

from collections.abc import Iterator

from policy import sources
from policy.field import Fault
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import (
    CERTIFICATE,
    CLASSIC_CERTIFICATE,
    FORWARDING,
    HTTP_PROXY,
    HTTPS_PROXY,
    SSL_POLICY,
    URL_MAP,
)
from policy.world import World


@rule(
    "tls-policy-version",
    MANDATORY,
    "TLS begins at version 1.2.",
    f"{sources.COMPUTE}: TLS_1_0 when unset",
    SSL_POLICY,
)
def tls_version(record: Record) -> Iterator[Fault]:
    field = record.at("minTlsVersion")
    if field.is_not("TLS_1_2", "TLS_1_3"):
        yield field.fault("TLS 1.0 and 1.1 are broken, 1.0 when unset", "set TLS_1_2")


@rule(
    "tls-policy-profile",
    MANDATORY,
    "TLS uses a modern set of ciphers.",
    f"{sources.COMPUTE}: COMPATIBLE when unset",
    SSL_POLICY,
)
def tls_profile(record: Record) -> Iterator[Fault]:
    field = record.at("profile")
    if field.is_not("MODERN", "RESTRICTED", "CUSTOM", "FIPS_202205"):
        yield field.fault("COMPATIBLE has broken ciphers, also unset", "set MODERN")


@rule(
    "tls-policy-attached",
    MANDATORY,
    "An HTTPS proxy has a TLS policy.",
    f"{sources.COMPUTE}: TLS 1.0 without one",
    HTTPS_PROXY,
)
def tls_attached(record: Record) -> Iterator[Fault]:
    field = record.at("sslPolicy")
    if field.empty:
        yield field.fault("TLS 1.0 is accepted then", "pass an SSLPolicy of TLS_1_2")


@relation(
    "http-redirects",
    MANDATORY,
    "Plain HTTP is answered with the secure address.",
    sources.COMPUTE,
    HTTP_PROXY,
)
def http_redirects(record: Record, world: World) -> Iterator[Fault]:
    for routes in world.meant_by(record, "urlMap", URL_MAP):
        field = routes.at("defaultUrlRedirect.httpsRedirect")
        if field.is_not(True):
            yield record.at("urlMap").fault(
                f"{routes.name} serves over plain HTTP: its {field.path} is "
                f"{field.shown()}",
                "set default_url_redirect with https_redirect=True",
            )


@relation(
    "http-beside-https",
    ADVISORY,
    "An address that answers on 443 redirects from 80.",
    sources.COMPUTE,
    FORWARDING,
)
def http_beside_https(record: Record, world: World) -> Iterator[Fault]:
    port = record.at("portRange")
    rules = world.of(FORWARDING)
    if port.text in ("443", "443-443") and not any(
        r.at("portRange").unknown or r.at("portRange").text in ("80", "80-80")
        for r in rules
    ):
        yield port.fault(
            "nothing answers on port 80, a typed address fails",
            "declare a rule on 80 with a redirecting URL map",
        )


@rule(
    "certificate-classic-wildcard",
    MANDATORY,
    "A classic managed certificate has no wildcard.",
    sources.CERTIFICATES,
    CLASSIC_CERTIFICATE,
)
def classic_wildcard(record: Record) -> Iterator[Fault]:
    for domain in record.root.each("managed.domains"):
        if (domain.text or "").startswith("*."):
            yield domain.fault(
                "classic managed certificates refuse wildcards",
                "use Certificate Manager with a DNS authorization",
            )


@rule(
    "certificate-wildcard-by-dns",
    MANDATORY,
    "A wildcard certificate is authorised by DNS.",
    sources.CERTIFICATES,
    CERTIFICATE,
)
def wildcard_by_dns(record: Record) -> Iterator[Fault]:
    authorised = record.at("managed.dnsAuthorizations")
    for domain in record.root.each("managed.domains"):
        if (domain.text or "").startswith("*.") and authorised.empty:
            yield authorised.fault(
                f"{domain.text} is issued by DNS authorization alone",
                "declare a DnsAuthorization and pass its id",
            )
