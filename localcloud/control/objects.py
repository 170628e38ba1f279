"""Cloud Storage objects as files: media upload, read, list, delete (the part of the
JSON API that clients use).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from localcloud.control import envelope
from localcloud.control.store import Json, Row, Store

API = "storage.googleapis.com"
BUCKET = "gcp:storage/bucket:Bucket"
PAGE = 1000
"""Most objects of one list, as at Google
(https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list, 2026-11-30)."""
_NO_BUCKET = "The specified bucket does not exist."


class Objects:
    """Objects of declared buckets; a file's name is the encoded object name.

    Beside the content stands what a list shows of it, so that no list reads contents.
    """

    def __init__(self, is_declared: Callable[[str], bool], folder: Path) -> None:
        self._is_declared, self._folder = is_declared, folder

    def routes(self, prefix: str = f"/{API}") -> list[web.RouteDef]:
        """Where Google has them."""
        base = f"{prefix}/storage/v1/b/{{bucket}}/o"
        return [
            web.post(f"{prefix}/upload/storage/v1/b/{{bucket}}/o", self.upload),
            web.get(base, self.list),
            web.get(f"{base}/{{name:.+}}", self.read),
            web.delete(f"{base}/{{name:.+}}", self.delete),
        ]

    @classmethod
    def of(cls, store: Store, folder: Path) -> Objects:
        """Objects of the buckets that a control plane knows."""
        return cls(lambda b: store.get(API, f"storage/v1/b/{b}") is not None, folder)

    def changed(self, row: Row) -> None:
        """A bucket that is gone takes its objects with it."""
        bucket = row.path.rsplit("/", 1)[-1]
        if row.token == BUCKET and not self._is_declared(bucket):
            shutil.rmtree(self._folder / bucket, ignore_errors=True)

    def _bucket(self, request: web.Request) -> Path:
        bucket = request.match_info["bucket"]
        if not self._is_declared(bucket):
            raise _missing(_NO_BUCKET)
        folder = self._folder / bucket
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _file(self, request: web.Request) -> Path:
        """The file of an object that is there."""
        file = self._bucket(request) / _encoded(request.match_info["name"])
        if not file.exists():
            raise _missing(f"No such object: {request.match_info['name']}")
        return file

    async def upload(self, request: web.Request) -> web.Response:
        name = request.query["name"]
        file = self._bucket(request) / _encoded(name)
        data = await request.read()
        shown = _metadata(request.match_info["bucket"], name, data)
        _replace(_beside(file), json.dumps(shown).encode())
        _replace(file, data)
        return web.json_response(shown)

    async def list(self, request: web.Request) -> web.Response:
        prefix = request.query.get("prefix", "")
        after = request.query.get("pageToken", "")
        files = [f for f in self._bucket(request).iterdir() if f.suffix != ".json"]
        names = {_decoded(f.name): f for f in files if not f.name.startswith(".")}
        wanted = sorted(n for n in names if n.startswith(prefix) and n > after)
        found = [json.loads(_beside(names[n]).read_text()) for n in wanted[:PAGE]]
        answer: Json = {"kind": "storage#objects", "items": found}
        if len(wanted) > PAGE:
            answer["nextPageToken"] = wanted[PAGE - 1]
        return web.json_response(answer)

    async def read(self, request: web.Request) -> web.Response:
        file = self._file(request)
        if request.query.get("alt") == "media":
            return web.Response(body=file.read_bytes())
        return web.json_response(json.loads(_beside(file).read_text()))

    async def delete(self, request: web.Request) -> web.Response:
        file = self._file(request)
        file.unlink()
        _beside(file).unlink()
        return web.Response(status=204)


def _missing(message: str) -> web.HTTPNotFound:
    body = json.dumps(envelope.not_found(message).body)
    return web.HTTPNotFound(text=body, content_type="application/json")


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decoded(file: str) -> str:
    return base64.urlsafe_b64decode(file).decode()


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _replace(file: Path, data: bytes) -> None:
    scratch = file.with_name(f".{file.name}")
    scratch.write_bytes(data)
    os.replace(scratch, file)


def _metadata(bucket: str, name: str, data: bytes) -> Json:
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest())
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(len(data)),
        "md5Hash": digest.decode(),
        "timeCreated": envelope.now(),
        "updated": envelope.now(),
    }
