"""What Google refuses or what drifts, encoded; sources in `docs/traps.md`."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import recording
from recording import Declare, Registration

from service.contract import proto
from topology import Catalogue, Durability, names
from topology.blocks import Collector, TelemetrySettings

STATEFUL = {
    "gcp:artifactregistry/repository:Repository",
    "gcp:redis/instance:Instance",
    "gcp:secretmanager/secret:Secret",
    "gcp:sql/databaseInstance:DatabaseInstance",
    "gcp:storage/bucket:Bucket",
}


def of(world: list[Registration], kind: str) -> list[Registration]:
    found = [r for r in world if r.token.endswith(f":{kind}")]
    assert found, kind
    return found


def services(world: list[Registration]) -> list[Registration]:
    found = [r for r in world if r.token == "gcp:cloudrunv2/service:Service"]
    assert len(found) >= 1
    return found


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


def test_a_service_is_reached_through_the_balancer_only(
    prod: list[Registration],
) -> None:
    for service in services(prod):
        assert service.inputs["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
        assert service.inputs["defaultUriDisabled"] is True
        assert service.inputs["invokerIamDisabled"] is True
        assert service.inputs["deletionProtection"] is False


def test_a_service_keeps_connections_for_an_hour_on_warm_cpus(
    prod: list[Registration],
) -> None:
    for service in services(prod):
        template = service.inputs["template"]
        (container,) = template["containers"]
        assert template["timeout"] == "3600s"
        assert template["executionEnvironment"] == "EXECUTION_ENVIRONMENT_GEN2"
        assert container["resources"]["cpuIdle"] is False
        assert container["resources"]["startupCpuBoost"] is True
        assert container["resources"]["limits"] == {"cpu": "4", "memory": "16Gi"}
        own = "h2c" if service.name.endswith("-grpc") else "http1"
        assert container["ports"]["name"] == own
        assert "revision" not in template
        maximum = service.inputs["scaling"]["maxInstanceCount"]
        assert template["scaling"] == {"maxInstanceCount": maximum}


def test_probes_end_before_they_begin_again(prod: list[Registration]) -> None:
    for service in services(prod):
        (container,) = service.inputs["template"]["containers"]
        for kind in ("startup", "liveness", "readiness"):
            probe = container[f"{kind}Probe"]
            assert probe["timeoutSeconds"] < probe["periodSeconds"]
            assert probe["httpGet"]["path"].startswith("/health/")
            own = 8081 if service.name.endswith("-grpc") else 8080
            assert probe["httpGet"]["port"] == own, "Google probes by HTTP/1.1"
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] <= 240


def test_instances_reach_private_addresses_without_a_nat(
    prod: list[Registration],
) -> None:
    pools = of(prod, "WorkerPool")
    for resource in services(prod) + pools:
        access = resource.inputs["template"]["vpcAccess"]
        assert access["egress"] == "PRIVATE_RANGES_ONLY"
        assert len(access["networkInterfaces"]) == 1
        assert "connector" not in access
    assert all("ports" not in p.inputs["template"]["containers"][0] for p in pools)


def documented_variables() -> set[str]:
    """Variables of the table in docs/architecture.md that a cell declares."""
    text = (recording.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("### Environment of a service process")[1].split("Set by the")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z_]{6,})`", row[:90])}


def test_the_environment_is_what_the_architecture_says(
    prod: list[Registration],
) -> None:
    expected = documented_variables()
    assert len(expected) > 15
    for resource in services(prod) + of(prod, "WorkerPool"):
        entries = resource.inputs["template"]["containers"][0]["envs"]
        names = [entry["name"] for entry in entries]
        assert names == sorted(names), "any other order shows as a change"
        values = {entry["name"]: entry["value"] for entry in entries}
        is_hub = values["MERIDIAN_HUB"] == values["MERIDIAN_REGION"]
        # Production names no root key (`plan` says so), no rates and no issuers, and
        # has a sidecar read its metrics.
        unnamed = ("ROOT_KEY_SHA256", "RATES", "ISSUERS", "PUSH_SECONDS")
        missing = {f"MERIDIAN_{name}" for name in unnamed}
        if not is_hub:
            missing.add("PUBSUB_SUBSCRIPTION_REPAIRS")
        if not resource.name.endswith("-grpc"):
            missing |= {"MERIDIAN_PROTOCOL", "MERIDIAN_ADMIN_PORT"}
        assert set(names) == expected - missing
        assert values["MERIDIAN_ACCESS"] == "required"
        assert (values["DATABASE_PRIMARY"] == values["DATABASE_LOCAL"]) or not is_hub


def test_a_service_runs_a_digest_never_a_tag(prod: list[Registration]) -> None:
    for resource in services(prod) + of(prod, "WorkerPool"):
        image = resource.inputs["template"]["containers"][0]["image"]
        assert re.fullmatch(r"[^:@]+@sha256:[0-9a-f]{64}", image)


def test_redis_is_private_and_asks_for_auth_and_tls(prod: list[Registration]) -> None:
    for redis in [r for r in prod if r.token == "gcp:redis/instance:Instance"]:
        assert redis.inputs["connectMode"] == "PRIVATE_SERVICE_ACCESS"
        assert redis.inputs["authEnabled"] is True
        assert redis.inputs["transitEncryptionMode"] == "SERVER_AUTHENTICATION"
        assert redis.inputs["tier"] == "STANDARD_HA"
        assert "readReplicasMode" not in redis.inputs


def test_databases_are_private_and_know_no_password(prod: list[Registration]) -> None:
    for server in of(prod, "DatabaseInstance"):
        settings = server.inputs["settings"]
        flags = {flag["name"]: flag["value"] for flag in settings["databaseFlags"]}
        assert settings["edition"] == "ENTERPRISE"
        assert flags["cloudsql.iam_authentication"] == "on"
        assert settings["ipConfiguration"]["ipv4Enabled"] is False
        assert settings["ipConfiguration"]["sslMode"] == "ENCRYPTED_ONLY"
        assert server.inputs["name"].endswith("-g1")
        assert server.ignore_changes == ("settings.diskSize",)
    for user in [r for r in prod if r.token == "gcp:sql/user:User"]:
        assert user.inputs["type"] == "CLOUD_IAM_SERVICE_ACCOUNT"
        assert not user.inputs["name"].endswith(".gserviceaccount.com")
        assert user.deleted_with


def test_primaries_are_backed_up_and_replicas_are_not(
    prod: list[Registration],
) -> None:
    for server in of(prod, "DatabaseInstance"):
        settings = server.inputs["settings"]
        if "masterInstanceName" in server.inputs:
            assert settings["availabilityType"] == "ZONAL"
            assert "backupConfiguration" not in settings
        else:
            assert settings["availabilityType"] == "REGIONAL"
            assert settings["backupConfiguration"]["pointInTimeRecoveryEnabled"]


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


def test_guarded_data_is_protected_in_every_layer(prod: list[Registration]) -> None:
    for resource in [r for r in prod if r.token in STATEFUL]:
        assert resource.protect, resource.urn
        assert resource.inputs["deletionPolicy"] == "PREVENT"
        assert not resource.retain_on_delete
    for server in of(prod, "DatabaseInstance"):
        assert server.inputs["deletionProtection"] is True
        assert server.inputs["settings"]["deletionProtectionEnabled"] is True
    edge = [r for r in of(prod, "GlobalAddress") if "ipVersion" in r.inputs]
    assert len(edge) == 2
    assert all(address.protect for address in edge)


def test_ephemeral_data_goes_when_it_is_told_to(local: list[Registration]) -> None:
    assert not [r.urn for r in local if r.protect or r.retain_on_delete]
    for resource in [r for r in local if r.token in STATEFUL]:
        assert resource.inputs["deletionPolicy"] == "DELETE"
    for server in of(local, "DatabaseInstance"):
        assert server.inputs["deletionProtection"] is False
    assert all(b.inputs["forceDestroy"] is True for b in of(local, "Bucket"))


def test_sealed_data_outlives_its_stack(declare: Declare, small: Catalogue) -> None:
    world = declare(dataclasses.replace(small, durability=Durability.SEALED))
    sealed = [r for r in world if r.token in STATEFUL]
    assert len(sealed) == 1 + 2 * 4
    assert all(r.retain_on_delete and r.protect for r in sealed)


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


def test_a_collector_is_declared_beside_the_service_where_the_catalogue_has_one(
    prod: list[Registration], declare: Declare, small: Catalogue
) -> None:
    assert all(len(s.inputs["template"]["containers"]) == 1 for s in services(prod))
    image = f"example.com/collector@sha256:{'c' * 64}"
    telemetry = TelemetrySettings(collector=Collector.SIDECAR, image=image)
    world = declare(dataclasses.replace(small, telemetry=telemetry))
    for resource in services(world) + of(world, "WorkerPool"):
        main, sidecar = resource.inputs["template"]["containers"]
        assert (main["name"], sidecar["image"]) == ("service", image)
        assert ("dependsOns" in sidecar) == ("startupProbe" in main)
    roles = {r.inputs["role"] for r in of(world, "IAMMember")}
    assert "roles/monitoring.metricWriter" in roles


def test_a_service_that_sends_its_metrics_itself_has_no_collector_beside_it(
    prod: list[Registration], declare: Declare, small: Catalogue
) -> None:
    def told(world: list[Registration]) -> list[bool]:
        return [
            any(e["name"] == "MERIDIAN_PUSH_SECONDS" for e in container["envs"])
            for resource in services(world) + of(world, "WorkerPool")
            for container in resource.inputs["template"]["containers"]
        ]

    assert not any(told(prod))
    image = f"example.com/collector@sha256:{'c' * 64}"
    telemetry = TelemetrySettings(collector=Collector.SERVICE, image=image)
    world = declare(dataclasses.replace(small, telemetry=telemetry))
    assert told(world) and all(told(world))
    roles = {r.inputs["role"] for r in of(world, "IAMMember")}
    assert "roles/telemetry.metricsWriter" in roles
    assert "roles/monitoring.metricWriter" not in roles
    enabled = {r.inputs.get("service") for r in of(world, "Service")}
    assert "telemetry.googleapis.com" in enabled


def test_docker_builds_only_where_the_catalogue_asks(
    prod: list[Registration], declare: Declare, small: Catalogue
) -> None:
    assert not [r for r in prod if r.token.startswith("docker:")]
    asked = dataclasses.replace(small.image, build=True)
    world = declare(dataclasses.replace(small, image=asked))
    (image,) = [r for r in world if r.token == "docker:index/image:Image"]
    assert image.inputs["buildOnPreview"] is False
    assert "docker" in image.provider
