"""Cloud Storage, Artifact Registry and Secret Manager."""

from __future__ import annotations

from collections.abc import Iterator

from policy import sources
from policy.field import Fault
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, rule
from policy.rules.kinds import BUCKET, REPOSITORY, SECRET

LIFECYCLE_RULES = 100
ROTATION_SECONDS = 3600


@rule(
    "bucket-uniform-access",
    MANDATORY,
    "A bucket is governed by IAM alone.",
    f"{sources.STORAGE}: objects have lists of their own when unset",
    BUCKET,
)
def uniform_access(record: Record) -> Iterator[Fault]:
    field = record.at("uniformBucketLevelAccess")
    if field.is_not(True):
        yield field.fault(
            "single objects may be public without IAM showing it", "set it to true"
        )


@rule(
    "bucket-no-public-access",
    MANDATORY,
    "A bucket cannot be made public.",
    f"{sources.STORAGE}: inherited when unset",
    BUCKET,
)
def no_public_access(record: Record) -> Iterator[Fault]:
    field = record.at("publicAccessPrevention")
    if field.is_not("enforced"):
        yield field.fault("one grant makes it public", "set enforced")


@rule(
    "bucket-force-destroy",
    MANDATORY,
    "A bucket whose data is kept is not emptied by a destroy.",
    f"{sources.PROVIDER}: force_destroy deletes every object",
    BUCKET,
)
def force_destroy(record: Record) -> Iterator[Fault]:
    field = record.at("forceDestroy")
    if field.is_(True) and (
        record.protect or record.at("deletionPolicy").is_not("DELETE")
    ):
        yield field.fault(
            "its objects are guarded elsewhere and deleted here",
            "leave it out, or make the bucket ephemeral by its durability",
        )


@rule(
    "bucket-lifecycle-rules",
    MANDATORY,
    "A bucket has at most 100 lifecycle rules.",
    sources.STORAGE_PAGE,
    BUCKET,
)
def lifecycle_rules(record: Record) -> Iterator[Fault]:
    count = len(record.root.each("lifecycleRules"))
    if count > LIFECYCLE_RULES:
        yield record.at("lifecycleRules").fault(
            f"{LIFECYCLE_RULES} rules are possible", "join rules by their conditions"
        )


@rule(
    "bucket-autoclass-alone",
    MANDATORY,
    "Autoclass and rules that set a class exclude each other.",
    sources.STORAGE_PAGE,
    BUCKET,
)
def autoclass_alone(record: Record) -> Iterator[Fault]:
    if not record.at("autoclass.enabled").is_(True):
        return
    for entry in record.root.each("lifecycleRules"):
        kind = entry.at("action.type")
        if kind.is_("SetStorageClass"):
            yield kind.fault(
                "autoclass.enabled is true, which decides the class itself",
                "leave the rule out",
            )


@rule(
    "registry-tags-immutable",
    ADVISORY,
    "A tag of a container image stays what it was.",
    "Google discovery artifactregistry v1, 2026-11-06",
    REPOSITORY,
)
def tags_immutable(record: Record) -> Iterator[Fault]:
    field = record.at("dockerConfig.immutableTags")
    if record.at("format").is_("DOCKER") and field.is_not(True):
        yield field.fault("a tag may be pushed over", "set it to true")


@rule(
    "secret-rotation",
    MANDATORY,
    "A secret is rotated once an hour at most.",
    "Google discovery secretmanager v1, 2026-11-06",
    SECRET,
)
def secret_rotation(record: Record) -> Iterator[Fault]:
    field = record.at("rotation.rotationPeriod")
    if field.seconds is not None and field.seconds < ROTATION_SECONDS:
        yield field.fault(f"{ROTATION_SECONDS}s or more is possible", "set a day")
