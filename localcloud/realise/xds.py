"""Envoy's configuration from the declared load balancer (pure).

`serve/<region>/<service>`   the instances of one service of a region
`<backend>/from/<region>`    all regions of a backend, the nearest to the client first
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from topology.facts import nearest

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy"
STREAM_SECONDS = 3600
"""A request's longest life behind Google's balancer (gcp.md 1.1: 60 minutes, fixed)."""
RETRIES = {
    "connect-failure",
    "gateway-error",
    "refused-stream",
    "unavailable",
    "5xx",
    "reset",
}
"""Google's retry conditions that Envoy has under the same name."""


class Group(NamedTuple):
    """What a serverless NEG stands for."""

    region: str
    service: str
    http2: bool
    """Whether its instances speak HTTP/2 in clear."""

    @property
    def cluster(self) -> str:
        """Its name in Envoy."""
        return f"serve/{self.region}/{self.service}"

    @property
    def file(self) -> str:
        """Where Envoy reads its endpoints."""
        return f"endpoints-{self.region}-{self.service}.json"


@dataclass(frozen=True)
class Front:
    """The declared front door."""

    url_map: Json
    backends: dict[str, list[Group]]
    """Backend -> what its NEGs stand for."""
    bodies: dict[str, Json]
    """Backend -> Google's body."""
    policies: dict[str, Json]
    """Security policy -> Google's body."""


def bootstrap(folder: Path, address: str, admin_port: int) -> Json:
    """What Envoy is started with: where it watches for the rest."""

    def watched(name: str) -> Json:
        source = {
            "path": str(folder / name),
            "watched_directory": {"path": str(folder)},
        }
        return {"path_config_source": source, "resource_api_version": "V3"}

    return {
        "node": {"id": "meridian", "cluster": "meridian"},
        "admin": {"address": _socket(address, admin_port)},
        "dynamic_resources": {
            "cds_config": watched("clusters.json"),
            "lds_config": watched("listeners.json"),
        },
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _STATS}}},
    }


_STATS = [
    {"suffix": "upstream_rq_active"},
    {"suffix": "upstream_rq_total"},
    {"suffix": "downstream_rq_total"},
    {"suffix": "downstream_cx_active"},
    {"suffix": "ejections_active"},
    {"suffix": "upstream_rq_retry"},
    {"suffix": "rate_limited"},
    {"suffix": "cache_hit"},
]


def endpoints(group: Group, ports: list[int]) -> Json:
    """The ready instances of one service of a region."""
    members = [{"endpoint": {"address": _socket("127.0.0.1", p)}} for p in ports]
    assignment = {
        "cluster_name": group.cluster,
        "endpoints": [{"lb_endpoints": members}],
    }
    kind = f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment"
    return _resources([{"@type": kind, **assignment}])


def clusters(front: Front, folder: Path, clients: list[str]) -> Json:
    """Clusters of every group, and an aggregate per backend and client region."""
    bodies = {
        group: front.bodies.get(backend, {})
        for backend, groups in sorted(front.backends.items())
        for group in groups
    }
    made = [_regional(group, body, folder) for group, body in sorted(bodies.items())]
    for backend, groups in sorted(front.backends.items()):
        made += [_aggregate(backend, groups, client) for client in clients]
    kind = f"{TYPE}.config.cluster.v3.Cluster"
    return _resources([{"@type": kind, **cluster} for cluster in made])


def listeners(front: Front, ports: dict[str, int], address: str) -> Json:
    """One listener for the clients of each region."""
    kind = f"{TYPE}.config.listener.v3.Listener"
    return _resources(
        [
            {
                "@type": kind,
                "name": f"from/{region}",
                "address": _socket(address, port),
                "filter_chains": [{"filters": [_manager(front, region)]}],
            }
            for region, port in sorted(ports.items())
        ]
    )


def _regional(group: Group, body: Json, folder: Path) -> Json:
    source = {
        "path": str(folder / group.file),
        "watched_directory": {"path": str(folder)},
    }
    eds = {"path_config_source": source, "resource_api_version": "V3"}
    return {
        "name": group.cluster,
        "type": "EDS",
        **(_HTTP2 if group.http2 else {}),
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {"eds_config": eds},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "outlier_detection": _outliers(body.get("outlierDetection", {})),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 100_000,
                    "max_pending_requests": 100_000,
                    "max_requests": 100_000,
                    "max_retries": 10_000,
                }
            ]
        },
    }


_HTTP2 = {
    "typed_extension_protocol_options": {
        f"{TYPE.rpartition('/')[2]}.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}


def _outliers(declared: Json) -> Json:
    def seconds(name: str, default: float) -> str:
        value = declared.get(name, {})
        return f"{value.get('seconds', default)}s"

    return {
        "consecutive_5xx": declared.get("consecutiveErrors", 5),
        "enforcing_consecutive_5xx": declared.get("enforcingConsecutiveErrors", 100),
        "consecutive_gateway_failure": declared.get("consecutiveGatewayFailure", 5),
        "enforcing_consecutive_gateway_failure": declared.get(
            "enforcingConsecutiveGatewayFailure", 0
        ),
        "enforcing_success_rate": 0,
        "interval": seconds("interval", 1),
        "base_ejection_time": seconds("baseEjectionTime", 30),
        "max_ejection_percent": declared.get("maxEjectionPercent", 50),
        "always_eject_one_host": True,
    }


def _aggregate(backend: str, groups: list[Group], client: str) -> Json:
    named = {group.region: group.cluster for group in groups}
    order = [named[r] for r in [client, *nearest(client, [*named])] if r in named]
    config = {
        "@type": f"{TYPE}.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": order,
    }
    return {
        "name": f"{backend}/from/{client}",
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": config},
    }


def _manager(front: Front, client: str) -> Json:
    """The HTTP connection manager of one client region."""
    router = {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{TYPE}.extensions.filters.network."
        "http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"from/{client}",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": f"{STREAM_SECONDS}s",
        "use_remote_address": True,
        "generate_request_id": True,
        "route_config": _routes(front, client),
        "http_filters": [
            *_rate_limit(front),
            *_cache(front),
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    name = "envoy.filters.network.http_connection_manager"
    return {"name": name, "typed_config": manager}


def _rate_limit(front: Front) -> list[Json]:
    """Armor's throttle rules. All clients here share one address, so one bucket is
    theirs.
    """
    rules = [
        rule
        for policy in front.policies.values()
        for rule in policy.get("rules", ())
        if rule.get("action") == "throttle" and not rule.get("preview")
    ]
    if not rules:
        return []
    threshold = rules[0]["rateLimitOptions"]["rateLimitThreshold"]
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": f"{TYPE}.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "armor",
        "token_bucket": {
            "max_tokens": threshold["count"],
            "tokens_per_fill": threshold["count"],
            "fill_interval": f"{threshold['intervalSec']}s",
        },
        "filter_enabled": {"runtime_key": "armor_enabled", **always},
        "filter_enforced": {"runtime_key": "armor_enforced", **always},
    }
    return [{"name": "envoy.filters.http.local_ratelimit", "typed_config": config}]


CACHE = "envoy.filters.http.cache"


def _cache(front: Front) -> list[Json]:
    """A cache in memory; the routes of backends with a CDN turn it on."""
    if not any(body.get("enableCDN") for body in front.bodies.values()):
        return []
    kept = f"{TYPE}.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"
    config = {
        "@type": f"{TYPE}.extensions.filters.http.cache.v3.CacheConfig",
        "typed_config": {"@type": kept},
    }
    return [{"name": CACHE, "disabled": True, "typed_config": config}]


def _routes(front: Front, client: str) -> Json:
    matcher = (front.url_map.get("pathMatchers") or [{}])[0]
    default = matcher.get("defaultService") or front.url_map["defaultService"]
    routes = [
        _route(front, _match(match), rule, rule["service"], client)
        for rule in sorted(matcher.get("routeRules", ()), key=lambda r: r["priority"])
        for match in rule["matchRules"]
    ]
    action = {"routeAction": matcher.get("defaultRouteAction", {})}
    routes.append(_route(front, {"prefix": "/"}, action, default, client))
    host = {"name": "world", "domains": ["*"], "routes": routes}
    # A listener may be read before the clusters of the same change.
    checked = {"validate_clusters": False}
    return {"name": f"from/{client}", "virtual_hosts": [host], **checked}


def _match(declared: Json) -> Json:
    """Google's prefix, or its path template, of the same grammar as Envoy's."""
    if "prefixMatch" in declared:
        return {"prefix": declared["prefixMatch"]}
    path = declared["pathTemplateMatch"]
    name = "envoy.path.match.uri_template.uri_template_matcher"
    kind = f"{TYPE}.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
    config = {"@type": kind, "path_template": path}
    return {"path_match_policy": {"name": name, "typed_config": config}}


def _route(front: Front, match: Json, rule: Json, service: str, client: str) -> Json:
    backend = service.rsplit("/", 1)[-1]
    action: Json = {
        "cluster": f"{backend}/from/{client}",
        "timeout": f"{STREAM_SECONDS}s",
        "idle_timeout": f"{STREAM_SECONDS}s",
    }
    retry = rule.get("routeAction", {}).get("retryPolicy")
    if retry:
        action["retry_policy"] = _retry(retry)
    body = front.bodies.get(backend, {})
    route = {
        "match": match,
        "route": action,
        "request_headers_to_add": _headers(body),
    }
    if body.get("enableCDN"):
        on = {"@type": f"{TYPE}.config.route.v3.FilterConfig", "config": {}}
        route["typed_per_filter_config"] = {CACHE: on}
    return route


_VARIABLES = {"{client_ip_address}": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
"""Google's variables of custom headers, as Envoy writes them."""


def _headers(body: Json) -> list[Json]:
    """Custom request headers, written over a client's own: texts, known variables."""
    made = []
    for header in body.get("customRequestHeaders", ()):
        name, _, value = header.partition(":")
        value = _VARIABLES.get(value, value)
        if not value.startswith("{"):
            option = {"key": name, "value": value}
            action = "OVERWRITE_IF_EXISTS_OR_ADD"
            made.append({"header": option, "append_action": action})
    return made


def _retry(declared: Json) -> Json:
    """Each further try goes to the next region: a failed one stored nothing."""
    previous = {
        "@type": f"{TYPE}.extensions.retry.priority.previous_priorities.v3."
        "PreviousPrioritiesConfig",
        "update_frequency": 1,
    }
    conditions = [c for c in declared["retryConditions"] if c in RETRIES]
    return {
        "retry_on": ",".join(conditions),
        "num_retries": declared.get("numRetries", 1),
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": previous,
        },
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    }


def _socket(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def _resources(resources: list[Json]) -> Json:
    return {"version_info": "1", "resources": resources}
