"""Who may do what, and what must never be written down."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, ANY, MANDATORY, rule
from policy.rules.kinds import KEY

BASIC = ("roles/owner", "roles/editor")
PUBLIC = ("allUsers", "allAuthenticatedUsers")
SECRET_KEYS = re.compile(
    r"(password|passwd|secretData|authString|privateKey|pemPrivateKey|privateKeyData"
    r"|sharedSecret|accessToken|credentials|apiKey|clientSecret)(Wo)?$",
    re.IGNORECASE,
)
WHOLE_POLICY = re.compile(r"gcp:(projects|organizations|folder)/iAM(Policy|Binding):")


def members(record: Record) -> list[Field]:
    """Members of a grant, in both of its forms."""
    return [record.at("member"), *record.root.each("members")]


@rule(
    "iam-no-basic-roles",
    MANDATORY,
    "Nobody is owner or editor.",
    f"{sources.IAM}: thousands of permissions over everything",
    ANY,
)
def no_basic_roles(record: Record) -> Iterator[Fault]:
    field = record.at("role")
    if field.text in BASIC and any(m.given for m in members(record)):
        yield field.fault(
            "it may change everything, itself included",
            "grant the narrow role that the work needs",
        )


@rule(
    "iam-no-public-members",
    MANDATORY,
    "Nothing is granted to everybody.",
    f"{sources.RUN_IAM}: allUsers is everybody on the Internet",
    ANY,
)
def no_public_members(record: Record) -> Iterator[Fault]:
    if record.at("role").absent:
        return
    for member in members(record):
        if member.text in PUBLIC:
            yield member.fault(
                "everybody on the Internet is meant",
                "name a service account; for Cloud Run set invoker_iam_disabled",
            )


@rule(
    "iam-adds-members",
    ADVISORY,
    "Grants add a member and leave the others alone.",
    f"{sources.PROVIDER}: a policy or binding removes what others granted",
    ANY,
)
def adds_members(record: Record) -> Iterator[Fault]:
    if WHOLE_POLICY.match(record.token):
        yield Fault(
            "type",
            record.token.rsplit(":", 1)[-1],
            "grants that are not listed here are removed, Google's agents' too",
            "use an IAMMember for each member",
        )


@rule(
    "iam-no-account-keys",
    MANDATORY,
    "A service account has no key.",
    f"{sources.ENGINE}: the private key is an output, kept in the state",
    KEY,
)
def no_account_keys(record: Record) -> Iterator[Fault]:
    yield record.at("serviceAccountId").fault(
        "its private key lies in the state and never expires",
        "use workload identity federation, or the metadata server's tokens",
    )


@rule(
    "no-secret-value",
    MANDATORY,
    "No input carries the value of a secret.",
    f"{sources.ENGINE}: write-only inputs end in the state as well",
    ANY,
)
def no_secret_value(record: Record) -> Iterator[Fault]:
    if record.token.startswith("pulumi:"):
        return
    for key, field in record.root.leaves():
        plain = field.value is None or isinstance(field.value, bool)
        if SECRET_KEYS.search(key) and field.given and not plain and not field.empty:
            yield field.fault(
                "it is kept in the state, `pulumi stack export --show-secrets` "
                "prints it",
                "declare the secret alone, write it with `meridian secret put`",
                value="a value",
            )
