"""Compute Engine: network and load balancer."""

from collections.abc import Mapping
from typing import Any

from localcloud.types.base import Create, Json, Operation, ResourceType

SOURCE = "compute v1 discovery; gcp.md 1.2, 1.3 and 2; pulumi_gcp 10.2.0 compute"
DROP = frozenset({"deletionPolicy", "project"})
FRONT = "Envoy"


def _compute(
    token: str,
    scope: str,
    kind: str,
    *,
    replace: set[str],
    rename: Mapping[str, str] | None = None,
    drop: frozenset[str] = frozenset(),
    **more: Any,
) -> ResourceType:
    """The parts that all compute types share."""
    return ResourceType(
        token=token,
        api="compute.googleapis.com",
        path=f"compute/v1/projects/{{project}}/{scope}/{{id}}",
        source=SOURCE,
        create=Create.BODY,
        operation=Operation.COMPUTE,
        kind=f"compute#{kind}",
        rename=rename or {},
        drop=DROP | drop,
        replace=frozenset(replace | {"name", "project"}),
        **more,
    )


def _network_body(body: Json) -> Json:
    mode = body.pop("routingMode", None)
    if mode:
        body["routingConfig"] = {"routingMode": mode}
    return body


def _address_outputs(inputs: Json, body: Json, path: str) -> Json:
    return {"address": inputs.get("address") or body.get("address", "")}


def _backend_defaults(body: Json) -> None:
    body.setdefault("loadBalancingScheme", "EXTERNAL_MANAGED")
    body.setdefault("sessionAffinity", "NONE")


TYPES = (
    _compute(
        "gcp:compute/network:Network",
        "global/networks",
        "network",
        replace={"autoCreateSubnetworks", "description"},
        body=_network_body,
    ),
    _compute(
        "gcp:compute/subnetwork:Subnetwork",
        "regions/{location}/subnetworks",
        "subnetwork",
        replace={"network", "region", "ipCidrRange"},
        widens=frozenset({"ipCidrRange"}),
        drop=frozenset({"region"}),
    ),
    _compute(
        "gcp:compute/globalAddress:GlobalAddress",
        "global/addresses",
        "address",
        replace={
            "address",
            "addressType",
            "ipVersion",
            "network",
            "prefixLength",
            "purpose",
        },
        outputs=_address_outputs,
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup",
        "regions/{location}/networkEndpointGroups",
        "networkEndpointGroup",
        replace={"cloudRun", "networkEndpointType", "region"},
        drop=frozenset({"region"}),
        update="",
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/backendService:BackendService",
        "global/backendServices",
        "backendService",
        replace=set(),
        rename={"enableCdn": "enableCDN"},
        defaults=_backend_defaults,
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/uRLMap:URLMap",
        "global/urlMaps",
        "urlMap",
        replace=set(),
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/securityPolicy:SecurityPolicy",
        "global/securityPolicies",
        "securityPolicy",
        replace={"type"},
        runs="Envoy: throttle rules; WAF expressions are not run",
    ),
    _compute(
        "gcp:compute/sSLPolicy:SSLPolicy",
        "global/sslPolicies",
        "sslPolicy",
        replace=set(),
    ),
    _compute(
        "gcp:compute/targetHttpProxy:TargetHttpProxy",
        "global/targetHttpProxies",
        "targetHttpProxy",
        replace={"proxyBind"},
    ),
    _compute(
        "gcp:compute/targetHttpsProxy:TargetHttpsProxy",
        "global/targetHttpsProxies",
        "targetHttpsProxy",
        replace={"proxyBind", "tlsEarlyData"},
        runs="Envoy, plain HTTP on loopback",
    ),
    _compute(
        "gcp:compute/globalForwardingRule:GlobalForwardingRule",
        "global/forwardingRules",
        "forwardingRule",
        replace={
            "ipAddress",
            "loadBalancingScheme",
            "portRange",
            "ipProtocol",
            "network",
        },
        rename={"ipAddress": "IPAddress", "ipProtocol": "IPProtocol"},
        runs="Envoy, plain HTTP on loopback",
    ),
)
