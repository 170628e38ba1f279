"""Structured logs on stdout and the metrics of a process."""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from service.contract.errors import STATUS
from service.tally import Count, Durations
from service.tracing import Spans, current

PROMETHEUS_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
"""Content type of the metrics: without one Prometheus 3 takes none of them."""
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
_FASTER = (0.00005, 0.0001, 0.00025, 0.0005, *_FAST)


def log(severity: str, message: str, **fields: Any) -> None:
    """One line of JSON that Cloud Logging reads. Callers pass no secrets."""
    record = {"severity": severity, "message": message, "time": time.time(), **fields}
    if (request := current()) is not None:
        project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        record["logging.googleapis.com/trace"] = (
            f"projects/{project}/traces/{request.trace.hex()}"
        )
        record["logging.googleapis.com/spanId"] = request.span.hex()
        record["logging.googleapis.com/trace_sampled"] = True
    line = orjson.dumps(record, default=str).decode()
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class _JsonHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        log(record.levelname, text, logger=record.name)


def route_logging() -> None:
    """Sends the libraries' warnings through `log`."""
    logging.basicConfig(handlers=[_JsonHandler()], level=logging.WARNING, force=True)


class Metrics:
    """The metrics of one process, and its spans; names: docs/architecture.md."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._asked(self.registry)
        self._changes(self.registry)
        self._scores(self.registry)
        self._held(self.registry)
        self._positions(self.registry)
        self._digests(self.registry)
        self._recall(self.registry)
        self._running(self.registry)
        counted = Counter(
            "meridian_spans", "Spans.", ("outcome",), registry=self.registry
        )
        self.spans = Spans(counted)

    def _asked(self, r: CollectorRegistry) -> None:
        self.http_requests = Count(
            "meridian_http_requests", "Answers.", ("route", "code"), r
        )
        self.answers = Count(
            "meridian_answers",
            "Answers over any transport: answered, refused, or failed by a fault here.",
            ("transport", "outcome"),
            r,
        )
        # Growth is seen from one scrape to the next: what begins with its first
        # failure hides it, from the gate of a new revision, too.
        for transport in ("http", "websocket", "grpc"):
            self.answers.add(transport, "failed", count=0)
        self.http_seconds = Durations(
            "meridian_http_request_seconds",
            "Request to answer.",
            _FAST,
            r,
            ("route",),
        )
        self.calls = Count(
            "meridian_calls",
            "Answers outside HTTP.",
            ("transport", "operation", "code"),
            r,
        )

    def _changes(self, r: CollectorRegistry) -> None:
        self.writes = Count("meridian_writes", "Acknowledged changes.", ("op",), r)
        self.forwarded = Counter(
            "meridian_forwarded_writes",
            "Writes sent to another hub, their home.",
            ("home", "outcome"),
            registry=r,
        )
        self.commit_seconds = Durations(
            "meridian_commit_seconds", "One group commit.", _FAST, r
        )
        self.copy_seconds = Histogram(
            "meridian_copy_seconds",
            "Commit of a write of durability `region` to its copy in another region.",
            buckets=_FAST,
            registry=r,
        )
        self.notifications = Count(
            "meridian_notifications", "Matches sent.", ("written_in",), r
        )
        self.notify_seconds = Durations(
            "meridian_notify_seconds",
            "Commit of a write to its notification, of streams that are live.",
            _FAST,
            r,
        )

    def notified(self, region: str, seconds: float | None) -> None:
        """Counts a match that was sent so long after its commit in a region; without
        seconds one that its stream had missed, however long it was away."""
        self.notifications.add(region)
        if seconds is not None:
            # Clocks of two regions may disagree.
            self.notify_seconds.add(max(0.0, seconds))

    def answered(self, route: str, status: int, seconds: float | None = None) -> None:
        """Counts an answer over HTTP, and of an operation how long it took."""
        self.http_requests.add(route, str(status))
        self.answers.add("http", _outcome(status))
        if seconds is not None:
            self.http_seconds.add(seconds, route)

    def called(self, transport: str, operation: str, code: str) -> None:
        """Counts an answer outside HTTP; code: of the contract, or `ok`."""
        self.calls.add(transport, operation, code)
        self.answers.add(transport, _outcome(STATUS.get(code, 200)))

    def _scores(self, r: CollectorRegistry) -> None:
        self.search_seconds = Durations(
            "meridian_search_seconds", "Kernel search.", _FASTER, r
        )
        self.searches = Count(
            "meridian_searches", "Searches by what found them.", ("path",), r
        )
        self.graph_rows = Gauge(
            "meridian_graph_rows", "Rows that graphs hold for searches.", registry=r
        )
        self.graph_seconds = Counter(
            "meridian_graph_build_seconds", "CPU spent on graphs.", registry=r
        )
        self.match_seconds = Durations(
            "meridian_match_seconds", "Matching of one batch of changes.", _FASTER, r
        )

    def _held(self, r: CollectorRegistry) -> None:
        self.streams = Gauge("meridian_streams", "Standing queries.", registry=r)
        self.connections = Gauge(
            "meridian_connections", "Open connections.", registry=r
        )
        self.load_seconds = Histogram(
            "meridian_load_seconds",
            "A collection brought into memory, from a snapshot or the database.",
            ("source",),
            buckets=_SLOW,
            registry=r,
        )
        self.snapshots = Counter(
            "meridian_snapshots",
            "Snapshots of collections: written, still true, or failed.",
            ("outcome",),
            registry=r,
        )
        self.items = Gauge("meridian_items", "Items in memory.", registry=r)

    def _positions(self, r: CollectorRegistry) -> None:
        self.worker_active = Gauge(
            "meridian_worker_active",
            "1 of the worker that does its region's work, 0 of those that stand by.",
            registry=r,
        )
        self.applied_position = Gauge(
            "meridian_applied_position",
            "Changes applied, summed over lanes.",
            ("origin",),
            registry=r,
        )
        self.lag_changes = Gauge(
            "meridian_lag_changes",
            "Changes known to exist and not yet applied.",
            ("origin",),
            registry=r,
        )
        self.lost_changes = Gauge(
            "meridian_lost_changes",
            "Changes announced by a lost primary and held by nobody, at this server's "
            "promotion.",
            registry=r,
        )
        self.repairs = Counter(
            "meridian_repairs", "Holes filled.", ("source",), registry=r
        )

    def _digests(self, r: CollectorRegistry) -> None:
        self.digest_rounds = Counter(
            "meridian_digest_rounds",
            "Comparisons with another hub.",
            ("peer", "outcome"),
            registry=r,
        )
        self.digest_buckets = Counter(
            "meridian_digest_buckets",
            "Buckets that differed from another hub's.",
            ("peer",),
            registry=r,
        )
        self.digest_rows = Counter(
            "meridian_digest_rows",
            "Rows taken from another hub by comparison.",
            ("peer",),
            registry=r,
        )
        self.digest_age = Gauge(
            "meridian_digest_age_seconds",
            "Age of what was compared last with another hub.",
            ("peer",),
            registry=r,
        )

    def _recall(self, r: CollectorRegistry) -> None:
        self.recall = Gauge(
            "meridian_recall",
            "Share of the true nearest that searches find, and its 95 % interval.",
            ("bound",),
            registry=r,
        )
        self.recall_compared = Counter(
            "meridian_recall_compared", "Answers compared with exact ones.", registry=r
        )

    def _running(self, r: CollectorRegistry) -> None:
        self.limiter_alone = Gauge(
            "meridian_limiter_alone",
            "1 while rates are kept without Redis.",
            registry=r,
        )
        self.peers = Gauge(
            "meridian_peers", "Instances that share a region's rates.", registry=r
        )
        self.pressure = Gauge(
            "meridian_pressure", "Overload by queue time, 0 to 3.", registry=r
        )
        self.knobs = Gauge(
            "meridian_knob", "Values turned at run time.", ("name",), registry=r
        )
        self.kernel = Gauge(
            "meridian_kernel", "1 for the kernel in use.", ("name",), registry=r
        )

    def forget_positions(self) -> None:
        """Of a worker that stands by: another one has them."""
        for gauge in (self.applied_position, self.lag_changes, self.digest_age):
            gauge.clear()

    def snapshots_age(self, seconds: Callable[[], float]) -> None:
        """Adds the age of snapshots, once; seconds: asked at every scrape and push.

        Only who keeps snapshots has it: at all others a gauge without labels would
        say 0, as if they were fresh.
        """
        age = Gauge(
            "meridian_snapshot_age_seconds",
            "Since the oldest snapshot was last seen to be as the database.",
            registry=self.registry,
        )
        age.set_function(seconds)

    def text(self) -> bytes:
        """The metrics as Prometheus reads them."""
        return generate_latest(self.registry)


def _outcome(status: int) -> str:
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "answered"
