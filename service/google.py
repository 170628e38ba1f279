"""Google's APIs as this service uses them: token, Pub/Sub, Memorystore AUTH, Cloud
Storage, telemetry.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
import pybase64
from yarl import URL

from service.settings import Settings

PULL_MOST = 100
"""Messages of one pull."""
_PUBSUB = "pubsub.googleapis.com"
_TELEMETRY = "telemetry.googleapis.com"
_REDIS = "redis.googleapis.com"
_STORAGE = "storage.googleapis.com"
_BYTES = "application/octet-stream"
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


@dataclass(frozen=True, slots=True)
class Message:
    """A pulled message."""

    ack_id: str
    data: bytes
    attributes: dict[str, str]


class GoogleError(Exception):
    """An answer that is no success, with its status and the start of its body."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:200]}")
        self.status = status


class Google:
    """Client of the APIs; holds one HTTP session and the access token."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._token_until = 0.0

    async def close(self) -> None:
        """Closes the HTTP session."""
        if self._session:
            await self._session.close()

    async def token(self) -> str | None:
        """Access token of the service account, None without metadata server."""
        host = self._settings.metadata_host
        if not host:
            return None
        if time.monotonic() >= self._token_until:
            url = f"http://{host}{_TOKEN_PATH}"
            headers = {"Metadata-Flavor": "Google"}
            async with self._http().get(url, headers=headers) as answer:
                got = orjson.loads(await self._read(answer))
            self._token = got["access_token"]
            # A minute early, so that no request carries an expired token.
            self._token_until = time.monotonic() + got.get("expires_in", 300) - 60
        return self._token

    async def redis_password(self) -> str | None:
        """AUTH string of this region's Redis, None when it has none."""
        if not (self._settings.redis_instance and self._settings.metadata_host):
            return None
        path = f"/v1/{self._settings.redis_instance}/authString"
        got = await self._call("GET", _REDIS, path, None, 10)
        return got.get("authString") or None

    async def redis_certificates(self) -> str:
        """PEM of the authorities that sign this region's Redis."""
        path = f"/v1/{self._settings.redis_instance}"
        got = await self._call("GET", _REDIS, path, None, 10)
        return "\n".join(entry["cert"] for entry in got["serverCaCerts"])

    async def publish(
        self, topic: str, messages: list[tuple[bytes, dict[str, str]]]
    ) -> None:
        """Publishes (data, attributes) pairs; raises GoogleError or ClientError."""
        body = {
            "messages": [
                {"data": pybase64.b64encode_as_string(data), "attributes": attributes}
                for data, attributes in messages
            ]
        }
        await self._call("POST", _PUBSUB, f"/v1/{topic}:publish", body, 10)

    async def pull(self, subscription: str) -> list[Message]:
        """Waits for messages; empty when none came within the server's wait."""
        body = {"maxMessages": PULL_MOST}
        path = f"/v1/{subscription}:pull"
        got = await self._call("POST", _PUBSUB, path, body, 120)
        return [_message(m) for m in got.get("receivedMessages", ())]

    async def acknowledge(self, subscription: str, ack_ids: list[str]) -> None:
        """Marks messages as handled."""
        path = f"/v1/{subscription}:acknowledge"
        await self._call("POST", _PUBSUB, path, {"ackIds": ack_ids}, 10)

    async def write_traces(self, data: bytes) -> None:
        """Sends an `ExportTraceServiceRequest`; raises one of `UNREACHABLE`."""
        kind = "application/x-protobuf"
        await self._send("POST", _TELEMETRY, "/v1/traces", data, 10, kind)

    async def write_metrics(self, data: bytes) -> None:
        """Sends an `ExportMetricsServiceRequest`; raises one of `UNREACHABLE`."""
        kind = "application/x-protobuf"
        await self._send("POST", _TELEMETRY, "/v1/metrics", data, 10, kind)

    async def read_object(self, bucket: str, name: str, seconds: float) -> bytes:
        """Content of an object; raises GoogleError 404 where there is none."""
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        return await self._send("GET", _STORAGE, path, None, seconds)

    async def write_object(self, bucket: str, name: str, data: bytes) -> None:
        """Writes an object whole; whoever reads it sees the old or the new one."""
        query = urlencode({"uploadType": "media", "name": name})
        path = f"/upload/storage/v1/b/{bucket}/o?{query}"
        await self._send("POST", _STORAGE, path, data, 120, _BYTES)

    async def list_objects(self, bucket: str, prefix: str) -> AsyncIterator[str]:
        """Names that begin so."""
        query = {"prefix": prefix, "fields": "items(name),nextPageToken"}
        while True:
            path = f"/storage/v1/b/{bucket}/o?{urlencode(query)}"
            page = await self._call("GET", _STORAGE, path, None, 30)
            for item in page.get("items", ()):
                yield item["name"]
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    async def delete_object(self, bucket: str, name: str) -> None:
        """Removes an object; one that has gone already is no error."""
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        try:
            await self._send("DELETE", _STORAGE, path, None, 30)
        except GoogleError as error:
            if error.status != 404:
                raise

    async def _call(
        self, method: str, api: str, path: str, body: Any, seconds: float
    ) -> Any:
        data = None if body is None else orjson.dumps(body)
        return orjson.loads(await self._send(method, api, path, data, seconds) or b"{}")

    async def _send(
        self,
        method: str,
        api: str,
        path: str,
        data: bytes | None,
        seconds: float,
        kind: str = "application/json",
    ) -> bytes:
        headers = {"Content-Type": kind}
        token = await self.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # What is quoted stays quoted: an object's name is one segment of the path.
        address = self._settings.google_api.replace("{api}", api) + path
        url = URL(address, encoded=True)
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self._http().request(
            method, url, data=data, headers=headers, timeout=timeout
        ) as answer:
            return await self._read(answer)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        data = await answer.read()
        if answer.status == 401:
            self._token_until = 0.0
        if answer.status // 100 != 2:
            raise GoogleError(answer.status, data.decode(errors="replace"))
        return data

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _message(received: dict[str, Any]) -> Message:
    inner = received["message"]
    return Message(
        received["ackId"],
        pybase64.b64decode(inner.get("data", "")),
        inner.get("attributes", {}),
    )


UNREACHABLE = (GoogleError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a call raises when Google, or the way to it, is away."""
