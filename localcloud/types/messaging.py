"""Pub/Sub."""

from localcloud.types.base import Create, Json, ResourceType

SOURCE = "pubsub v1 discovery; gcp.md 1.6 (filter and ordering replace)"
DROP = frozenset({"deletionPolicy", "name", "project"})


def _defaults(body: Json) -> None:
    body.setdefault("ackDeadlineSeconds", 10)
    body.setdefault("messageRetentionDuration", "604800s")


TYPES = (
    ResourceType(
        token="gcp:pubsub/schema:Schema",
        api="pubsub.googleapis.com",
        schema="Schema",
        path="v1/projects/{project}/schemas/{id}",
        source="pubsub v1 discovery; a new definition is a revision in place",
        id_param="schemaId",
        drop=DROP,
        replace=frozenset({"name", "project", "type"}),
    ),
    ResourceType(
        token="gcp:pubsub/topic:Topic",
        api="pubsub.googleapis.com",
        schema="Topic",
        path="v1/projects/{project}/topics/{id}",
        source=SOURCE,
        create=Create.PUT,
        drop=DROP,
        replace=frozenset({"name", "project"}),
        runs="broker of the control plane",
    ),
    ResourceType(
        token="gcp:pubsub/subscription:Subscription",
        api="pubsub.googleapis.com",
        schema="Subscription",
        path="v1/projects/{project}/subscriptions/{id}",
        source=SOURCE,
        create=Create.PUT,
        drop=DROP | {"cloudStorageConfig.textConfig.state"},
        replace=frozenset(
            {"name", "project", "topic", "filter", "enableMessageOrdering"}
        ),
        defaults=_defaults,
        runs="broker of the control plane",
    ),
)
