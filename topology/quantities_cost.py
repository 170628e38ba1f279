"""What a month costs: one quantity for each line of the bill, in US dollars.

A line whose price is not known has no value, never 0, and the sums say that they are
lower bounds. `LINES` has the service that each line belongs to.
"""

from collections.abc import Mapping

from topology.blocks import Commitment, DatabaseEdition
from topology.catalogue import Role
from topology.quantities_data import both, seconds
from topology.trace import WORLD, At, Value, regional, worldwide

LINES: Mapping[str, str] = {
    "cost_instances": "Cloud Run instances",
    "cost_workers": "Cloud Run workers",
    "cost_cache": "Memorystore",
    "cost_database": "Cloud SQL",
    "cost_storage": "Cloud Storage",
    "cost_egress": "Internet egress",
    "cost_cdn": "Cloud CDN",
    "cost_balancer_data": "Load balancer data",
    "cost_replication": "Replication egress",
    "cost_messages": "Pub/Sub",
    "cost_metrics": "Metrics",
    "cost_secrets": "Secret Manager",
}
"""Lines of every region."""

WORLD_LINES: Mapping[str, str] = {
    "cost_balancer_rules": "Load balancer rules",
    "cost_armor": "Cloud Armor",
    "cost_lookups": "Cloud CDN lookups",
    "cost_logs": "Logging",
    "cost_images": "Artifact Registry",
}
"""Lines that stand once."""


@regional(
    "USD/month",
    "warm instances of both services x (vCPU + GiB prices) x seconds - commitment",
)
def cost_instances(at: At) -> Value:
    """Instance-based billing; a stream keeps its instance active all the time."""
    full = compute(at, both(at, "instances"), "instance")
    terms = Commitment(at.key("budget.commitment"))
    if full is None or terms is Commitment.NONE:
        return full
    off = at.charge(1.0, f"run.discount.{terms}")
    return None if off is None else full * (1 - off)


@regional("USD/month", "workers x (vCPU + GiB prices) x seconds of a month")
def cost_workers(at: At) -> Value:
    """Priced as instances: no page with a price of worker pools was at hand."""
    return compute(at, at.value("workers"), "instance")


@regional("USD/month", "the same instances by request-based billing, with requests")
def cost_instances_request(at: At) -> Value:
    """For comparison: no part of the sum."""
    active = compute(at, both(at, "instances"), "request")
    requests = at.charge(at.value("requests_million"), "run.requests")
    return _sum([active, requests])


@regional("USD/month", "GiB x hours x price of the capacity tier")
def cost_cache(at: At) -> Value:
    """Standard tier: the price includes the replica."""
    size = at.value("cache_gib")
    tier = 1 + sum(size > bound for bound in (4, 10, 35, 100))
    return at.charge(size * hours(at), f"redis.standard.m{tier}")


@regional("USD/month", "vCPU, GiB, disk, backups; a hub's at the price with standby")
def cost_database(at: At) -> Value:
    """Backups are a primary's."""
    hub = at.catalogue.regions[at.place].tier is Role.HUB
    high = ".ha" if hub else ""
    plus = at.key("database.edition") == DatabaseEdition.ENTERPRISE_PLUS
    factor = at.charge(1.0, "sql.plus") if plus else 1.0
    if factor is None:
        return None
    disk = at.own("database_disk_gib")
    parts = [
        at.charge(at.own("database_cpu") * hours(at), f"sql.vcpu{high}", factor),
        at.charge(at.own("database_memory_gib") * hours(at), f"sql.ram{high}", factor),
        at.charge(disk, f"sql.ssd{high}"),
    ]
    if hub:
        parts.append(at.charge(disk * at.limit("BACKUP_SHARE"), "sql.backup"))
    return _sum(parts)


@regional("USD/month", "a day's snapshots x days kept and restorable x price")
def cost_storage(at: At) -> Value:
    """Soft-deleted objects are billed like live ones."""
    days = at.key("storage.keep_days") + at.key("storage.soft_delete_days")
    return at.charge(at.key("storage.snapshot_gib") * days, "gcs.standard")


@regional("USD/month", "GiB to clients x price by volume, Premium tier")
def cost_egress(at: At) -> Value:
    """What the CDN does not serve."""
    return at.charge(at.value("internet_gib"), "egress.internet")


@regional("USD/month", "GiB from the CDN x price by volume")
def cost_cdn(at: At) -> Value:
    """The fill from the instances is left out: one of many answers."""
    return at.charge(at.value("cached_gib"), "cdn.egress")


@regional("USD/month", "GiB in and out x price of the balancer's data")
def cost_balancer_data(at: At) -> Value:
    """Cached answers pass the balancer too."""
    out = at.value("internet_gib") + at.value("cached_gib")
    return _sum(
        [
            at.charge(out, "lb.outbound"),
            at.charge(at.value("inbound_gib"), "lb.inbound"),
        ]
    )


@regional("USD/month", "GiB of changes and of write-ahead log x price between regions")
def cost_replication(at: At) -> Value:
    """Priced as between continents, the dearer of the two, but in Oceania."""
    return at.charge(at.value("replicated_gib") + at.value("wal_gib"), "egress.far")


@regional("USD/month", "GiB published + GiB delivered x price")
def cost_messages(at: At) -> Value:
    """Each region's subscription takes every change, its own too."""
    published = at.value("changes_gib") * at.value("share")
    return at.charge(published + at.value("changes_gib"), "pubsub.throughput")


@regional("USD/month", "instances x series x samples of a month x price")
def cost_metrics(at: At) -> Value:
    """Managed Prometheus, where a sidecar or the service itself writes to it."""
    if at.key("telemetry.collector") == "platform":
        return 0.0
    each = at.limit("SERIES_PER_INSTANCE") * seconds(at) / at.limit("SCRAPE_SECONDS")
    count = both(at, "instances") + at.value("workers")
    return at.charge(count * each / 1e6, "monitoring.samples")


@regional("USD/month", "one version x price")
def cost_secrets(at: At) -> Value:
    """The administrator's secret of the region."""
    return at.charge(1.0, "secret.version")


@worldwide("USD/month", "rules x hours; the first five cost as one")
def cost_balancer_rules(at: At) -> Value:
    """The price of up to five rules together, then of each."""
    return at.charge(max(5, at.value("forwarding_rules")), "lb.rules", hours(at))


@worldwide("USD/month", "one policy, its rules, and requests that reach a backend")
def cost_armor(at: At) -> Value:
    """A WebSocket is one request; what the CDN answers does not reach it."""
    return _sum(
        [
            at.charge(1.0, "armor.policy"),
            at.charge(float(at.limit("ARMOR_RULES")), "armor.rule"),
            at.charge(at.total("requests_million"), "armor.requests"),
        ]
    )


@worldwide("USD/month", "searches of a month x price of a lookup")
def cost_lookups(at: At) -> Value:
    """None without a CDN in use."""
    if not at.key("edge.cached_share"):
        return 0.0
    searches = at.key("traffic.queries_per_second") * seconds(at)
    return at.charge(searches / 1e4, "cdn.lookups")


@worldwide("USD/month", "requests x share logged x bytes of a line x price")
def cost_logs(at: At) -> Value:
    """The balancer's log; the service's own is small beside it."""
    lines = at.total("requests_million") * 1e6 * at.key("edge.log_sample")
    return at.charge(lines * at.limit("LOG_BYTES") / 2**30, "logging.ingest")


@worldwide("USD/month", "GiB of the image x price")
def cost_images(at: At) -> Value:
    """One repository."""
    return at.charge(float(at.limit("IMAGE_GIB")), "artifact.storage")


@regional("USD/month", "sum of the region's lines")
def price(at: At) -> Value:
    """A lower bound where a line's price is not known."""
    return sum(v for v in (at.value(line) for line in LINES) if v is not None)


@worldwide("USD/month", "sum of the regions' prices and of the world's own lines")
def price_month(at: At) -> Value:
    """A lower bound where a line's price is not known."""
    own = [at.value(line) for line in WORLD_LINES]
    return at.total("price") + sum(v for v in own if v is not None)


@worldwide("lines", "lines whose price is not known")
def unpriced(at: At) -> Value:
    """0 where the price of the month is complete."""
    values = [at.value(line, WORLD) for line in WORLD_LINES]
    for line in LINES:
        values += at.each(line).values()
    return sum(value is None for value in values)


@worldwide("USD/month", "price of the month / streams")
def price_per_stream(at: At) -> Value:
    """A stream of the baseline."""
    return at.value("price_month") / at.key("traffic.streams")


@worldwide("USD/day", "price of the month / hours of a month x 24")
def price_day(at: At) -> Value:
    """A day without an event."""
    return at.value("price_month") / hours(at) * 24


def hours(at: At) -> float:
    """Hours of a billing month."""
    return float(at.limit("HOURS_PER_MONTH"))


def compute(at: At, count: float, billing: str) -> Value:
    """A month of so many instances."""
    amount = count * seconds(at)
    return _sum(
        [
            at.charge(amount * at.key("service.cpu"), f"run.{billing}.cpu"),
            at.charge(amount * at.key("service.memory_gib"), f"run.{billing}.memory"),
        ]
    )


def _sum(parts: list[Value]) -> Value:
    """None as soon as one part is not known."""
    return None if any(part is None for part in parts) else sum(parts)
