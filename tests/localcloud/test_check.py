"""What the provider's Check refuses, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from localcloud.google import bodies
from localcloud.provider import limits, secret
from localcloud.provider.servicer import Provider, _raw
from localcloud.types import lookup
from localcloud.types.base import UNKNOWN
from policy.rule import MANDATORY
from policy.rules import by_id
from tests.localcloud.conftest import Plane

SERVICE = "gcp:cloudrunv2/service:Service"
NETWORK = "gcp:compute/network:Network"
NEG = "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup"
HIDDEN = "hunter2"
Json = dict[str, Any]


def struct(values: Json) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def marked(value: Any) -> Json:
    return {secret.SIGNATURE: secret.SECRET, secret.VALUE: value}


async def check(token: str, inputs: Json) -> Any:
    urn = f"urn:pulumi:prod::meridian::{token}::it"
    request = provider_pb2.CheckRequest(urn=urn, news=struct(inputs))
    return await Provider(None, None).Check(request, None)


async def reasons(token: str, inputs: Json) -> list[str]:
    return [failure.reason for failure in (await check(token, inputs)).failures]


def service(**template: Any) -> Json:
    container = {"image": "i", "envs": [{"name": "A", "value": "1"}]}
    return {
        "name": "a",
        "location": "us-west1",
        "template": {"containers": [container], **template},
    }


async def test_a_sound_resource_passes_as_it_is() -> None:
    inputs = service(timeout="3600s", maxInstanceRequestConcurrency=100.0)
    answer = await check(SERVICE, inputs)
    assert list(answer.failures) == []
    assert _raw(answer.inputs) == inputs


async def test_a_wrong_type_names_place_value_and_what_is_wanted() -> None:
    found = await reasons(SERVICE, service(maxInstanceRequestConcurrency="many"))
    assert found == [
        "Google would refuse it: template.maxInstanceRequestConcurrency is "
        '"many"; Google wants a whole number: give a whole number'
    ]


async def test_a_wrong_word_names_the_words_and_the_likely_one() -> None:
    inputs = {**service(), "ingress": "INGRESS_TRAFIC_ALL"}
    (found,) = await reasons(SERVICE, inputs)
    assert 'ingress is "INGRESS_TRAFIC_ALL"' in found
    assert "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" in found
    assert found.endswith("write INGRESS_TRAFFIC_ALL")


async def test_an_unknown_field_is_named_by_the_path_that_was_written() -> None:
    inputs = service()
    inputs["template"]["containers"][0]["envs"][0]["valu"] = "1"
    (found,) = await reasons(SERVICE, inputs)
    assert "template.containers[0].envs[0].valu " in found
    assert "template.containers[0].env[0].valu at Google" in found
    assert found.endswith("write value")


async def test_every_fault_is_told_at_once() -> None:
    inputs = service(timeout="an hour", executionEnvironment="GEN2")
    assert len(await reasons(SERVICE, inputs)) == 2


async def test_what_is_not_known_yet_is_not_judged() -> None:
    inputs = service(timeout=UNKNOWN, scaling=UNKNOWN, vpcAccess={"connector": UNKNOWN})
    inputs["template"]["containers"][0]["envs"] = UNKNOWN
    assert await reasons(SERVICE, inputs) == []
    assert await reasons(SERVICE, {**inputs, "template": UNKNOWN}) == []
    dashboard = "gcp:monitoring/dashboard:Dashboard"
    assert await reasons(dashboard, {"dashboardJson": UNKNOWN}) == []


async def test_a_dashboard_that_is_no_json_is_refused() -> None:
    dashboard = "gcp:monitoring/dashboard:Dashboard"
    (found,) = await reasons(dashboard, {"dashboardJson": "{"})
    assert "dashboardJson is no JSON" in found


async def test_inputs_of_another_shape_are_refused_and_break_nothing() -> None:
    account = "gcp:serviceaccount/account:Account"
    (missing,) = await reasons(account, {"displayName": "a"})
    assert "accountId is missing" in missing
    budget = "gcp:billing/budget:Budget"
    (wrong,) = await reasons(budget, {"billingAccount": "b", "amount": [1.0]})
    assert "amount is a list of 1; Google wants a block" in wrong


@pytest.mark.parametrize(
    "inputs",
    [
        service(maxInstanceRequestConcurrency=marked(HIDDEN)),
        {**service(), "ingress": marked(HIDDEN)},
        {**service(), "template": marked({"timeout": HIDDEN})},
        service(containers=[{"image": "i", "envs": marked([{"name": [HIDDEN]}])}]),
    ],
)
async def test_a_secret_is_refused_without_a_word_of_it(inputs: Json) -> None:
    answer = await check(SERVICE, inputs)
    assert len(answer.failures) == 1
    assert "a secret that does not fit" in answer.failures[0].reason
    assert HIDDEN not in str(answer.failures[0])


async def test_a_limit_that_no_document_has_is_refused() -> None:
    (found,) = await reasons(SERVICE, service(maxInstanceRequestConcurrency=5000.0))
    assert "template.maxInstanceRequestConcurrency is 5000; 1 to 1,000" in found
    (late,) = await reasons(SERVICE, service(timeout="99999s"))
    assert "template.timeout is 99999s; 1s to 3600s are possible" in late
    hidden = await reasons(SERVICE, service(timeout=marked("99999s")))
    assert len(hidden) == 1
    assert "99999" not in hidden[0]


async def test_what_only_we_forbid_is_no_refusal_of_google() -> None:
    assert await reasons(SERVICE, {**service(), "ingress": "INGRESS_TRAFFIC_ALL"}) == []


@pytest.mark.parametrize("name", limits.ENFORCED)
def test_enforced_rules_judge_one_resource_and_stop_an_update(name: str) -> None:
    rule = by_id()[name]
    assert not rule.among
    assert rule.level is MANDATORY


async def test_a_secret_stays_one_where_a_name_is_drawn() -> None:
    inputs = {"region": "us-west1", "cloudRun": {"service": marked("s")}}
    made = _raw((await check(NEG, inputs)).inputs)
    assert made["cloudRun"] == inputs["cloudRun"]
    plain = {"region": "us-west1", "cloudRun": {"service": "s"}}
    assert made["name"] == _raw((await check(NEG, plain)).inputs)["name"]


async def test_a_preview_of_an_update_keeps_secrets_marked() -> None:
    request = provider_pb2.UpdateRequest(
        urn=f"urn:pulumi:prod::meridian::{NEG}::it",
        olds=struct({"selfLink": "l"}),
        news=struct({"cloudRun": {"service": marked("s")}}),
        preview=True,
    )
    answer = await Provider(None, None).Update(request, None)
    assert _raw(answer.properties) == {
        "selfLink": "l",
        "cloudRun": {"service": marked("s")},
    }


def test_marks_come_back_where_a_value_is_made_of_a_secret() -> None:
    like = {"a": marked("x"), "b": {"c": marked("y"), "d": "z"}, "e": [marked(1)]}
    state = {"a": "x", "b": {"c": "y", "d": "z"}, "e": [1], "f": "g"}
    assert secret.bare(like) == {k: state[k] for k in like}
    assert secret.marked(state, like) == {
        "a": marked("x"),
        "b": {"c": marked("y"), "d": "z"},
        "e": marked([1]),
        "f": "g",
    }


async def test_the_control_plane_refuses_the_same_in_googles_form(
    plane: Plane,
) -> None:
    path = "/run.googleapis.com/v2/projects/p/locations/us-west1/services"
    body = {"template": {"timeout": 300, "containers": []}}
    answer = await plane.client.post(f"{path}?serviceId=a", json=body)
    error = (await answer.json())["error"]
    assert (answer.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert "template.timeout is 300" in error["message"]
    assert (await plane.client.get(f"{path}/a")).status == 404


def test_a_place_in_a_body_leads_back_to_the_input() -> None:
    rule = lookup("gcp:storage/bucket:Bucket")
    place = "lifecycle.rule[1].condition.matchesPrefix[0]"
    assert bodies.input_path(rule, place) == (
        "lifecycleRules[1].condition.matchesPrefixes[0]"
    )
    assert bodies.input_path(lookup(NETWORK), "routingConfig.routingMode") == (
        "routingMode"
    )
    assert bodies.input_path(lookup(SERVICE), "template.containers[2].ports[0].x") == (
        "template.containers[2].ports.x"
    )
