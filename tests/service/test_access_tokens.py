"""Bearer tokens, against a real JWKS server on loopback."""

import asyncio
import base64
import contextlib
import json

import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.access.jwks import FRESH, PAUSE, STALE, Issuer, read_keys
from service.access.tokens import LEEWAY, REMEMBERED, Tokens, read_issuers
from service.contract import ServiceError
from tests.service.access_parts import Clock

pytestmark = pytest.mark.asyncio

ISSUER = "https://login.example"


def public(key, kid, algorithm):
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return made | {"kid": kid, "use": "sig", "alg": algorithm}


@pytest.fixture(scope="module")
def signers():
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


class Server:
    """An issuer's JWKS address, which counts and can misbehave."""

    def __init__(self):
        self.keys = []
        self.asked = 0
        self.status = 200
        self.body = None
        self.pause = 0.0
        self.port = 0

    async def answer(self, _):
        self.asked += 1
        await asyncio.sleep(self.pause)
        body = json.dumps({"keys": self.keys}) if self.body is None else self.body
        headers = {"location": "/moved"} if self.status == 302 else {}
        return web.Response(text=body, status=self.status, headers=headers)


@pytest_asyncio.fixture
async def server(signers):
    made = Server()
    made.keys = [public(key, f"k-{alg}", alg) for alg, key in signers.items()]
    app = web.Application()
    app.router.add_get("/{path}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
def clock():
    return Clock()


def issuer(server, **more):
    url = f"http://127.0.0.1:{server.port}/jwks"
    return Issuer(**({"issuer": ISSUER, "audience": "mer", "jwks_url": url} | more))


@pytest.fixture
def tokens(server, clock):
    return Tokens([issuer(server)], clock)


def token(signers, clock, alg="RS256", kid=None, drop=(), key=None, **claims):
    body = {
        "iss": ISSUER,
        "aud": "mer",
        "sub": "ann@example.com",
        "tenant": "acme",
        "scope": "openid read watch",
        "nbf": clock.now - 10,
        "exp": clock.now + 300,
    } | claims
    body = {name: value for name, value in body.items() if name not in drop}
    kid = kid or f"k-{alg}"
    return jwt.encode(body, key or signers[alg], alg, headers={"kid": kid})


@contextlib.asynccontextmanager
async def refused(match, code="unauthenticated"):
    with pytest.raises(ServiceError, match=match) as caught:
        yield caught
    assert caught.value.code == code


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_says_who_asks(tokens, signers, clock, alg):
    who = await tokens.caller(token(signers, clock, alg))
    assert (who.tenant, who.tier) == ("acme", "standard")
    assert who.scopes == {"read", "watch"}
    assert who.expires == clock.now + 300 + LEEWAY
    assert "ann" not in who.key


async def test_keys_are_fetched_once_and_again_after_five_minutes(
    tokens, server, signers, clock
):
    await asyncio.gather(
        *(tokens.caller(token(signers, clock, jti=str(n))) for n in range(20))
    )
    assert server.asked == 1
    clock.now += FRESH
    await tokens.caller(token(signers, clock))
    await asyncio.sleep(0.1)
    assert server.asked == 2


@pytest.mark.parametrize("name", ["exp", "nbf", "aud", "iss"])
async def test_a_token_without_a_required_claim_is_refused(
    tokens, signers, clock, name
):
    async with refused("no issuer" if name == "iss" else f"it has no {name}"):
        await tokens.caller(token(signers, clock, drop=[name]))


async def test_an_issuer_may_be_excused_from_nbf_only(server, signers, clock):
    tokens = Tokens([issuer(server, require_nbf=False)], clock)
    assert await tokens.caller(token(signers, clock, drop=["nbf"]))
    async with refused("not valid yet"):
        await tokens.caller(token(signers, clock, nbf=clock.now + 60))
    async with refused("exp"):
        await tokens.caller(token(signers, clock, drop=["exp"]))


async def test_times_are_judged_with_thirty_seconds_of_leeway(tokens, signers, clock):
    assert await tokens.caller(token(signers, clock, exp=clock.now - 29))
    assert await tokens.caller(token(signers, clock, nbf=clock.now + 29))
    async with refused("expired"):
        await tokens.caller(token(signers, clock, exp=clock.now - 30))
    async with refused("not valid yet"):
        await tokens.caller(token(signers, clock, nbf=clock.now + 31))


async def test_a_remembered_token_ends_with_its_time(tokens, signers, clock):
    text = token(signers, clock, exp=clock.now + 20)
    await tokens.caller(text)
    clock.now += 20 + LEEWAY - 1
    assert tokens.known(text)
    clock.now += 1
    assert tokens.known(text) is None
    async with refused("expired"):
        await tokens.caller(text)


@pytest.mark.parametrize(
    ("claims", "match"),
    [
        ({"aud": "other"}, "audience"),
        ({"iss": "https://evil.example"}, "not one that is configured"),
        ({"exp": "soon"}, "exp is no number"),
        ({"exp": True}, "exp is no number"),
        ({"nbf": [1]}, "nbf is no number"),
        ({"tenant": "~system"}, "tenant"),
        ({"tenant": 7}, "tenant"),
        ({"scope": 7}, "scope"),
        ({"tier": "gold"}, "tier"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(tokens, signers, clock, claims, match):
    async with refused(match):
        await tokens.caller(token(signers, clock, **claims))


async def test_a_token_never_operates(tokens, signers, clock):
    who = await tokens.caller(token(signers, clock, scope=["operate", "write"]))
    assert who.scopes == {"write"}


async def test_an_issuer_speaks_for_its_tenants_only(server, signers, clock):
    tokens = Tokens([issuer(server, tenants=("other",))], clock)
    async with refused("does not speak"):
        await tokens.caller(token(signers, clock))
    assert await tokens.caller(token(signers, clock, tenant="other"))


def unsigned(clock, alg, key=b""):
    def part(value):
        text = json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=")

    body = {"iss": ISSUER, "aud": "mer", "tenant": "acme", "scope": "read"}
    body |= {"nbf": clock.now, "exp": clock.now + 300}
    signed = part({"alg": alg, "kid": "k-RS256"}) + b"." + part(body)
    signature = b""
    if key:
        signature = jwt.get_algorithm_by_name("HS256").sign(signed, key)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def test_none_and_hmac_are_refused_even_with_the_public_key(
    tokens, server, signers, clock
):
    key = signers["RS256"].public_key()
    raw = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for alg in ("none", "None", "HS256", "HS512", "PS256"):
        async with refused("its algorithm is none of"):
            await tokens.caller(unsigned(clock, alg, raw))
    assert server.asked == 0
    # The same signature under a name that is allowed.
    async with refused("signature"):
        await tokens.caller(unsigned(clock, "RS256", raw))


async def test_a_key_serves_its_own_algorithm_only(tokens, signers, clock):
    async with refused("no such key"):
        await tokens.caller(token(signers, clock, "ES256", kid="k-RS256"))


async def test_another_s_signature_is_refused(tokens, signers, clock):
    stranger = ec.generate_private_key(ec.SECP256R1())
    async with refused("signature"):
        await tokens.caller(token(signers, clock, "ES256", key=stranger))
    text = token(signers, clock, "ES256")
    head, _, tail = text.split(".")
    body = token(signers, clock, "ES256", tenant="victim").split(".")[1]
    async with refused("signature"):
        await tokens.caller(f"{head}.{body}.{tail}")


@pytest.mark.parametrize(
    "text", ["..", "a.b.c", "eyJ.eyJ.x", "x" * 9000 + "..", "é.é.é"]
)
async def test_what_is_no_token_is_refused_without_a_fetch(tokens, server, text):
    async with refused("token"):
        await tokens.caller(text)
    assert server.asked == 0


async def test_a_new_key_is_found_and_unknown_ones_do_not_flood_the_issuer(
    tokens, server, signers, clock
):
    await tokens.caller(token(signers, clock))
    for n in range(10):
        async with refused("no such key"):
            await tokens.caller(token(signers, clock, kid=f"made-up-{n}"))
    assert server.asked == 1
    server.keys.append(public(signers["ES256"], "new", "ES256"))
    clock.now += PAUSE
    assert await tokens.caller(token(signers, clock, "ES256", kid="new"))
    assert server.asked == 2


async def test_a_key_that_the_issuer_withdrew_stops(tokens, server, signers, clock):
    text = token(signers, clock, exp=clock.now + 9999)
    await tokens.caller(text)
    server.keys = []
    clock.now += FRESH
    # Asked in the background, once; the answer counts from then on.
    await tokens.caller(text)
    await asyncio.sleep(0.1)
    clock.now += REMEMBERED
    async with refused("no such key"):
        await tokens.caller(text)


async def test_an_issuer_that_is_away_is_believed_for_an_hour(
    tokens, server, signers, clock
):
    await tokens.caller(token(signers, clock))
    server.status = 500
    clock.now += FRESH
    assert await tokens.caller(token(signers, clock))
    clock.now += STALE - FRESH - 1
    assert await tokens.caller(token(signers, clock))
    clock.now += 1
    async with refused("cannot be read", "unavailable"):
        await tokens.caller(token(signers, clock))


@pytest.mark.parametrize(
    "change",
    [
        {"status": 302},
        {"status": 404},
        {"body": "no json"},
        {"body": "[]"},
        {"body": '{"keys": ["' + "x" * 300_000 + '"]}'},
    ],
)
async def test_a_bad_answer_of_the_issuer_brings_no_keys(
    tokens, server, signers, clock, change
):
    for name, value in change.items():
        setattr(server, name, value)
    async with refused("cannot be read", "unavailable"):
        await tokens.caller(token(signers, clock))
    assert server.asked == 1


async def test_only_public_signing_keys_of_enough_bits_are_taken(signers):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    good = public(signers["RS256"], "good", "RS256")
    to_jwk = jwt.get_algorithm_by_name("EdDSA").to_jwk
    private = to_jwk(signers["EdDSA"], as_dict=True) | {"kid": "private"}
    keys = [
        good,
        good | {"kid": "enc", "use": "enc"},
        good | {"kid": "ps", "alg": "PS256"},
        {n: v for n, v in good.items() if n != "kid"},
        public(small, "small", "RS256"),
        private,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        "text",
    ]
    assert set(read_keys(json.dumps({"keys": keys}).encode())) == {"good"}


async def test_a_refusal_shows_nothing_of_the_token(tokens, signers, clock):
    text = token(signers, clock, tenant="~system", email="ann@example.com")
    with pytest.raises(ServiceError) as caught:
        await tokens.caller(text)
    said = caught.value.message + repr(caught.value.details) + repr(caught.value)
    for part in (*text.split("."), "ann@example.com"):
        assert part not in said


async def test_issuers_are_read_from_json_with_errors_in_words():
    url = "https://login.example/jwks"
    good = {"issuer": ISSUER, "audience": "m", "jwks_url": url, "scopes": ["read"]}
    (made,) = read_issuers(json.dumps([good]))
    assert made.scopes == {"read"}
    assert read_issuers("") == ()
    for wrong, match in (
        ({"jwks_url": "http://login.example/jwks"}, "https"),
        ({"jwks_url": "file:///etc/passwd"}, "https"),
        ({"scopes": ["all"]}, "allowed"),
        ({"audience": ""}, "audience"),
        ({"color": "red"}, "keys"),
        ({"default_tier": "gold"}, "tier"),
    ):
        with pytest.raises(ValueError, match=match):
            read_issuers(json.dumps([good | wrong]))
