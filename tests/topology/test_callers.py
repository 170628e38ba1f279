"""Rates and issuers of a catalogue, as the service reads them."""

import json

import pytest

from service.access.bucket import Rate
from service.access.tokens import read_issuers
from service.settings import _rates
from topology import CatalogueError, load, read
from topology.callers import CallerSettings, IssuerSettings, RateSettings, Tier
from topology.reader import CATALOGUES

BLOCK = """
callers:
  rates:
    free: {search: 5, write: 0.1, burst_seconds: 4}
    premium: {}
  issuers:
    staff:
      issuer: https://issuer.example.com
      audience: stream
      jwks_url: https://issuer.example.com/keys
      default_tier: premium
"""
LOCAL = (CATALOGUES / "local.yaml").read_text(encoding="utf-8")


def test_rates_reach_the_service_as_it_reads_them() -> None:
    callers = read(LOCAL + BLOCK, "local.yaml").callers
    text = callers.rates_json()
    assert text is not None
    assert _rates(text) == {
        "free": {"search": Rate(5, 20), "write": Rate(0.1, 1)},
        "premium": {},
    }


def test_issuers_reach_the_service_as_it_reads_them() -> None:
    text = read(LOCAL + BLOCK, "local.yaml").callers.issuers_json()
    assert text is not None
    (issuer,) = read_issuers(text)
    assert issuer.issuer == "https://issuer.example.com"
    assert issuer.default_tier == "premium"
    assert issuer.require_nbf


def test_without_either_the_service_is_told_nothing() -> None:
    callers = load("local").callers
    assert (callers.rates_json(), callers.issuers_json()) == (None, None)
    empty = CallerSettings(rates={Tier.FREE: RateSettings()})
    assert empty.rates_json() is None


def test_issuers_stand_in_the_order_of_their_names() -> None:
    def issuer(name: str) -> IssuerSettings:
        url = f"https://{name}.example.com"
        return IssuerSettings(issuer=url, audience="a", jwks_url=url)

    known = {name: issuer(name) for name in ("b", "a", "c")}
    text = CallerSettings(issuers=known).issuers_json()
    assert text is not None
    found = [entry["issuer"][8] for entry in json.loads(text)]
    assert found == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("rates: {gold: {search: 1}}", "gold"),
        ("rates: {free: {search: 0}}", "0.01"),
        ("rates: {free: {find: 1}}", "find"),
        (
            "issuers: {staff: {issuer: 'http://x', audience: a, jwks_url: 'https://x'}}",
            "iss",
        ),
        ("issuers: {staff: {issuer: 'https://x', audience: a}}", "jwks_url"),
    ],
)
def test_what_is_wrong_is_named(wrong: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        read(f"{LOCAL}\ncallers:\n  {wrong}\n", "local.yaml")
