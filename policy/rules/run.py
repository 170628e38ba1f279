"""Cloud Run: bounds of instances and requests, and what every revision must state."""

from __future__ import annotations

from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, rule
from policy.rules.kinds import SERVICE, WORKERS

LONGEST_SECONDS = 3600
CONCURRENCY = 1000
MEMORY_MIB = {
    "1": (128, 4096),
    "2": (128, 8192),
    "4": (2048, 16384),
    "6": (4096, 24576),
    "8": (4096, 32768),
}
"""Memory that goes with whole CPUs, MiB."""
SMALLEST_CPU = 0.08
ENV_BYTES = 32 * 1024
CONTAINERS = 10
PROBES = {"startupProbe": 240, "livenessProbe": 3600, "readinessProbe": 3600}
"""Longest period of a probe, seconds."""
UNITS = {"": 1 / 2**20, "k": 1000 / 2**20, "M": 10**6 / 2**20, "G": 10**9 / 2**20}
UNITS |= {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}
"""Kubernetes quantities in MiB."""


def containers(record: Record) -> list[Field]:
    return record.root.each("template.containers")


def mebibytes(field: Field) -> float | None:
    """A quantity such as `512Mi`."""
    text = field.text or ""
    digits = text.rstrip("KMGik")
    number = Field(digits).number
    unit = UNITS.get(text[len(digits) :])
    return None if number is None or unit is None else number * unit


def cpus(field: Field) -> float | None:
    """A number of CPUs, such as `4` or `500m`."""
    text = field.text or ""
    if text.endswith("m"):
        number = Field(text[:-1]).number
        return None if number is None else number / 1000
    return field.number


@rule(
    "run-max-instances-set",
    MANDATORY,
    "A service states its maximum of instances.",
    f"{sources.RUN}: 100 when unset",
    SERVICE,
)
def max_instances_set(record: Record) -> Iterator[Fault]:
    revision = record.at("template.scaling.maxInstanceCount")
    service = record.at("scaling.maxInstanceCount")
    if revision.absent and service.absent:
        yield revision.fault(
            "Google stops at 100 instances and refuses more than the quota allows",
            "set it to what `meridian plan` computes",
        )
    for field in (revision, service):
        if field.is_(0) or field.is_(0.0):
            yield field.fault("no instance may start", "set it to 1 or more")


@rule(
    "run-min-below-max",
    MANDATORY,
    "A service keeps no more instances than it may have.",
    sources.RUN,
    SERVICE,
)
def min_below_max(record: Record) -> Iterator[Fault]:
    for block in (record.at("scaling"), record.at("template.scaling")):
        low, high = block.at("minInstanceCount"), block.at("maxInstanceCount")
        if high.absent:
            high = record.at("template.scaling.maxInstanceCount")
        if high.number is not None and low.outside(0, high.number):
            yield low.fault(
                f"{high.path} is {high.shown()}",
                "lower it, or raise the maximum with the quota",
            )


@rule(
    "run-timeout-range",
    MANDATORY,
    "A request lasts one second to one hour.",
    sources.RUN_TIMEOUT,
    SERVICE,
)
def timeout_range(record: Record) -> Iterator[Fault]:
    field = record.at("template.timeout")
    seconds = field.seconds
    if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
        yield field.fault(
            f"1s to {LONGEST_SECONDS}s are possible",
            "set 3600s and let clients resume by their token",
        )
    elif field.text is not None and seconds is None:
        yield field.fault("a duration is digits and an s", "write it as 3600s")


@rule(
    "run-timeout-for-streams",
    ADVISORY,
    "A service that streams keeps a request for the whole hour.",
    f"{sources.RUN_TIMEOUT}: 300 s when unset",
    SERVICE,
)
def timeout_for_streams(record: Record) -> Iterator[Fault]:
    field = record.at("template.timeout")
    seconds = 300.0 if field.absent else field.seconds
    if seconds is not None and seconds < LONGEST_SECONDS:
        yield field.fault(
            "every stream is cut after that time, 300s when unset", "set 3600s"
        )


@rule(
    "run-concurrency-range",
    MANDATORY,
    "An instance takes 1 to 1,000 requests at a time.",
    sources.RUN_QUOTAS,
    SERVICE,
)
def concurrency_range(record: Record) -> Iterator[Fault]:
    field = record.at("template.maxInstanceRequestConcurrency")
    if field.outside(1, CONCURRENCY):
        yield field.fault(
            f"1 to {CONCURRENCY:,} are possible, and no quota raises it",
            "carry more streams on each connection, or start more instances",
        )


@rule(
    "run-small-cpu-one-request",
    MANDATORY,
    "Below one CPU an instance takes one request at a time.",
    sources.RUN_LIMITS,
    SERVICE,
)
def small_cpu_one_request(record: Record) -> Iterator[Fault]:
    concurrency = record.at("template.maxInstanceRequestConcurrency")
    if not concurrency.outside(1, 1):
        return
    for container in containers(record):
        cpu = container.at("resources.limits.cpu")
        amount = cpus(cpu)
        if amount is not None and amount < 1:
            yield cpu.fault(
                f"{concurrency.path} is {concurrency.shown()}, 1 is possible below "
                "one CPU",
                "give the container 1 CPU or more",
            )


@rule(
    "run-cpu-memory-pair",
    MANDATORY,
    "CPU and memory of a container go together.",
    sources.RUN_LIMITS,
    SERVICE,
    WORKERS,
)
def cpu_memory_pair(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        cpu = container.at("resources.limits.cpu")
        memory = container.at("resources.limits.memory")
        amount, size = cpus(cpu), mebibytes(memory)
        if amount is None:
            continue
        if amount < 1 and amount >= SMALLEST_CPU:
            amount = 1
        bounds = MEMORY_MIB.get(f"{amount:g}")
        if bounds is None:
            yield cpu.fault(
                "0.08 to 1, 2, 4, 6 and 8 CPUs are possible", "choose one of them"
            )
        elif size is not None and not bounds[0] <= size <= bounds[1]:
            yield memory.fault(
                f"{cpu.shown()} CPU take {bounds[0]} to {bounds[1]} MiB",
                "change the memory, or the CPUs with it",
            )


@rule(
    "run-probe-timing",
    MANDATORY,
    "A probe ends before it begins again.",
    f"{sources.RUN}: timeoutSeconds must be smaller than periodSeconds",
    SERVICE,
    WORKERS,
)
def probe_timing(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        for kind in PROBES:
            probe = container.at(kind)
            if probe.absent:
                continue
            timeout = probe.at("timeoutSeconds")
            period = probe.at("periodSeconds")
            longest = 10.0 if period.absent else period.number
            if longest is None or (timeout.number or 1) < longest:
                continue
            yield timeout.fault(
                f"the period is {longest:g} s, 10 when unset, and must be longer",
                "shorten the timeout or lengthen the period",
            )


@rule(
    "run-probe-period",
    MANDATORY,
    "A startup probe repeats within 240 s, the others within an hour.",
    sources.RUN,
    SERVICE,
    WORKERS,
)
def probe_period(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        for kind, longest in PROBES.items():
            period = container.at(f"{kind}.periodSeconds")
            if period.outside(1, longest):
                yield period.fault(
                    f"1 to {longest} s are possible",
                    "shorten the period, raise failureThreshold instead",
                )


@rule(
    "run-image-digest",
    MANDATORY,
    "A container runs an image by its digest.",
    f"{sources.PLATFORM}: a tag may mean another image tomorrow",
    SERVICE,
    WORKERS,
)
def image_digest(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        image = container.at("image")
        if image.text is not None and "@sha256:" not in image.text:
            yield image.fault(
                "a tag moves, so what was reviewed is not what runs",
                "run `meridian image build` and use NAME@sha256:DIGEST",
            )


@rule(
    "run-cpu-always",
    ADVISORY,
    "A service with timers and streams keeps its CPU between requests.",
    f"{sources.RUN}: cpuIdle throttles outside requests",
    SERVICE,
)
def cpu_always(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        idle = container.at("resources.cpuIdle")
        if idle.is_(True):
            yield idle.fault(
                "the CPU is throttled while no request is open: timers and consumers "
                "stand still",
                "set it to false",
            )


@rule(
    "run-no-revision-name",
    MANDATORY,
    "A template names no revision.",
    f"{sources.PROVIDER}: the second deployment finds the name taken",
    SERVICE,
    WORKERS,
)
def no_revision_name(record: Record) -> Iterator[Fault]:
    name = record.at("template.revision")
    if name.given and not name.empty:
        yield name.fault("a second revision cannot have the same name", "leave it out")


@rule(
    "run-websocket-needs-http1",
    ADVISORY,
    "A service that speaks HTTP/2 to its container is for gRPC, and says so.",
    f"{sources.PLATFORM}: h2c breaks the upgrade",
    SERVICE,
)
def websocket_needs_http1(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        port = container.at("ports.name")
        rpc = any(
            entry.at("name").is_("MERIDIAN_PROTOCOL") and entry.at("value").is_("grpc")
            for entry in container.each("envs")
        )
        if port.is_("h2c") and not rpc:
            yield port.fault(
                "WebSocket upgrades fail over h2c",
                "use http1 here and a second service for gRPC (MERIDIAN_PROTOCOL=grpc)",
            )


@rule(
    "run-env-size",
    MANDATORY,
    "The value of a variable is at most 32 KiB.",
    sources.RUN,
    SERVICE,
    WORKERS,
)
def env_size(record: Record) -> Iterator[Fault]:
    for container in containers(record):
        for entry in container.each("envs"):
            value = entry.at("value")
            size = len((value.text or "").encode(errors="replace"))
            if size > ENV_BYTES:
                yield value.fault(
                    f"{ENV_BYTES:,} bytes are possible, {size:,} given",
                    "read it from a bucket or a mounted secret",
                )


@rule(
    "run-one-port",
    MANDATORY,
    "At most ten containers, of which one has a port.",
    sources.RUN_QUOTAS,
    SERVICE,
)
def one_port(record: Record) -> Iterator[Fault]:
    found = containers(record)
    if len(found) > CONTAINERS:
        yield record.at("template.containers").fault(
            f"{CONTAINERS} containers are possible", "join some of them"
        )
    ported = [c.at("ports") for c in found if c.at("ports").given]
    ported = [p for p in ported if not p.empty]
    for extra in ported[1:]:
        yield extra.fault(
            f"{ported[0].path} is there already, one container takes the requests",
            "leave the ports of the others out",
        )
