"""What a process reads from its environment; see docs/architecture.md."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from service.access.address import Network, read_networks
from service.access.bucket import Rate
from service.contract import Limits

_SECRET = frozenset({"root_key_sha256"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment of a service process."""

    role: str
    """`stream` or `worker`."""
    environment: str
    region: str
    hub: str
    """Origin of this region's writes: the hub whose primary first took them."""
    hubs: tuple[str, ...]
    """Every origin that is followed."""
    project: str
    database_primary: str
    """host:port of the hub's primary."""
    database_local: str
    """host:port of this region's own server."""
    database_name: str
    database_user: str
    database_pooled: bool
    """Whether a pooler that lends sessions for a transaction stands before both."""
    redis_host: str
    redis_port: int
    redis_instance: str
    redis_tls: bool
    topic_changes: str
    topic_repairs: str
    subscription_changes: str
    subscription_repairs: str
    """Empty outside hubs."""
    limits: Limits
    host: str
    port: int | None
    """None: listen nowhere."""
    protocol: str
    """`http` or `grpc`: one port carries one of them (ADR 0010)."""
    admin_port: int
    """Beside gRPC: health, metrics and administration over HTTP/1.1."""
    service: str
    """Name that the platform gives; empty where it gives none."""
    revision: str
    access: str
    """`open`: nobody is asked who he is; `required`: everybody needs a key."""
    root_key_sha256: str
    """SHA-256 of the root key, empty: there is none."""
    address_header: str
    """Header that the load balancer writes a client's address into; empty: none."""
    proxies: tuple[Network, ...]
    """Networks whose `x-forwarded-for` is believed."""
    issuers: str
    """JSON list of OIDC issuers."""
    rates: dict[str, dict[str, Rate]]
    """By tier and group; what is not named is not limited."""
    digest_seconds: float
    """Seconds between two comparisons of a hub's state with another hub's."""
    bucket: str
    """Where the region keeps snapshots of collections; empty: nowhere."""
    snapshot_seconds: float
    """Seconds after which a worker brings a snapshot up to date."""
    snapshot_rows: int
    """Rows below which a collection has no snapshot."""
    trace_share: float
    """Share of changes and requests whose spans are kept, 0 to 1."""
    push_seconds: float
    """Between two sendings of the metrics by this process; 0: others scrape it."""
    graph: str
    """`auto`: graphs for searches where they pay; `always` or `off`."""
    graph_mib: int
    """Most memory of all graphs of an instance; 0: a quarter of the container's."""
    google_api: str
    """Pattern of Google's addresses; `{api}` stands for the API's host."""
    metadata_host: str
    """Empty where there is no metadata server: then no credentials are sent."""

    def shown(self) -> dict[str, Any]:
        """Everything by name, for people; whatever is secret is masked."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["limits"] = asdict(self.limits)
        plain["proxies"] = [str(network) for network in self.proxies]
        return {k: "***" if k in _SECRET and v else v for k, v in plain.items()}

    @property
    def is_hub(self) -> bool:
        """Whether this region holds its origin's primary."""
        return self.database_primary == self.database_local

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SystemExit naming the first variable that is missing."""

        def need(name: str) -> str:
            if not environ.get(name):
                raise SystemExit(f"{name} is not set: see docs/architecture.md.")
            return environ[name]

        port = environ.get("PORT")
        return cls(
            role=need("MERIDIAN_ROLE"),
            environment=environ.get("MERIDIAN_ENVIRONMENT", ""),
            region=need("MERIDIAN_REGION"),
            hub=need("MERIDIAN_HUB"),
            hubs=tuple(h.strip() for h in need("MERIDIAN_HUBS").split(",")),
            project=environ.get("GOOGLE_CLOUD_PROJECT", ""),
            database_primary=need("DATABASE_PRIMARY"),
            database_local=need("DATABASE_LOCAL"),
            database_name=need("DATABASE_NAME"),
            database_user=need("DATABASE_USER"),
            database_pooled=environ.get("DATABASE_POOLED") == "1",
            redis_host=need("REDIS_HOST"),
            redis_port=int(need("REDIS_PORT")),
            redis_instance=environ.get("REDIS_INSTANCE", ""),
            redis_tls=environ.get("REDIS_TLS") == "1",
            topic_changes=need("PUBSUB_TOPIC_CHANGES"),
            topic_repairs=need("PUBSUB_TOPIC_REPAIRS"),
            subscription_changes=environ.get("PUBSUB_SUBSCRIPTION_CHANGES", ""),
            subscription_repairs=environ.get("PUBSUB_SUBSCRIPTION_REPAIRS", ""),
            limits=_limits(environ.get("SERVICE_LIMITS", "{}")),
            host=environ.get("HOST", "0.0.0.0"),
            port=int(port) if port else None,
            protocol=_one_of(environ, "MERIDIAN_PROTOCOL", ("http", "grpc")),
            admin_port=int(environ.get("MERIDIAN_ADMIN_PORT", "8081")),
            service=environ.get("K_SERVICE", ""),
            revision=environ.get("K_REVISION", ""),
            access=_one_of(environ, "MERIDIAN_ACCESS", ("open", "required")),
            root_key_sha256=environ.get("MERIDIAN_ROOT_KEY_SHA256", ""),
            address_header=environ.get("MERIDIAN_CLIENT_ADDRESS", "").lower(),
            proxies=read_networks(environ.get("MERIDIAN_PROXIES", "")),
            issuers=environ.get("MERIDIAN_ISSUERS", ""),
            rates=_rates(environ.get("MERIDIAN_RATES", "{}")),
            digest_seconds=_seconds(environ, "MERIDIAN_DIGEST_SECONDS", 600.0),
            bucket=environ.get("MERIDIAN_BUCKET", ""),
            snapshot_seconds=_seconds(environ, "MERIDIAN_SNAPSHOT_SECONDS", 1800.0),
            snapshot_rows=_whole(environ, "MERIDIAN_SNAPSHOT_ROWS", "5000"),
            trace_share=_share(environ.get("MERIDIAN_TRACE_SHARE", "0")),
            push_seconds=_seconds(environ, "MERIDIAN_PUSH_SECONDS", 0.0),
            graph=_one_of(environ, "MERIDIAN_GRAPH", ("auto", "off", "always")),
            graph_mib=_whole(environ, "MERIDIAN_GRAPH_MIB", "0"),
            google_api=environ.get("MERIDIAN_GOOGLE_API", "https://{api}"),
            metadata_host=environ.get("GCE_METADATA_HOST", ""),
        )


def _rates(text: str) -> dict[str, dict[str, Rate]]:
    """Rates from JSON: {tier: {group: [per second, burst]}}."""
    try:
        return {
            tier: {group: Rate(*map(float, pair)) for group, pair in groups.items()}
            for tier, groups in orjson.loads(text).items()
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise SystemExit(
            f"MERIDIAN_RATES is not understood ({error}): send "
            '{"free": {"search": [per second, burst]}}.'
        ) from None


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SystemExit(f"MERIDIAN_TRACE_SHARE is {text!r}; allowed: 0 to 1.")
    return share


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """A duration; the shortest is 0.1 s."""
    text = environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise SystemExit(f"{name} is {text!r}; allowed: 0.1 to 86400 seconds.")
    return seconds


def _whole(environ: Mapping[str, str], name: str, default: str) -> int:
    """A whole number, the default where it is not set."""
    text = environ.get(name) or default
    if not (text.isascii() and text.isdecimal()):
        raise SystemExit(f"{name} is {text!r}; allowed: whole numbers from 0.")
    return int(text)


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """A variable that is one of the allowed words, the first when it is not set."""
    given = environ.get(name) or allowed[0]
    if given not in allowed:
        raise SystemExit(f"{name} is {given!r}; allowed: {', '.join(allowed)}.")
    return given


def _limits(text: str) -> Limits:
    known = Limits.__dataclass_fields__
    given = orjson.loads(text)
    return Limits(**{key: int(v) for key, v in given.items() if key in known})
