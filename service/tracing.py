"""Spans of requests and of changes, sent as OTLP to Google's Telemetry API.

A change's trace id is a digest of its event id. Every process that meets the change,
in whatever region, knows its trace and whether it is kept: nothing is carried in the
log or through Pub/Sub, and revisions that know nothing of traces pass it on.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import Counter

from service.google import UNREACHABLE, Google
from service.log.change import Change
from service.settings import Settings

_EVERY = 1.0
"""Seconds between two sendings."""
_MOST = 4096
"""Spans that wait to be sent; more are dropped and counted."""
_MOST_TOLD = 1024
"""Changes of which is known that somebody was told."""
_SAMPLED = 1
_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SCOPE = "meridian"
Value = str | int | float | bool
Attributes = Mapping[str, Value]
"""None holds what a user sent: names and ids of his are not for those who operate."""
SERVER, PRODUCER = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_PRODUCER


@dataclass(frozen=True, slots=True)
class Place:
    """A span as others name it."""

    trace: bytes
    """16 bytes."""
    span: bytes
    """8 bytes."""
    sampled: bool = True


_CURRENT: ContextVar[Place | None] = ContextVar("span", default=None)

_UNTRACED = contextlib.nullcontext()


def read_parent(traceparent: str | None) -> Place | None:
    """The caller's span by W3C Trace Context; None of what is not understood."""
    found = _PARENT.fullmatch(traceparent or "")
    if found is None or not (int(found[1], 16) and int(found[2], 16)):
        return None
    sampled = bool(int(found[3], 16) & _SAMPLED)
    return Place(bytes.fromhex(found[1]), bytes.fromhex(found[2]), sampled)


@lru_cache(maxsize=1024)
def change_root(event_id: str) -> Place:
    """Root span of a change, the same everywhere."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=24).digest()
    return Place(digest[:16], digest[16:])


def current() -> Place | None:
    """The request that this task serves, where it is traced."""
    return _CURRENT.get()


class Spans:
    """Spans of one process: which are kept, and those that wait to be sent."""

    def __init__(self, counted: Counter) -> None:
        self._counted = counted
        """By outcome: `sent` or `dropped`."""
        self._below = 0
        """Ids whose last 8 bytes are below it are kept; 0: none."""
        self._waiting: list[Span] = []
        self._told: dict[str, None] = {}
        """Changes whose first notification is known, the oldest first."""
        self._asked_last = ""
        """The change that `leads` was asked for last: nobody leads it any more."""
        self._resource: dict[str, Value] = {}

    def begin(self, settings: Settings) -> None:
        """From here on spans are kept, as the settings say."""
        # As OpenTelemetry's ratio sampler decides.
        self._below = round(settings.trace_share * 2**64)
        self._resource = {
            "service.name": f"meridian-{settings.role}",
            "service.version": settings.revision or "unknown",
            "service.instance.id": f"{settings.region}-{os.getpid()}",
            "deployment.environment.name": settings.environment,
            "cloud.provider": "gcp",
            "cloud.region": settings.region,
            "gcp.project_id": settings.project,
        }

    def root(self, event_id: str) -> Place | None:
        """Root span of a change that is kept."""
        if not self._below:
            return None
        place = change_root(event_id)
        return place if self._keeps(place.trace) else None

    def leads(self, event_id: str) -> bool:
        """Whether this is the first time that somebody is told of a change that is
        kept: a thousand streams that it reaches make one span."""
        if event_id == self._asked_last:
            return False
        self._asked_last = event_id
        if self.root(event_id) is None or event_id in self._told:
            return False
        self._told[event_id] = None
        if len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        return True

    def change(
        self,
        name: str,
        event_ids: Iterable[str],
        began: int,
        ended: int,
        attributes: Attributes,
        kind: Any = Span.SPAN_KIND_INTERNAL,
    ) -> None:
        """A step that took changes along; times in ns since 1970."""
        if not self._below:
            return
        for event_id in event_ids:
            root = self.root(event_id)
            if root is not None:
                span = _span(root.trace, os.urandom(8), root.span, name, kind)
                self._add(span, began, ended, attributes)

    def batch(self, name: str, changes: Sequence[Change], began: int) -> None:
        """A step over a batch of changes that ends now."""
        ids = (change.event_id for change in changes)
        size = {"meridian.batch": len(changes)}
        self.change(name, ids, began, time.time_ns(), size)

    def written(
        self,
        event_id: str,
        request: Place | None,
        began: int,
        ended: int,
        attributes: Attributes,
    ) -> None:
        """Root span of a change: received to acknowledged."""
        root = self.root(event_id)
        if root is None:
            return
        span = _span(root.trace, root.span, b"", "write", PRODUCER)
        if request is not None:
            span.links.add(trace_id=request.trace, span_id=request.span)
        self._add(span, began, ended, attributes)

    def request(
        self, name: str, parent: Place | None
    ) -> contextlib.AbstractContextManager[None]:
        """Span of a request around a block; what it raises is its status."""
        place = self._asked(parent)
        return _UNTRACED if place is None else self._traced(name, parent, place)

    @contextlib.contextmanager
    def _traced(self, name: str, parent: Place | None, place: Place) -> Iterator[None]:
        began = time.time_ns()
        token = _CURRENT.set(place)
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            _CURRENT.reset(token)
            above = parent.span if parent else b""
            span = _span(place.trace, place.span, above, name, SERVER)
            attributes: dict[str, Value] = {}
            if failed is not None:
                code = getattr(failed, "code", type(failed).__name__)
                attributes["error.type"] = str(code)
                if getattr(failed, "status", 500) >= 500:
                    span.status.code = Status.STATUS_CODE_ERROR
            self._add(span, began, time.time_ns(), attributes)

    def _asked(self, parent: Place | None) -> Place | None:
        """A caller's own decision holds; without one a share is kept."""
        if not self._below:
            return None
        if parent is not None:
            place = Place(parent.trace, os.urandom(8))
            return place if parent.sampled else None
        lot = random.getrandbits(64)
        if lot >= self._below:
            return None
        trace = os.urandom(8) + lot.to_bytes(8, "big")
        return Place(trace, os.urandom(8))

    def _keeps(self, trace: bytes) -> bool:
        return int.from_bytes(trace[8:], "big") < self._below

    def _add(self, span: Span, began: int, ended: int, attributes: Attributes) -> None:
        if len(self._waiting) >= _MOST:
            self._counted.labels("dropped").inc()
            return
        span.start_time_unix_nano = began
        span.end_time_unix_nano = max(began, ended)
        span.attributes.extend(pairs(attributes))
        self._waiting.append(span)

    async def run(self, google: Google) -> None:
        """Sends what waits, once a second."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.send(google)

    async def send(self, google: Google) -> None:
        """Sends what waits; what does not arrive is dropped and counted."""
        if not self._waiting:
            return
        spans, self._waiting = self._waiting, []
        try:
            await google.write_traces(self._encoded(spans))
            self._counted.labels("sent").inc(len(spans))
        except UNREACHABLE:
            # Not sent again: they would come in the way of newer ones.
            self._counted.labels("dropped").inc(len(spans))

    def _encoded(self, spans: list[Span]) -> bytes:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.extend(pairs(self._resource))
        scope = group.scope_spans.add()
        scope.scope.name = _SCOPE
        scope.spans.extend(spans)
        data: bytes = request.SerializeToString()
        return data


def _span(trace: bytes, span: bytes, parent: bytes, name: str, kind: Any) -> Span:
    return Span(
        trace_id=trace, span_id=span, parent_span_id=parent, name=name, kind=kind
    )


def pairs(attributes: Attributes) -> Iterator[KeyValue]:
    """Attributes as OTLP carries them."""
    for key, value in attributes.items():
        yield KeyValue(key=key, value=_any(value))


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
