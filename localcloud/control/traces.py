"""Google's Telemetry API for traces: takes OTLP, keeps the newest, shows them.

In memory, as a view of what happens now; Cloud Trace keeps them for 30 days.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from localcloud.control.store import Json

API = "telemetry.googleapis.com"
MOST_TRACES = 500
"""Kept; the one that was heard of least lately goes first."""
MOST_SPANS = 1000
"""Of one trace."""
LISTED = 50
_PROTOBUF = "application/x-protobuf"
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


class Traces:
    """Spans by trace, as processes of every region send them."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, dict[str, Json]] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"/{API}/v1/traces", self.take),
            web.get("/console/traces", self.listed),
            web.get("/console/traces/{id:[0-9a-f]{32}}", self.one),
        ]

    async def take(self, request: web.Request) -> web.Response:
        """One `ExportTraceServiceRequest`."""
        try:
            sent = ExportTraceServiceRequest.FromString(await request.read())
        except DecodeError as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        for group in sent.resource_spans:
            resource = _plain(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    self._keep(span, resource)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type=_PROTOBUF)

    def _keep(self, span: Span, resource: Json) -> None:
        trace = span.trace_id.hex()
        spans = self._traces.setdefault(trace, {})
        self._traces.move_to_end(trace)
        if len(spans) < MOST_SPANS:
            spans[span.span_id.hex()] = _shown(span, resource)
        while len(self._traces) > MOST_TRACES:
            self._traces.popitem(last=False)

    async def listed(self, request: web.Request) -> web.Response:
        """The newest traces; `?name=` keeps those whose root has that name."""
        wanted = request.query.get("name")
        found = [summary(key, spans) for key, spans in self._traces.items()]
        kept = [t for t in found if wanted in (None, t["name"])]
        kept.sort(key=lambda t: t["began"], reverse=True)
        return web.json_response({"traces": kept[:LISTED]})

    async def one(self, request: web.Request) -> web.Response:
        """A trace with its spans in the order of their starts."""
        key = request.match_info["id"]
        spans = self._traces.get(key)
        if spans is None:
            text = (
                f"no trace {key}: the newest {MOST_TRACES} are kept, and of a share of "
                "writes only (telemetry.trace_share)"
            )
            return web.json_response({"error": text}, status=404)
        ordered = sorted(spans.values(), key=lambda s: s["began"])
        return web.json_response({**summary(key, spans), "spans": ordered})


def summary(key: str, spans: dict[str, Json]) -> Json:
    """What a list says of a trace; times in ms since 1970."""
    first = min(spans.values(), key=lambda s: s["began"])
    root = next((s for s in spans.values() if not s["parent"]), first)
    return {
        "id": key,
        "name": root["name"],
        "region": root["region"],
        "began": first["began"],
        "ms": round(
            max(s["began"] + s["ms"] for s in spans.values()) - first["began"], 3
        ),
        "spans": len(spans),
        "regions": sorted({s["region"] for s in spans.values()}),
        "failed": any(s["failed"] for s in spans.values()),
    }


def _shown(span: Span, resource: Json) -> Json:
    return {
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": _KINDS[span.kind],
        "service": resource.get("service.name", ""),
        "instance": resource.get("service.instance.id", ""),
        "region": resource.get("cloud.region", ""),
        "began": span.start_time_unix_nano / 1e6,
        "ms": round((span.end_time_unix_nano - span.start_time_unix_nano) / 1e6, 3),
        "failed": span.status.code == Status.STATUS_CODE_ERROR,
        "attributes": _plain(span.attributes),
        "links": [link.trace_id.hex() for link in span.links],
    }


def _plain(pairs: Any) -> Json:
    """Attributes as JSON; only scalars are sent by the service."""
    plain: Json = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        plain[pair.key] = getattr(pair.value, kind) if kind else None
    return plain
