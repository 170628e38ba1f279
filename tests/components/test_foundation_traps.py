"""Secrets, rights, topics, networks and APIs as declared; see `docs/traps.md`."""

import re
from collections.abc import Iterator
from typing import Any

from recording import Registration
from registrations import of


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


def test_no_secret_value_is_an_input(prod: list[Registration]) -> None:
    forbidden = re.compile(
        r"(password|secret_?data|auth_?string|private_?key|token|credentials|Wo)$",
        re.IGNORECASE,
    )
    for resource in prod:
        for path, value in leaves(dict(resource.inputs)):
            assert not forbidden.search(path), f"{resource.urn}{path}={value}"
    kinds = {r.token for r in prod}
    assert "gcp:secretmanager/secretVersion:SecretVersion" not in kinds


def test_subscriptions_never_expire_and_give_up_into_dead_letters(
    prod: list[Registration],
) -> None:
    subscriptions = of(prod, "Subscription")
    assert all(s.inputs["expirationPolicy"] == {"ttl": ""} for s in subscriptions)
    regional = [s for s in subscriptions if "deadLetterPolicy" in s.inputs]
    assert len(regional) == 20
    assert all("enableMessageOrdering" not in s.inputs for s in regional)
    filters = {s.inputs["name"]: s.inputs.get("filter") for s in regional}
    assert filters["meridian-changes-us-central1"] is None
    wanted = 'attributes.origin = "us-central1"'
    assert filters["meridian-repairs-us-central1"] == wanted


def test_iam_grants_are_these_and_no_more(prod: list[Registration]) -> None:
    granted = {
        (r.token.split(":")[2], r.inputs["role"], r.inputs["member"].split("@")[0])
        for r in prod
        if r.token.lower().endswith("iammember")
    }
    stream, worker, agent = (
        f"serviceAccount:{who}"
        for who in ("meridian-stream", "meridian-worker", "agent")
    )
    reader = "projects/test/roles/meridian_cache_reader"
    expected = {("IAMMember", reader, who) for who in (stream, worker)}
    expected |= {
        ("IAMMember", f"roles/cloudsql.{role}", who)
        for role in ("client", "instanceUser")
        for who in (stream, worker)
    }
    expected |= {
        ("IAMMember", "roles/telemetry.tracesWriter", who) for who in (stream, worker)
    }
    expected |= {
        ("TopicIAMMember", "roles/pubsub.publisher", stream),
        ("TopicIAMMember", "roles/pubsub.publisher", worker),
        ("TopicIAMMember", "roles/pubsub.publisher", agent),
        ("SubscriptionIAMMember", "roles/pubsub.subscriber", worker),
        ("SubscriptionIAMMember", "roles/pubsub.subscriber", agent),
        ("BucketIAMMember", "roles/storage.objectViewer", stream),
        ("BucketIAMMember", "roles/storage.objectUser", worker),
        ("SecretIamMember", "roles/secretmanager.secretAccessor", stream),
    }
    assert granted == expected


def test_the_service_cannot_publish_changes(prod: list[Registration]) -> None:
    publishers = {
        r.inputs["member"].split("@")[0]
        for r in of(prod, "TopicIAMMember")
        if r.inputs["topic"] == "meridian-changes"
    }
    assert publishers == {"serviceAccount:meridian-worker"}


def test_a_subnet_waits_for_google_to_free_its_addresses(
    prod: list[Registration],
) -> None:
    for subnet in of(prod, "Subnetwork"):
        assert subnet.delete_timeout == "3h"
        assert subnet.inputs["privateIpGoogleAccess"] is True


def test_the_peering_is_left_behind(prod: list[Registration]) -> None:
    (peering,) = of(prod, "Connection")
    assert peering.inputs["deletionPolicy"] == "ABANDON"
    assert peering.inputs["updateOnCreationFail"] is True


def test_apis_stay_on_when_a_stack_goes(prod: list[Registration]) -> None:
    apis = [r for r in prod if r.token == "gcp:projects/service:Service"]
    assert all(api.inputs["disableOnDestroy"] is False for api in apis)


def test_what_stands_alone_waits_for_its_api(prod: list[Registration]) -> None:
    apis = {r.urn for r in prod if r.token == "gcp:projects/service:Service"}
    by_urn = {r.urn: r for r in prod}

    def reaches(urn: str, seen: set[str]) -> bool:
        if urn in apis:
            return True
        if urn in seen or urn not in by_urn:
            return False
        seen.add(urn)
        return any(reaches(other, seen) for other in by_urn[urn].depends_on)

    for resource in prod:
        if resource.custom and resource.urn not in apis:
            if resource.token == "pulumi:providers:gcp":
                continue
            assert reaches(resource.urn, set()), resource.urn
