"""Cloud Run: who reaches a service, what it reaches, and as whom it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import BUCKET, REDIS, SERVICE, SERVICE_GRANTS, SQL, WORKERS
from policy.rules.run import containers, mebibytes
from policy.world import World

BALANCER_ONLY = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$")
NUMBERED = re.compile(r"[1-9][0-9]*")


@rule(
    "run-ingress-balancer-only",
    MANDATORY,
    "Requests reach a service through the load balancer alone.",
    sources.RUN,
    SERVICE,
)
def ingress_balancer_only(record: Record) -> Iterator[Fault]:
    field = record.at("ingress")
    allowed = (BALANCER_ONLY, "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_NONE")
    if field.is_not(*allowed):
        yield field.fault(
            "the run.app address passes by Cloud Armor and its limits, and all may "
            "call it when unset",
            f"set {BALANCER_ONLY}",
        )


@rule(
    "run-default-uri-off",
    ADVISORY,
    "A service behind a load balancer has no address of its own.",
    sources.RUN,
    SERVICE,
)
def default_uri_off(record: Record) -> Iterator[Fault]:
    field = record.at("defaultUriDisabled")
    if field.is_not(True):
        yield field.fault("a second address stands open inside", "set it to true")


@relation(
    "run-invoker-decided",
    MANDATORY,
    "Somebody may invoke a service.",
    f"{sources.RUN_IAM}: the balancer sends no token, the service answers 403",
    SERVICE,
)
def invoker_decided(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("invokerIamDisabled")
    if field.is_not(True) and not any(
        not grant.at("role").is_not("roles/run.invoker")
        and world.may_mean(grant, "name", record)
        for grant in world.of(*SERVICE_GRANTS)
    ):
        yield field.fault(
            "without a grant of roles/run.invoker every request ends in 403",
            "set it to true where the balancer and Cloud Armor guard the service",
        )


@relation(
    "run-vpc-for-private-stores",
    MANDATORY,
    "A service beside a private Redis or SQL server has a way into the network.",
    sources.RUN_NETWORK,
    SERVICE,
    WORKERS,
)
def vpc_for_private_stores(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("template.vpcAccess")
    if field.empty and world.of(REDIS, SQL):
        yield field.fault(
            "private addresses of Redis and SQL cannot be reached",
            "set network_interfaces with the region's subnet",
        )


@rule(
    "run-one-way-out",
    MANDATORY,
    "A connector and direct egress exclude each other.",
    sources.RUN_NETWORK,
    SERVICE,
    WORKERS,
)
def one_way_out(record: Record) -> Iterator[Fault]:
    access = record.at("template.vpcAccess")
    connector = access.at("connector")
    if connector.given and access.at("networkInterfaces").given:
        yield connector.fault(
            "networkInterfaces are given too, one of the two is possible",
            "leave the connector out",
        )


@rule(
    "run-own-identity",
    MANDATORY,
    "A service runs as an account of its own.",
    f"{sources.RUN}: the project's default account when unset, often an editor",
    SERVICE,
    WORKERS,
)
def own_identity(record: Record) -> Iterator[Fault]:
    field = record.at("template.serviceAccount")
    default = (field.text or "").endswith("-compute@developer.gserviceaccount.com")
    if field.empty or default:
        yield field.fault(
            "the default account of the project may change everything in it",
            "declare a ServiceIdentity and pass its address",
        )


@rule(
    "run-secret-version",
    MANDATORY,
    "A secret is read in a version that exists.",
    f"{sources.RUN}: a revision fails while `latest` is missing",
    SERVICE,
    WORKERS,
)
def secret_version(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        for entry in container.each("envs"):
            reference = entry.at("valueSource.secretKeyRef")
            version = reference.at("version")
            if reference.given and not _numbered(version):
                yield version.fault(
                    "a revision with `latest`, or none, fails before the first "
                    "version is written, and changes unseen after",
                    "write the version with `meridian secret put`, use its number",
                )


def _numbered(version: Field) -> bool:
    return version.unknown or bool(NUMBERED.fullmatch(version.shown()))


@rule(
    "run-env-no-secret",
    MANDATORY,
    "A variable carries no secret as plain text.",
    f"{sources.RUN}: variables are shown to every viewer",
    SERVICE,
    WORKERS,
)
def env_no_secret(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        for entry in container.each("envs"):
            name, value = entry.at("name").text or "", entry.at("value")
            if SECRET_NAME.search(name) and value.given and not value.empty:
                yield value.fault(
                    f"{name} is kept in the state and shown to every viewer",
                    "use value_source with a secret, or read it at run time",
                    value="a secret in plain text",
                )


@relation(
    "run-cache-in-region",
    MANDATORY,
    "A service uses the Redis of its own region.",
    f"{sources.PEER}: one address of Redis for all regions",
    SERVICE,
    WORKERS,
)
def cache_in_region(record: Record, world: World) -> Iterator[Fault]:
    here = record.at("location")
    used = world.used_by(record, "template", REDIS)
    regions = {r.at("region").text or "" for r in used}
    if here.text and regions and not regions & {here.text, ""}:
        found = ", ".join(sorted(regions))
        yield here.fault(
            f"its Redis is in {found}: every read crosses the world, and the regions "
            "fail together",
            "pass the cache of the same cell",
        )


@relation(
    "run-bucket-declared",
    MANDATORY,
    "A mounted bucket is declared.",
    f"{sources.PEER}: buckets exist for some of the regions",
    SERVICE,
    WORKERS,
)
def bucket_declared(record: Record, world: World) -> Iterator[Fault]:
    known = {bucket.at("name").text for bucket in world.of(BUCKET)}
    if None in known:
        return
    for volume in record.root.each("template.volumes"):
        bucket = volume.at("gcs.bucket")
        if bucket.text and bucket.text not in known:
            yield bucket.fault(
                "no such bucket is declared, and the revision does not start",
                "pass the name of the region's own bucket resource",
            )


@rule(
    "run-memory-volume-fits",
    MANDATORY,
    "Files of an instance fit into its memory.",
    f"{sources.RUN}: an emptyDir lies in memory",
    SERVICE,
    WORKERS,
)
def memory_volume_fits(record: Record) -> Iterator[Fault]:
    limits = [c.at("resources.limits.memory") for c in containers(record)]
    memory = [mebibytes(limit) for limit in limits]
    if not memory or None in memory:
        return
    total = sum(size for size in memory if size is not None)
    for volume in record.root.each("template.volumes"):
        limit = volume.at("emptyDir.sizeLimit")
        size = mebibytes(limit)
        if size is not None and size >= total:
            yield limit.fault(
                f"the file system is memory, and the instance has {total:g} MiB",
                "make it smaller than the memory that the process leaves free",
            )
