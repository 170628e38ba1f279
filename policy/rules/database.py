"""Cloud SQL for PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import SQL
from policy.world import World

REPLICAS = 10
LARGEST_CPU = 96
LARGEST_MIB = 624 * 1024
EDITION_ASKED = 16
"""First version whose default edition refuses custom shapes."""
UNIT = re.compile(r"\s*\d+(\.\d+)?\s*(B|kB|KB|MB|GB|TB|us|ms|s|min|h|d)\s*")
CUSTOM = re.compile(r"db-custom-([0-9]{1,4})-([0-9]{1,8})")
PLUS = "db-perf-optimized-"


def _version(record: Record) -> int:
    """Major version of PostgreSQL; 0 where it is another database or not known."""
    found = re.fullmatch(
        r"POSTGRES_([0-9]{1,3})(_[0-9]+)?", record.at("databaseVersion").text or ""
    )
    return int(found[1]) if found else 0


@rule(
    "sql-no-public-address",
    MANDATORY,
    "A database has no public address.",
    f"{sources.SQL}: public when unset",
    SQL,
)
def no_public_address(record: Record) -> Iterator[Fault]:
    field = record.at("settings.ipConfiguration.ipv4Enabled")
    if field.is_not(False):
        yield field.fault(
            "the server is on the Internet, also when unset",
            "set it to false and give private_network",
        )


@rule(
    "sql-tls-only",
    MANDATORY,
    "A database refuses connections in clear.",
    f"{sources.SQL}: ALLOW_UNENCRYPTED_AND_ENCRYPTED when unset",
    SQL,
)
def tls_only(record: Record) -> Iterator[Fault]:
    field = record.at("settings.ipConfiguration.sslMode")
    if field.is_not("ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"):
        yield field.fault(
            "connections in clear are accepted, also when unset", "set ENCRYPTED_ONLY"
        )


@rule(
    "sql-edition-stated",
    MANDATORY,
    "From PostgreSQL 16 on the edition is stated.",
    f"{sources.PROVIDER}: ENTERPRISE_PLUS when unset refuses custom shapes",
    SQL,
)
def edition_stated(record: Record) -> Iterator[Fault]:
    field = record.at("settings.edition")
    if field.absent and _version(record) >= EDITION_ASKED:
        yield field.fault(
            f"{record.at('databaseVersion').shown()} defaults to ENTERPRISE_PLUS, "
            "which refuses db-custom shapes",
            "set ENTERPRISE or ENTERPRISE_PLUS",
        )


@rule(
    "sql-tier-of-edition",
    MANDATORY,
    "Shape and edition go together.",
    sources.SQL_PAGE,
    SQL,
)
def tier_of_edition(record: Record) -> Iterator[Fault]:
    tier = record.at("settings.tier")
    edition = record.at("settings.edition")
    text = tier.text or ""
    if edition.is_("ENTERPRISE_PLUS") and CUSTOM.fullmatch(text):
        yield tier.fault(
            f"ENTERPRISE_PLUS takes {PLUS}* alone",
            "choose such a shape, or set the edition ENTERPRISE",
        )
    if edition.is_("ENTERPRISE") and text.startswith(PLUS):
        yield tier.fault(
            "ENTERPRISE takes db-custom-CPU-MB",
            "choose such a shape, or set the edition ENTERPRISE_PLUS",
        )


@rule(
    "sql-custom-shape",
    MANDATORY,
    "A custom shape has 1 or an even number of CPUs up to 96, and up to 624 GiB.",
    f"{sources.SQL_PAGE}: 0.9 to 6.5 GiB a CPU, a multiple of 256 MiB",
    SQL,
)
def custom_shape(record: Record) -> Iterator[Fault]:
    tier = record.at("settings.tier")
    found = CUSTOM.fullmatch(tier.text or "")
    if not found:
        return
    cpu, mib = int(found[1]), int(found[2])
    if not (cpu == 1 or (2 <= cpu <= LARGEST_CPU and cpu % 2 == 0)):
        yield tier.fault(
            f"1 or an even number up to {LARGEST_CPU} CPUs are possible",
            "choose the next even number",
        )
    elif not max(3840, cpu * 0.9 * 1024) <= mib <= min(LARGEST_MIB, cpu * 6.5 * 1024):
        low = max(3840, cpu * 0.9 * 1024)
        high = min(LARGEST_MIB, cpu * 6.5 * 1024)
        yield tier.fault(f"{cpu} CPU take {low:g} to {high:g} MiB", "change the memory")
    elif mib % 256:
        yield tier.fault("memory is a multiple of 256 MiB", "round it up")


@rule(
    "sql-flags-plain",
    MANDATORY,
    "Flags are numbers in their own unit, without a suffix.",
    f"{sources.SQL_PAGE}: integers of 8 kB or of kB",
    SQL,
)
def flags_plain(record: Record) -> Iterator[Fault]:
    for flag in record.root.each("settings.databaseFlags"):
        value = flag.at("value")
        if UNIT.fullmatch(value.text or ""):
            yield value.fault(
                f"{flag.at('name').shown()} takes a plain integer in PostgreSQL's own "
                "unit",
                "convert it, such as 32768 pages of 8 kB for 256MB",
            )


def replicas(primary: Record, world: World) -> list[Record]:
    """Read replicas of a server."""
    return [
        r for r in world.of(SQL) if r is not primary and primary in _primaries(r, world)
    ]


def _primaries(replica: Record, world: World) -> list[Record]:
    if replica.at("masterInstanceName").absent:
        return []
    return world.meant_by(replica, "masterInstanceName", SQL)


@relation(
    "sql-replicas-of-a-primary",
    MANDATORY,
    "A primary has at most ten replicas.",
    sources.SQL_PAGE,
    SQL,
)
def replicas_of_a_primary(record: Record, world: World) -> Iterator[Fault]:
    count = len(replicas(record, world))
    if count > REPLICAS:
        yield record.at("name").fault(
            f"{REPLICAS} replicas are possible, {count} declared",
            "declare further primaries, or replicas of replicas",
        )


@relation(
    "sql-replica-elsewhere",
    MANDATORY,
    "A replica is in another region than its primary.",
    f"{sources.PEER}: replicas in the primary's own region survive no loss of it",
    SQL,
)
def replica_elsewhere(record: Record, world: World) -> Iterator[Fault]:
    region = record.at("region")
    for primary in _primaries(record, world):
        if region.text and region.text == primary.at("region").text:
            yield region.fault(
                f"{primary.name} is there too: the loss of the region takes both",
                "place it in the region that it serves",
            )


@rule(
    "sql-regional-backups",
    MANDATORY,
    "A primary in two zones has backups and keeps its log.",
    f"{sources.SQL}: REGIONAL needs both",
    SQL,
)
def regional_backups(record: Record) -> Iterator[Fault]:
    if not record.at("settings.availabilityType").is_("REGIONAL"):
        return
    if not record.at("masterInstanceName").absent:
        return
    backups = record.at("settings.backupConfiguration")
    for key in ("enabled", "pointInTimeRecoveryEnabled"):
        field = backups.at(key)
        if field.is_not(True):
            yield field.fault(
                "settings.availabilityType is REGIONAL, which is refused without it",
                "set it to true",
            )


@rule(
    "sql-grown-disk-kept",
    MANDATORY,
    "A disk that grows by itself is not shrunk by the next update.",
    f"{sources.PROVIDER}: a smaller disk replaces the server",
    SQL,
)
def grown_disk_kept(record: Record) -> Iterator[Fault]:
    size = record.at("settings.diskSize")
    grows = record.at("settings.diskAutoresize")
    kept = {"settings.diskSize", "settings", "*"} & set(record.ignore_changes)
    if size.given and not grows.is_(False) and not kept and not grows.unknown:
        yield size.fault(
            "the disk grows beyond it, and setting it back replaces the server",
            'add ignore_changes=["settings.diskSize"]',
        )


@rule(
    "sql-passwordless",
    ADVISORY,
    "A database knows its users by IAM.",
    sources.SQL_PAGE,
    SQL,
)
def passwordless(record: Record) -> Iterator[Fault]:
    flags = record.at("settings.databaseFlags")
    if flags.unknown or _version(record) == 0:
        return
    named = [flag for flag in _flags(record) if flag.at("name").unknown]
    on = [
        flag
        for flag in _flags(record)
        if flag.at("name").is_("cloudsql.iam_authentication")
        and not flag.at("value").is_not("on", "true")
    ]
    if not on and not named:
        yield flags.fault(
            "users log in with passwords, which must be kept somewhere",
            "add the flag cloudsql.iam_authentication with the value on",
        )


def _flags(record: Record) -> list[Field]:
    return record.root.each("settings.databaseFlags")
