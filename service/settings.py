"""What a process reads from its environment; see docs/architecture.md."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from service.contract import Limits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment of a service process."""

    role: str
    """`stream` or `worker`."""
    environment: str
    region: str
    hub: str
    """Hub whose primary takes this region's writes: the origin of its changes."""
    hubs: tuple[str, ...]
    """Every origin that is followed."""
    project: str
    database_primary: str
    """host:port of the hub's primary."""
    database_local: str
    """host:port of this region's own server."""
    database_name: str
    database_user: str
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
    revision: str
    google_api: str
    """Pattern of Google's addresses; `{api}` stands for the API's host."""
    metadata_host: str
    """Empty where there is no metadata server: then no credentials are sent."""

    @property
    def is_hub(self) -> bool:
        """Whether this region holds a primary."""
        return self.region == self.hub

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
            revision=environ.get("K_REVISION", ""),
            google_api=environ.get("MERIDIAN_GOOGLE_API", "https://{api}"),
            metadata_host=environ.get("GCE_METADATA_HOST", ""),
        )


def _limits(text: str) -> Limits:
    known = Limits.__dataclass_fields__
    given = orjson.loads(text)
    return Limits(**{key: int(v) for key, v in given.items() if key in known})
