"""Environment, probes and shape of the container that service and workers run."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components._base import Block

PORT = 8080
ADMIN_PORT = 8081
"""Where a container that speaks gRPC answers probes and scrapes, over HTTP/1.1."""


@dataclass(frozen=True, kw_only=True)
class ServiceShape:
    """Size and bounds of a region's instances."""

    cpu: int
    """vCPU."""
    memory_gib: int
    """Memory."""
    concurrency: int
    """Requests at a time."""
    timeout_seconds: int
    """Longest life of a connection."""
    min_instances: int
    """Kept warm."""
    max_instances: int
    """Ceiling; Google's default of 100 is never wanted."""
    workers: int
    """Instances of the worker pool."""
    limits: str
    """JSON of the service's limits."""
    access: str | None = None
    """`required` (default): callers need keys; `open`: nobody is asked who he is."""
    root_key_sha256: str | None = None
    """SHA-256 of the root key; left out: there is none."""
    rates: str | None = None
    """JSON of rates by tier and group; left out: nothing is limited."""
    issuers: str | None = None
    """JSON of the OIDC issuers whose tokens are believed; left out: none."""
    collector: str | None = None
    """Image of the metrics sidecar, by digest; left out where the platform scrapes."""
    push_seconds: int | None = None
    """Between two sendings of the metrics by the service itself; left out: it sends
    none."""
    trace_share: float | None = None
    """Writes and requests whose spans are kept, of all; left out: none."""
    grpc_min_instances: int | None = None
    """Kept warm of the second service, which speaks gRPC; left out: none."""
    grpc_max_instances: int | None = None
    """Its ceiling; left out: there is no such service."""


def environment(values: Mapping[str, pulumi.Input[str]]) -> list[Block]:
    """Variables in the order of their names: any other order would show as a change."""
    return [{"name": key, "value": values[key]} for key in sorted(values)]


def stream_container(
    image: pulumi.Input[str],
    shape: ServiceShape,
    values: Mapping[str, pulumi.Input[str]],
) -> Block:
    """Container of the Cloud Run service."""
    # "h2c" here would break WebSocket upgrades.
    return _serving(image, shape, values, {"name": "http1", "container_port": PORT})


def grpc_container(
    image: pulumi.Input[str],
    shape: ServiceShape,
    values: Mapping[str, pulumi.Input[str]],
) -> Block:
    """Container of the service that speaks gRPC: probes ask its other port, because
    Google sends HTTP probes by HTTP/1.1."""
    more = {"MERIDIAN_PROTOCOL": "grpc", "MERIDIAN_ADMIN_PORT": str(ADMIN_PORT)}
    port = {"name": "h2c", "container_port": PORT}
    return _serving(image, shape, {**values, **more}, port, ADMIN_PORT)


def _serving(
    image: pulumi.Input[str],
    shape: ServiceShape,
    values: Mapping[str, pulumi.Input[str]],
    port: Block,
    probed: int = PORT,
) -> Block:
    return {
        "image": image,
        "ports": port,
        "envs": environment({**values, "MERIDIAN_ROLE": "stream"}),
        "resources": {
            "limits": resource_limits(shape),
            # Left out inside this block it means false as well, but says nothing.
            "cpu_idle": False,
            "startup_cpu_boost": True,
        },
        "startup_probe": {
            "http_get": {"path": "/health/startup", "port": probed},
            "period_seconds": 2,
            "timeout_seconds": 1,
            "failure_threshold": 120,
        },
        "liveness_probe": {
            "http_get": {"path": "/health/live", "port": probed},
            "period_seconds": 10,
            "timeout_seconds": 3,
            "failure_threshold": 3,
        },
        "readiness_probe": {
            "http_get": {"path": "/health/ready", "port": probed},
            "period_seconds": 5,
            "timeout_seconds": 2,
            "failure_threshold": 2,
        },
    }


def worker_container(
    image: pulumi.Input[str],
    shape: ServiceShape,
    values: Mapping[str, pulumi.Input[str]],
) -> Block:
    """Container of the worker pool."""
    return {
        "image": image,
        "envs": environment({**values, "MERIDIAN_ROLE": "worker"}),
        "resources": {"limits": resource_limits(shape)},
    }


def containers(main: Block, shape: ServiceShape) -> list[Block]:
    """The container alone, or with the sidecar that collects its metrics."""
    if shape.collector is None:
        return [main]
    sidecar: Block = {
        "name": "collector",
        "image": shape.collector,
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
    }
    if "startup_probe" in main:  # only such a container can be waited for
        sidecar["depends_ons"] = ["service"]
    return [{**main, "name": "service"}, sidecar]


def resource_limits(shape: ServiceShape) -> dict[str, str]:
    """Whole CPUs and Gi: `1000m` would come back as `1` and show as a change."""
    return {"cpu": str(shape.cpu), "memory": f"{shape.memory_gib}Gi"}


def vpc_access(network: pulumi.Input[str], subnet: pulumi.Input[str]) -> Block:
    """Direct VPC egress; private ranges only, so nothing waits for a NAT."""
    return {
        "egress": "PRIVATE_RANGES_ONLY",
        "network_interfaces": [{"network": network, "subnetwork": subnet}],
    }
