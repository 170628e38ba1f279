"""Callers, origins, client addresses, quotas: all without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.access.address import FAILURES, Failures, client_address, read_networks
from service.access.origins import (
    allows,
    check_origin,
    checked_origins,
    cors_headers,
    is_preflight,
    normal,
    preflight,
)
from service.access.quotas import Quota
from service.contract import ServiceError
from tests.service.access_parts import Clock, caller

TRUSTED = read_networks("10.0.0.0/8, fd00::/8")


def forwarded(*values):
    return [(b"X-Forwarded-For", value.encode()) for value in values]


def test_a_caller_without_a_scope_is_told_which():
    who = caller(scopes=["read"])
    who.need("read")
    with pytest.raises(ServiceError, match="scope write") as refused:
        who.need("write")
    assert refused.value.status == 403
    assert refused.value.details["missing"] == "write"


@pytest.mark.parametrize("tenant", ["~system", "", "A", "-a", "a" * 64, "a\n", None])
def test_no_caller_has_a_tenant_of_the_systems(tenant):
    with pytest.raises(ServiceError):
        caller(tenant=tenant)


def test_nobody_grants_more_than_they_have():
    who = caller(scopes=["keys", "read"], tier="standard")
    who.need_grant("acme", ["read"], "free")
    for tenant, scopes, tier in (
        ("other", ["read"], "free"),
        ("acme", ["read", "write"], "free"),
        ("acme", ["operate"], "free"),
        ("acme", ["read"], "premium"),
    ):
        with pytest.raises(ServiceError) as refused:
            who.need_grant(tenant, scopes, tier)
        assert refused.value.code == "forbidden"
    with pytest.raises(ServiceError):
        caller(scopes=["read"]).need_grant("acme", ["read"], "free")
    root = caller(scopes=["operate"])
    root.need_grant("other", ["read", "operate"], "premium")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://a.example/", None),
        ("https://a.example?x", None),
        ("https://me@a.example", None),
        ("https://a.example:x", None),
        ("https://a.example:99999", None),
        ("https://a.example,https://b.example", None),
        ("ftp://a.example", None),
        ("https://", None),
        ("null", None),
        ("", None),
    ],
)
def test_an_origin_has_one_form(given_, expected):
    assert normal(given_) == expected


@pytest.mark.parametrize(
    "origin",
    [
        "http://a.example",
        "https://a.example:8443",
        "https://a.example.evil.com",
        "https://evil-a.example",
        "https://sub.a.example",
        "null",
        "",
    ],
)
def test_scheme_host_and_port_must_all_match(origin):
    who = caller(origins=("https://a.example",))
    check_origin(who, [(b"Origin", b"https://a.example")])
    with pytest.raises(ServiceError, match="origin") as refused:
        check_origin(who, [(b"Origin", origin.encode())])
    assert (refused.value.code, refused.value.status) == ("origin_refused", 403)


def test_no_origin_is_no_page_and_no_origins_are_no_pages():
    check_origin(caller(origins=()), [])
    with pytest.raises(ServiceError):
        check_origin(caller(origins=()), [(b"origin", b"https://a.example")])
    with pytest.raises(ServiceError):
        check_origin(caller(origins=()), [(b"origin", b"null")])
    check_origin(caller(origins=("*",)), [(b"origin", b"null")])
    twice = [(b"origin", b"https://a.example"), (b"origin", b"https://a.example")]
    with pytest.raises(ServiceError):
        check_origin(caller(origins=("https://a.example",)), twice)


def test_an_answer_names_the_page_that_may_read_it():
    headers = [(b"origin", b"https://a.example")]
    found = dict(cors_headers(["https://a.example"], headers))
    assert found[b"access-control-allow-origin"] == b"https://a.example"
    assert found[b"vary"] == b"origin"
    assert b"access-control-allow-credentials" not in found
    assert dict(cors_headers(["https://b.example"], headers)) == {b"vary": b"origin"}
    assert cors_headers(["*"], []) == []


def test_a_preflight_is_answered_for_any_known_origin():
    ask = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"X")]
    assert is_preflight("OPTIONS", ask)
    assert not is_preflight("GET", ask)
    assert not is_preflight("OPTIONS", ask[:1])
    found = dict(preflight({"https://b.example", "https://a.example"}, ask))
    assert found[b"access-control-allow-origin"] == b"https://a.example"
    assert b"authorization" in found[b"access-control-allow-headers"]
    with pytest.raises(ServiceError, match="not an origin of any key"):
        preflight({"https://b.example"}, ask)


def test_a_record_takes_few_and_whole_origins():
    assert checked_origins(["*"]) == ("*",)
    assert checked_origins(["http://A:80", "http://a"]) == ("http://a",)
    for wrong in (["a.example"], ["https://*.example"], ["http://a"] * 33):
        with pytest.raises(ServiceError):
            checked_origins(wrong)


@given(some.text(max_size=40))
def test_no_text_passes_for_an_origin_that_it_is_not(text):
    made = normal(text)
    if made is not None:
        assert normal(made) == made
        assert allows([made], text)
    assert not allows(["https://a.example"], text + "x")


@pytest.mark.parametrize(
    ("chain", "peer", "expected"),
    [
        ([], "1.2.3.4", "1.2.3.4"),
        (["9.9.9.9"], "1.2.3.4", "1.2.3.4"),
        (["9.9.9.9"], "10.0.0.1", "9.9.9.9"),
        (["6.6.6.6, 9.9.9.9"], "10.0.0.1", "9.9.9.9"),
        (["6.6.6.6, 9.9.9.9, 10.1.1.1"], "10.0.0.1", "9.9.9.9"),
        (["6.6.6.6", "9.9.9.9"], "10.0.0.1", "9.9.9.9"),
        (["10.2.2.2, 10.3.3.3"], "10.0.0.1", "10.2.2.2"),
        (["9.9.9.9:4711"], "10.0.0.1", "9.9.9.9"),
        (["[2001:db8::1]:80"], "fd00::1", "2001:db8::1"),
        (["6.6.6.6, rubbish, 10.1.1.1"], "10.0.0.1", "10.1.1.1"),
        (["rubbish"], "10.0.0.1", "10.0.0.1"),
        (["9.9.9.9"], "::ffff:10.0.0.1", "9.9.9.9"),
        (["9.9.9.9"], "", "unknown"),
    ],
)
def test_the_right_most_untrusted_hop_is_the_client(chain, peer, expected):
    assert client_address(forwarded(*chain), peer, TRUSTED) == expected


@given(some.lists(some.ip_addresses(v=4).map(str), max_size=4))
def test_what_a_client_invents_never_becomes_its_address(invented):
    chain = ", ".join([*invented, "203.0.113.7"])
    assert client_address(forwarded(chain), "10.0.0.1", TRUSTED) == "203.0.113.7"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["2001:db8::1"], "2001:db8::1"),
        (["rubbish"], "9.9.9.9"),
        ([], "9.9.9.9"),
        # The balancer writes one: two are not its work.
        (["203.0.113.7", "203.0.113.8"], "9.9.9.9"),
    ],
)
def test_the_balancer_names_the_client(told, expected):
    named = b"x-meridian-client-address"
    headers = [*forwarded("9.9.9.9"), *((named, t.encode()) for t in told)]
    assert client_address(headers, "10.0.0.1", TRUSTED, named) == expected
    assert client_address(headers, "10.0.0.1", TRUSTED) == "9.9.9.9"


def test_a_network_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        read_networks("10.0.0.1/8")


def test_an_address_may_fail_twenty_times_and_then_every_three_seconds():
    clock = Clock()
    failures = Failures(clock)
    for _ in range(FAILURES):
        assert failures.wait("1.2.3.4") == 0
        failures.add("1.2.3.4")
    assert failures.wait("1.2.3.4") == pytest.approx(3.0)
    assert failures.wait("1.2.3.5") == 0
    clock.now += 3
    assert failures.wait("1.2.3.4") == 0
    failures.add("1.2.3.4")
    assert failures.wait("1.2.3.4") == pytest.approx(3.0)
    clock.now -= 1000
    assert failures.wait("1.2.3.4") == pytest.approx(3.0)


def test_a_network_of_ipv6_counts_as_one_address_and_memory_is_bounded():
    failures = Failures(Clock(), most=100)
    for n in range(FAILURES):
        failures.add(f"2001:db8::{n:x}")
    assert failures.wait("2001:db8::ffff") > 0
    assert failures.wait("2001:db8:0:1::1") == 0
    for n in range(500):
        failures.add(f"10.0.{n // 250}.{n % 250}")
    assert len(failures) == 100


def test_a_quota_refuses_what_does_not_fit_with_both_numbers():
    quota = Quota(streams=2, items=10, bytes=100)
    quota.check_streams(1)
    quota.check_items(0, 10)
    quota.check_bytes(100, 0)
    for check, what in (
        (lambda: quota.check_streams(2), "streams"),
        (lambda: quota.check_items(5, 6), "items"),
        (lambda: quota.check_bytes(0, 101), "bytes"),
    ):
        with pytest.raises(ServiceError, match=what) as refused:
            check()
        assert (refused.value.code, refused.value.status) == ("quota_exceeded", 429)
        assert refused.value.details["given"] > refused.value.details["allowed"]
    Quota().check_items(2**60, 2**60)
    # A quota that was lowered below what is held lets updates through.
    quota.check_items(50, 0)
    quota.check_bytes(500, -10)


@pytest.mark.parametrize(
    "wrong", [{"streams": -1}, {"items": 1.5}, {"bytes": True}, {"items": 2**60}]
)
def test_a_quota_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ServiceError):
        Quota(**wrong)
