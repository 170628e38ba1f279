"""Compute Engine: network and load balancer."""

from collections.abc import Mapping
from typing import Any

from localcloud.types.base import Create, Json, Operation, ResourceType

SOURCE = "compute v1 discovery; gcp.md 1.2, 1.3 and 2; pulumi_gcp 10.2.0 compute"
DROP = frozenset({"deletionPolicy", "project"})
FRONT = "Envoy"
EXCLUDED = "rules[].preconfiguredWafConfig.exclusions[]"
PARTS = (
    "requestBodies",
    "requestCookies",
    "requestHeaders",
    "requestQueryParams",
    "requestUris",
)
"""Of a request, what a preconfigured rule leaves out."""


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
        schema="Network",
        replace={"autoCreateSubnetworks", "description"},
        rename={
            "bgpAlwaysCompareMed": "routingConfig.bgpAlwaysCompareMed",
            "bgpBestPathSelectionMode": "routingConfig.bgpBestPathSelectionMode",
            "bgpInterRegionCost": "routingConfig.bgpInterRegionCost",
            "routingMode": "routingConfig.routingMode",
        },
        drop=frozenset({"deleteBgpAlwaysCompareMed", "deleteDefaultRoutesOnCreate"}),
    ),
    _compute(
        "gcp:compute/subnetwork:Subnetwork",
        "regions/{location}/subnetworks",
        "subnetwork",
        schema="Subnetwork",
        replace={"network", "region", "ipCidrRange"},
        widens=frozenset({"ipCidrRange"}),
        drop=frozenset({"region", "sendSecondaryIpRangeIfEmpty"}),
    ),
    _compute(
        "gcp:compute/globalAddress:GlobalAddress",
        "global/addresses",
        "address",
        schema="Address",
        replace={
            "address",
            "addressType",
            "description",
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
        schema="NetworkEndpointGroup",
        replace={
            "appEngine",
            "cloudFunction",
            "cloudRun",
            "description",
            "network",
            "networkEndpointType",
            "pscData",
            "pscTargetService",
            "region",
            "serverlessDeployment",
            "subnetwork",
        },
        drop=frozenset({"region", "serverlessDeployment"}),
        update="",
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/backendService:BackendService",
        "global/backendServices",
        "backendService",
        schema="BackendService",
        replace=set(),
        rename={
            "cdnPolicy.cacheKeyPolicy.queryStringBlacklists": "queryStringBlacklist",
            "cdnPolicy.cacheKeyPolicy.queryStringWhitelists": "queryStringWhitelist",
            "cdnPolicy.negativeCachingPolicies": "negativeCachingPolicy",
            "connectionDrainingTimeoutSec": "connectionDraining.drainingTimeoutSec",
            "enableCdn": "enableCDN",
            "iap.oauth2ClientIdWo": "oauth2ClientId",
            "iap.oauth2ClientSecretWo": "oauth2ClientSecret",
            "logConfig.requestHeaders": "loggingHttpRequestHeaders",
            "logConfig.responseHeaders": "loggingHttpResponseHeaders",
        },
        wrap=frozenset({"healthChecks"}),
        drop=frozenset(
            {
                "circuitBreakers.connectTimeout",
                "iap.oauth2ClientIdWoVersion",
                "iap.oauth2ClientSecretWoVersion",
            }
        ),
        defaults=_backend_defaults,
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/backendBucket:BackendBucket",
        "global/backendBuckets",
        "backendBucket",
        schema="BackendBucket",
        replace={"params"},
        rename={
            "cdnPolicy.cacheKeyPolicy.queryStringWhitelists": "queryStringWhitelist",
            "cdnPolicy.negativeCachingPolicies": "negativeCachingPolicy",
        },
    ),
    _compute(
        "gcp:compute/uRLMap:URLMap",
        "global/urlMaps",
        "urlMap",
        schema="UrlMap",
        replace=set(),
        rename={
            "**.negativeCachingPolicies": "negativeCachingPolicy",
            "**.requestHeadersToAdds": "requestHeadersToAdd",
            "**.requestHeadersToRemoves": "requestHeadersToRemove",
            "**.responseHeadersToAdds": "responseHeadersToAdd",
            "**.responseHeadersToRemoves": "responseHeadersToRemove",
        },
        drop=frozenset(
            {
                "pathMatchers[].routeRules[].httpFilterConfigs",
                "pathMatchers[].routeRules[].httpFilterMetadatas",
            }
        ),
        runs=FRONT,
    ),
    _compute(
        "gcp:compute/securityPolicy:SecurityPolicy",
        "global/securityPolicies",
        "securityPolicy",
        schema="SecurityPolicy",
        replace={"type"},
        rename={
            **{f"{EXCLUDED}.{part}": f"{part}ToExclude" for part in PARTS},
            **{f"{EXCLUDED}.{part}[].operator": "op" for part in PARTS},
            **{f"{EXCLUDED}.{part}[].value": "val" for part in PARTS},
        },
        drop=frozenset({"adaptiveProtectionConfig.autoDeployConfig"}),
        runs="Envoy: throttle rules; WAF expressions are not run",
    ),
    _compute(
        "gcp:compute/sSLPolicy:SSLPolicy",
        "global/sslPolicies",
        "sslPolicy",
        schema="SslPolicy",
        replace=set(),
    ),
    _compute(
        "gcp:compute/targetHttpProxy:TargetHttpProxy",
        "global/targetHttpProxies",
        "targetHttpProxy",
        schema="TargetHttpProxy",
        replace={"httpKeepAliveTimeoutSec", "proxyBind"},
    ),
    _compute(
        "gcp:compute/targetHttpsProxy:TargetHttpsProxy",
        "global/targetHttpsProxies",
        "targetHttpsProxy",
        schema="TargetHttpsProxy",
        rename={"certificateManagerCertificates": "sslCertificates"},
        replace={"httpKeepAliveTimeoutSec", "proxyBind", "tlsEarlyData"},
        runs="Envoy, plain HTTP on loopback",
    ),
    _compute(
        "gcp:compute/globalForwardingRule:GlobalForwardingRule",
        "global/forwardingRules",
        "forwardingRule",
        schema="ForwardingRule",
        replace={
            "ipAddress",
            "loadBalancingScheme",
            "portRange",
            "ipProtocol",
            "network",
        },
        rename={"ipAddress": "IPAddress", "ipProtocol": "IPProtocol"},
        wrap=frozenset({"serviceDirectoryRegistrations"}),
        runs="Envoy, plain HTTP on loopback",
    ),
)
