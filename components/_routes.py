"""Rules of the load balancer as plain data: paths, retries, Armor, ejection, CDN."""

import pulumi

from components._base import Block
from topology import names

CACHEABLE = "/v1/public/{address=**}"
"""Items of public collections and signed addresses: what caches may keep."""

RETRIED = ["connect-failure", "gateway-error", "refused-stream"]
"""A refused write stored nothing or is known again by its event id."""

RETRIED_RPC = ["connect-failure", "refused-stream", "unavailable"]
"""The same for gRPC, whose refusals are statuses."""

SQLI = "evaluatePreconfiguredWaf('sqli-v33-stable', {'sensitivity': 1})"


def armor_rules(requests_per_minute: int) -> list[Block]:
    """Inline rules, by priority: separate rule resources would fight with these."""
    return [
        {
            "priority": 200,
            "action": "deny(403)",
            "preview": True,
            "description": "SQL injection, counted only: vectors and prose look odd",
            "match": {"expr": {"expression": SQLI}},
        },
        {
            "priority": 1000,
            "action": "throttle",
            "description": "Requests of one address, in each region of the balancer",
            "match": _everyone(),
            "rate_limit_options": {
                "conform_action": "allow",
                "exceed_action": "deny(429)",
                "enforce_on_key": "IP",
                "rate_limit_threshold": {
                    "count": requests_per_minute,
                    "interval_sec": 60,
                },
            },
        },
        {
            "priority": 2_147_483_647,
            "action": "allow",
            "description": "Default rule, which every policy must have",
            "match": _everyone(),
        },
    ]


def _everyone() -> Block:
    return {"versioned_expr": "SRC_IPS_V1", "config": {"src_ip_ranges": ["*"]}}


def outlier_detection(errors: int, seconds: int, percent: int) -> Block:
    """Ejection by errors in a row; Google refuses success rates for serverless."""
    return {
        "base_ejection_time": {"seconds": seconds},
        "consecutive_errors": errors,
        "consecutive_gateway_failure": errors,
        "enforcing_consecutive_errors": 100,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": {"seconds": 1},
        "max_ejection_percent": percent,
    }


def cdn_policy(stale_seconds: int) -> Block:
    """The origin decides by its headers, so no time to live may be given here."""
    return {
        "cache_mode": "USE_ORIGIN_HEADERS",
        "cache_key_policy": {
            "include_host": True,
            "include_protocol": True,
            "include_query_string": True,
        },
        "request_coalescing": True,
        "serve_while_stale": stale_seconds,
    }


def path_matcher(
    streams: pulumi.Input[str],
    reads: pulumi.Input[str],
    rpc: pulumi.Input[str] | None,
    retries: int,
) -> Block:
    """What caches may keep to the cached backend, gRPC to its own, all else to the
    streams."""
    rules = [_rule(1, {"path_template_match": CACHEABLE}, reads, RETRIED, retries)]
    if rpc is not None:
        path = {"prefix_match": names.RPC_PATHS}
        rules.append(_rule(2, path, rpc, RETRIED_RPC, retries))
    return {
        "name": "paths",
        "default_service": streams,
        "default_route_action": {"retry_policy": _retry(RETRIED, retries)},
        "route_rules": rules,
    }


def _rule(
    priority: int,
    match: Block,
    service: pulumi.Input[str],
    conditions: list[str],
    retries: int,
) -> Block:
    return {
        "priority": priority,
        "match_rules": [match],
        "service": service,
        "route_action": {"retry_policy": _retry(conditions, retries)},
    }


def _retry(conditions: list[str], retries: int) -> Block:
    return {"num_retries": retries, "retry_conditions": conditions}
