"""Cloud Storage objects as files: media upload, read, list, delete (the part of the
JSON API that clients use).
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from aiohttp import web

from localcloud.control import envelope
from localcloud.control.store import Json, Store

API = "storage.googleapis.com"


class Objects:
    """Objects of declared buckets; a file's name is the encoded object name."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder

    def routes(self) -> list[web.RouteDef]:
        base = f"/{API}/storage/v1/b/{{bucket}}/o"
        return [
            web.post(f"/{API}/upload/storage/v1/b/{{bucket}}/o", self.upload),
            web.get(base, self.list),
            web.get(f"{base}/{{name:.+}}", self.read),
            web.delete(f"{base}/{{name:.+}}", self.delete),
        ]

    def _file(self, request: web.Request, name: str) -> Path:
        bucket = request.match_info["bucket"]
        if not self._store.get(API, f"storage/v1/b/{bucket}"):
            body = envelope.not_found("The specified bucket does not exist.").body
            raise web.HTTPNotFound(
                text=web.json_response(body).text, content_type="application/json"
            )
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        folder = self._folder / bucket
        folder.mkdir(parents=True, exist_ok=True)
        return folder / encoded

    async def upload(self, request: web.Request) -> web.Response:
        name = request.query["name"]
        file = self._file(request, name)
        data = await request.read()
        scratch = file.with_name(f".{file.name}")
        scratch.write_bytes(data)
        os.replace(scratch, file)
        return web.json_response(_metadata(request.match_info["bucket"], name, data))

    async def list(self, request: web.Request) -> web.Response:
        folder = self._file(request, "x").parent
        names = sorted(
            base64.urlsafe_b64decode(f.name).decode()
            for f in folder.iterdir()
            if not f.name.startswith(".")
        )
        prefix = request.query.get("prefix", "")
        bucket = request.match_info["bucket"]
        items = [
            _metadata(bucket, name, self._file(request, name).read_bytes())
            for name in names
            if name.startswith(prefix)
        ]
        return web.json_response({"kind": "storage#objects", "items": items})

    async def read(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        file = self._file(request, name)
        if not file.exists():
            body = envelope.not_found(f"No such object: {name}").body
            return web.json_response(body, status=404)
        data = file.read_bytes()
        if request.query.get("alt") == "media":
            return web.Response(body=data)
        return web.json_response(_metadata(request.match_info["bucket"], name, data))

    async def delete(self, request: web.Request) -> web.Response:
        self._file(request, request.match_info["name"]).unlink(missing_ok=True)
        return web.Response(status=204)


def _metadata(bucket: str, name: str, data: bytes) -> Json:
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest())
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(len(data)),
        "md5Hash": digest.decode(),
    }
