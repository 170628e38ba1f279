"""What Google refuses of the services, or what drifts; sources in `docs/traps.md`."""

import dataclasses
import re
from pathlib import Path

import recording
from recording import Declare, Registration
from registrations import of, services

from topology import Catalogue
from topology.blocks import Collector, TelemetrySettings


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
        # Production names no root key (`plan` says so), no rates and no issuers, has
        # no pooler and has a sidecar read its metrics.
        unnamed = ("ROOT_KEY_SHA256", "RATES", "ISSUERS", "PUSH_SECONDS")
        missing = {f"MERIDIAN_{name}" for name in unnamed} | {"DATABASE_POOLED"}
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
    build = image.inputs["build"]
    recipe = Path(build["dockerfile"])
    copied = re.findall(r"^COPY (\S+) ", recipe.read_text(), re.MULTILINE)
    assert copied.count("service") == 1
    assert all(
        (Path(build["context"]) / path).exists() for path in copied if path[0] != "-"
    )
    assert "docker" in image.provider
