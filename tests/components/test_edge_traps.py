"""What Google refuses of the load balancer, or what drifts; see `docs/traps.md`."""

import dataclasses

from recording import Declare, Registration
from registrations import of

from service.contract import proto
from topology import Catalogue, names


def test_backends_carry_nothing_that_serverless_refuses(
    prod: list[Registration],
) -> None:
    refused = {
        "timeoutSec", "healthChecks", "portName", "iap", "serviceLbPolicy",
        "circuitBreakers", "consistentHash", "localityLbPolicy", "sessionAffinity",
    }  # fmt: skip
    for backend in of(prod, "BackendService"):
        assert not refused & set(backend.inputs)
        assert all(set(entry) == {"group"} for entry in backend.inputs["backends"])
        assert len(backend.inputs["backends"]) == 15
        detection = backend.inputs["outlierDetection"]
        assert not [key for key in detection if "uccessRate" in key]
        assert backend.inputs["loadBalancingScheme"] == "EXTERNAL_MANAGED"


def test_only_the_reads_are_cached_and_the_origin_says_for_how_long(
    prod: list[Registration],
) -> None:
    by_name = {r.name: r.inputs for r in of(prod, "BackendService")}
    assert "enableCdn" not in by_name["edge-streams"]
    policy = by_name["edge-reads"]["cdnPolicy"]
    assert policy["cacheMode"] == "USE_ORIGIN_HEADERS"
    assert not {"defaultTtl", "maxTtl", "clientTtl"} & set(policy)


def test_replace_prone_leaves_have_no_name(prod: list[Registration]) -> None:
    for kind in ("RegionNetworkEndpointGroup", "Certificate", "DnsAuthorization"):
        assert all("name" not in r.inputs for r in of(prod, kind)), kind


def test_the_edge_takes_only_serving_regions(
    declare: Declare, small: Catalogue
) -> None:
    unborn = dataclasses.replace(small.regions["us-east1"], serving=False)
    regions = {**small.regions, "us-east1": unborn}
    world = declare(dataclasses.replace(small, regions=regions))
    assert len(of(world, "RegionNetworkEndpointGroup")) == 2 * 2
    for backend in of(world, "BackendService"):
        part = "grpc-neg" if backend.name == "edge-grpc" else "neg"
        assert backend.inputs["backends"] == [{"group": f"us-central1-{part}-id"}]


def test_calls_of_grpc_go_to_the_service_that_speaks_it(
    prod: list[Registration], declare: Declare, small: Catalogue
) -> None:
    assert f"/{proto.SERVICE}/" == names.RPC_PATHS
    (routes,) = [r for r in of(prod, "URLMap") if r.name == "edge-routes"]
    (matcher,) = routes.inputs["pathMatchers"]
    found = [
        (rule["service"], rule["matchRules"][0].get("prefixMatch"))
        for rule in matcher["routeRules"]
    ]
    assert found == [
        ("edge-reads-id", None),
        ("edge-grpc-id", "/meridian.v1.Meridian/"),
    ]
    by_name = {r.name: r.inputs for r in of(prod, "BackendService")}
    assert by_name["edge-grpc"]["protocol"] == "HTTP2"
    assert by_name["edge-streams"]["protocol"] == "HTTPS"
    shape = dataclasses.replace(small.service, grpc_max_instances=0)
    without = declare(dataclasses.replace(small, service=shape))
    assert not [r for r in without if "grpc" in r.name]


def test_armor_throttles_previews_the_waf_and_ends_in_a_default(
    prod: list[Registration],
) -> None:
    (policy,) = of(prod, "SecurityPolicy")
    rules = {int(rule["priority"]): rule for rule in policy.inputs["rules"]}
    assert rules[200]["preview"] is True
    assert rules[1000]["action"] == "throttle"
    limit = rules[1000]["rateLimitOptions"]["rateLimitThreshold"]["count"]
    assert limit == 6000
    assert rules[2_147_483_647]["action"] == "allow"


def test_plain_http_is_redirected_and_tls_is_modern(prod: list[Registration]) -> None:
    (redirect,) = [m for m in of(prod, "URLMap") if "defaultUrlRedirect" in m.inputs]
    assert redirect.inputs["defaultUrlRedirect"]["httpsRedirect"] is True
    (policy,) = of(prod, "SSLPolicy")
    assert policy.inputs["minTlsVersion"] == "TLS_1_2"
    assert policy.inputs["profile"] == "MODERN"
    (proxy,) = of(prod, "TargetHttpsProxy")
    assert proxy.inputs["certificateMap"].startswith("//certificatemanager.")
    assert "sslCertificates" not in proxy.inputs
