"""The public peer: its published sizing as data, judged by this model's arithmetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from topology import limits
from topology.bill import Bill, Line, price_items
from topology.facts import DATA
from topology.prices import PriceBook
from topology.trace import Model

PATH = DATA / "peer.yaml"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One thing that the peer says of itself."""

    promise: str
    """What."""
    said: str
    """Its figure."""
    found: str
    """The figure by this model."""
    holds: bool
    """Whether the first is reached."""
    why: str
    """In a few words."""


@cache
def published() -> Mapping[str, Any]:
    """The data file."""
    loaded: Mapping[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return loaded


def bill(book: PriceBook) -> Bill:
    """The peer's demand at list prices."""
    rows: Mapping[str, Any] = published()["bill"]
    lines = (price_items(book, name, row["items"]) for name, row in rows.items())
    return Bill(lines=tuple(lines))


def judge(model: Model) -> dict[str, Any]:
    """Every promise with the model's figure, as `plan --peer --json` has it."""
    promises = [*_sizes(model), *_times(), *_money(model)]
    kept = sum(promise.holds for promise in promises)
    return {
        "source": " ".join(str(published()["source"]).split()),
        "promises": [vars(promise) for promise in promises],
        "verdict": f"{kept} of {len(promises)} promises hold",
    }


def _sizes(model: Model) -> Iterator[Promise]:
    said = published()["sizing"]
    each, requests = said["streams_per_instance"], said["concurrency"]
    share = each // requests
    yield Promise(
        promise="streams an instance",
        said=f"{each:,}",
        found=f"{requests:,}",
        holds=each <= requests,
        why=f"a stream is a request and {requests:,} are allowed; only {share:,} "
        "streams on each connection make it so, which it never says",
    )
    needed = said["streams"] / each
    yield Promise(
        promise="instances at baseline",
        said=f"{said['instances']:,}",
        found=f"{needed:,.0f}",
        holds=said["instances"] >= needed,
        why=f"at {share:,} streams a connection",
    )
    for unit, size in (("vCPU", "cpu"), ("GiB", "memory_gib")):
        asked = said["quota_vcpu" if size == "cpu" else "quota_memory_gib"]
        need = said["hub_instances_max"] * said[size]
        granted = getattr(model.catalogue.quota, "vcpu" if size == "cpu" else size)
        yield Promise(
            promise=f"{unit} of a hub at its ceiling",
            said=f"{asked:,} asked for",
            found=f"{need:,} needed, {granted:,} granted",
            holds=need <= min(asked, granted),
            why="what is asked for is enough, what new projects have is not",
        )
    burst = said["streams"] * said["burst"] / each
    yield Promise(
        promise=f"burst of {said['burst']}x",
        said=f"{said['instances_max']:,} instances",
        found=f"{burst:,.0f} instances",
        holds=burst <= said["instances_max"],
        why="at the density of the baseline; its ceiling is 10x",
    )
    clients = said["hub_instances"] * said["sql_pool"]
    yield Promise(
        promise="connections to a hub's database",
        said=f"{said['sql_max_connections']:,}",
        found=f"{clients:,}",
        holds=clients <= said["sql_max_connections"],
        why=f"{said['hub_instances']:,} instances with a pool of {said['sql_pool']}",
    )


def _times() -> Iterator[Promise]:
    said = published()["sizing"]
    starts = said["hub_instances_max"] - said["hub_instances"]
    took = said["startup_seconds"] + starts / said["starts_per_minute"] * 60
    yield Promise(
        promise="time to the ceiling",
        said=f"{said['seconds_to_scale']:,} s",
        found=f"{took:,.0f} s",
        holds=took <= said["seconds_to_scale"],
        why=f"{starts:,} starts in a hub, {said['starts_per_minute']} a minute",
    )
    life = said["request_timeout_seconds"]
    yield Promise(
        promise="streams stay open",
        said=f"{life:,} s",
        found=f"{limits.LONGEST_REQUEST_SECONDS:,} s allowed",
        holds=life >= limits.LONGEST_REQUEST_SECONDS,
        why="its time-out ends every stream after five minutes",
    )


def _money(model: Model) -> Iterator[Promise]:
    said, own = published()["sizing"], bill(model.book)
    for small, large, times in (("hourly", "daily", 24), ("daily", "monthly", 30)):
        total = said[small] * times
        yield Promise(
            promise=f"{small} budget x {times} fits the {large} one",
            said=f"{said[large]:,} USD",
            found=f"{total:,} USD",
            holds=total <= said[large],
            why=f"the {small} budget is never met first",
        )
    yield Promise(
        promise="price of a month",
        said=f"{said['price_month']:,} USD",
        found=f"{own.total:,.0f} USD",
        holds=own.complete and own.total <= said["price_month"],
        why="internet egress is missing, memory and tier 2 too; see "
        "`meridian cost --compare peer`",
    )
    for times, extra in (
        (10, said["instances_max"] - said["instances"]),
        (50, 245_000),
    ):
        cost = burst(model.book, extra, said["event_hours"], "request")
        found = "unknown" if cost is None else f"{cost:,.0f} USD"
        yield Promise(
            promise=f"event of {said['event_hours']} h at {times}x, instances alone",
            said=f"{said['price_event']:,} USD",
            found=found,
            holds=cost is not None and cost <= said["price_event"] * 1.01,
            why=f"{extra:,} more instances, request-based, 85 % of them in tier 2",
        )


def burst(book: PriceBook, extra: int, hours: float, billing: str) -> float | None:
    """Extra instances for some hours, 85 % of them in price tier 2 like the peer's."""
    said = published()["sizing"]
    items = [
        {
            "price": f"run.{billing}.{part}",
            "place": place,
            "amount": [extra, share, said[size], hours, 3600],
        }
        for place, share in (("tier-1", 0.15), ("tier-2", 0.85))
        for part, size in (("cpu", "cpu"), ("memory", "memory_gib"))
    ]
    line: Line = price_items(book, "event", items)
    return line.amount


def compare(model: Model, own: Bill) -> list[dict[str, Any]]:
    """This plan's bill beside the peer's, line by line, and why they differ."""
    rows: Mapping[str, Any] = published()["bill"]
    theirs = {line.service: line.amount for line in bill(model.book).lines}
    ours = own.by("service")
    services = [*rows, *(name for name in ours if name not in rows)]
    return [
        {
            "service": name,
            "peer_said": rows[name]["said"] if name in rows else 0,
            "peer_at_list": theirs.get(name, 0.0),
            "plan": ours.get(name, 0.0),
            "why": _why(model, name, rows.get(name)),
        }
        for name in services
    ]


def _why(model: Model, name: str, row: Mapping[str, Any] | None) -> str:
    """The peer's side from the data, this plan's from its quantities."""
    value, catalogue = model.value, model.catalogue
    own = {
        "Cloud Run instances": f"plan: {value('instances'):,} instances of "
        f"{catalogue.service.cpu} vCPU and {catalogue.service.memory_gib} GiB",
        "Cloud Run workers": f"plan: {value('workers')} workers; the peer has none",
        "Memorystore": f"plan: {value('cache_gib'):,} GiB at each region's index",
        "Cloud SQL": "plan: disks and backups included, at each region's index",
        "Cloud SQL disks": "plan: within Cloud SQL",
        "Cloud Storage": "plan: regional buckets at regional prices",
        "Load balancer data": f"plan: {value('internet_gib') / 2**20:,.1f} PB from "
        f"instances, {value('cached_gib') / 2**20:,.2f} PB from the CDN, and requests",
        "Cloud CDN": f"plan: {value('cached_gib') / 2**20:,.2f} PB: only searches can "
        "be cached, a stream never",
        "Internet egress": f"plan: {value('internet_gib') / 2**20:,.1f} PB at each "
        "region's price, Sao Paulo and Sydney at 0.15",
        "Replication egress": "plan: changes to 14 regions, and write-ahead log to "
        f"replicas, {value('replicated_gib') / 1024:,.0f} TiB of changes",
        "Cloud Armor": f"plan: {value('requests_million'):,.0f} million requests reach "
        "a backend",
        "Logging": f"plan: {catalogue.edge.log_sample:.0%} of the requests",
        "VPC and monitoring": "plan: no connector and no NAT; metrics are a line",
        "Cloud CDN lookups": "plan: every search is looked up, hit or not",
        "Pub/Sub": "plan: every change is published once and delivered to each region",
        "Metrics": "plan: Managed Prometheus, by samples",
        "Load balancer rules": "plan: HTTPS and HTTP, IPv4 and IPv6",
        "Secret Manager": "plan: one secret a region",
        "Artifact Registry": "plan: one image",
    }
    theirs = f"peer: {' '.join(row['why'].split())}" if row else "peer: no such line"
    return "; ".join(part for part in (theirs, own.get(name, "")) if part)
