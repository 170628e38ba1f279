"""Google's Telemetry API for metrics: takes OTLP; this world's Prometheus keeps it."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from localcloud.control.traces import API

PUSH_VARIABLE = "MERIDIAN_PUSH_SECONDS"
"""Of a container that sends its metrics itself; nobody scrapes it besides."""
NEEDED = ("service.instance.id", "cloud.region")
"""Attributes of a resource without which Google refuses its points."""
_PROTOBUF = "application/x-protobuf"


class PushedMetrics:
    """Hands on what processes send."""

    def __init__(self, prometheus: str) -> None:
        self._url = f"{prometheus}/api/v1/otlp/v1/metrics"
        self._session: aiohttp.ClientSession | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.post(f"/{API}/v1/metrics", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """One `ExportMetricsServiceRequest`."""
        data = await request.read()
        wrong = _refused(data)
        if wrong:
            return web.json_response({"error": {"message": wrong}}, status=400)
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {"content-type": _PROTOBUF}
        try:
            async with self._session.post(
                self._url, data=data, headers=headers
            ) as answer:
                body = await answer.read()
                return web.Response(body=body, status=answer.status)
        except aiohttp.ClientError as error:
            away = {"error": {"message": f"Prometheus is away: {error}"}}
            return web.json_response(away, status=503)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _refused(data: bytes) -> str:
    """Why Google would not take it; empty where it would."""
    try:
        sent = ExportMetricsServiceRequest.FromString(data)
    except DecodeError as error:
        return str(error)
    for group in sent.resource_metrics:
        known = {a.key for a in group.resource.attributes if a.value.string_value}
        for name in NEEDED:
            if name not in known:
                return f"a resource has no {name}: its points would be refused"
    return ""
