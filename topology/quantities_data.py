"""Database, cache and what passes between regions."""

from topology.catalogue import Role
from topology.trace import At, Value, regional, worldwide

SECOND_TO_MONTH = 3600
GIB = 2**30


@regional("connections", "clients of the server at the minimum of instances")
def sql_clients(at: At) -> Value:
    """Every region that writes to a hub, and the hub's own readers."""
    return _clients(at, "instances")


@regional("connections", "clients of the server at the maximum of instances")
def sql_clients_max(at: At) -> Value:
    """The same at the ceiling."""
    return _clients(at, "instances_max")


@regional("connections", "clients, or the pooler's connections where they are fewer")
def sql_connections(at: At) -> Value:
    """What the server itself holds, at the minimum of instances."""
    return _pooled(at, "sql_clients")


@regional("connections", "clients, or the pooler's connections where they are fewer")
def sql_connections_max(at: At) -> Value:
    """The same at the maximum of instances."""
    return _pooled(at, "sql_clients_max")


@regional("connections", "flag max_connections of the server")
def sql_connections_limit(at: At) -> Value:
    """Connections that the server takes."""
    return at.key("database.max_connections")


@regional("replicas", "regions that copy this one's database")
def sql_replicas(at: At) -> Value:
    """Read replicas of the server; none in a regional region."""
    origins = {name: _origin(at, name) for name in at.catalogue.regions}
    return sum(origin == at.place for origin in origins.values())


@regional("GiB", "as stated for the region or its tier")
def cache_gib(at: At) -> Value:
    """Memory of the region's Redis."""
    return at.own("cache_gib")


@regional("GiB", "bytes/s to clients x seconds of a month")
def internet_gib(at: At) -> Value:
    """A month's bytes from the region's instances to clients."""
    return at.value("bytes_per_second") * seconds(at) / GIB


@regional("GiB", "searches that the CDN answers x bytes a search x seconds of a month")
def cached_gib(at: At) -> Value:
    """A month's bytes from the CDN to the region's clients."""
    hits = at.value("searches") * at.key("edge.cached_share")
    return hits * at.key("traffic.bytes_per_query") * seconds(at) / GIB


@regional("queries/s", "searches of the world x share")
def searches(at: At) -> Value:
    """Before the CDN."""
    return at.key("traffic.queries_per_second") * at.value("share")


@regional("writes/s", "writes of the world x share")
def writes(at: At) -> Value:
    """Items written by the region's clients."""
    return at.key("traffic.writes_per_second") * at.value("share")


@regional("million requests", "(searches that reach an instance + writes + handshakes)")
def requests_million(at: At) -> Value:
    """A month's requests behind the balancer; a stream's connection is one an hour."""
    busy = (at.value("queries") + at.value("writes")) * seconds(at)
    hours = at.limit("HOURS_PER_MONTH") * at.limit("RECONNECTS_PER_HOUR")
    return (busy + at.value("connections") * hours) / 1e6


@regional("GiB", "requests x bytes of a request + writes x bytes of a change")
def inbound_gib(at: At) -> Value:
    """A month's bytes from clients."""
    sent = at.value("requests_million") * 1e6 * at.limit("REQUEST_BYTES")
    written = at.value("writes") * at.key("traffic.bytes_per_change") * seconds(at)
    return (sent + written) / GIB


@worldwide("GiB", "writes of the world x bytes of a change x seconds of a month")
def changes_gib(at: At) -> Value:
    """A month's changes, each once."""
    each = at.key("traffic.bytes_per_change")
    return at.key("traffic.writes_per_second") * each * seconds(at) / GIB


@regional("GiB", "the other regions' changes: all of the world's less its own share")
def replicated_gib(at: At) -> Value:
    """A month's changes that reach the region from others."""
    return at.value("changes_gib") * (1 - at.value("share"))


@regional("GiB", "changes of the world x write-ahead log for a byte, in a replica")
def wal_gib(at: At) -> Value:
    """A hub applies every change, and its log goes to each replica."""
    if at.catalogue.regions[at.place].tier is Role.HUB:
        return 0.0
    return at.value("changes_gib") * at.limit("WAL_FACTOR")


def seconds(at: At) -> float:
    """Seconds of a billing month."""
    return float(at.limit("HOURS_PER_MONTH") * SECOND_TO_MONTH)


def both(at: At, count: str, region: str | None = None) -> Value:
    """Instances of a region's two services, `instances` or `instances_max`."""
    return at.value(count, region) + at.value(f"grpc_{count}", region)


def _clients(at: At, size: str) -> Value:
    def users(region: str) -> int:
        return int(both(at, size, region) + at.value("workers", region))

    regions = at.catalogue.regions.items()
    writers = [n for n, r in regions if (r.hub or n) == at.place]
    writing = sum(users(region) for region in writers)
    return (
        writing * at.key("database.primary_connections")
        + users(at.place) * at.key("database.local_connections")
        + at.value("workers") * at.key("database.worker_connections")
    )


def _pooled(at: At, clients: str) -> Value:
    pool = at.key("database.pooled_connections")
    count = at.value(clients)
    return count if pool is None else min(pool, count)


def _origin(at: At, name: str) -> str | None:
    region = at.catalogue.regions[name]
    if region.tier is Role.HUB:
        return None
    key = "hub" if region.replica_of is None else "replica_of"
    return str(at.key(f"regions.{name}.{key}"))
