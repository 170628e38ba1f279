"""Google-shaped REST for every declared type: create, read, list, change, delete,
policies, operations.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web

from localcloud.control import envelope
from localcloud.control.store import Json, Row, Store
from localcloud.google import bodies
from localcloud.types import resource_types
from localcloud.types.base import Create, Operation, ResourceType

log = logging.getLogger("control")
WAIT_LIMIT_SECONDS = 120.0
SERVER_OWNED = ("name", "selfLink", "id", "kind", "createTime", "creationTimestamp")


class Realiser(Protocol):
    """Runs resources of some types. Every method may be called again at any time."""

    async def ensure(self, row: Row) -> Json:
        """Make it run as declared; fields that the body gains."""
        ...

    async def remove(self, row: Row) -> None:
        """Stop it and drop its data."""
        ...


class Rest:
    """Handler of `/<api>/<path>`; one instance serves all declared types."""

    def __init__(self, store: Store, realisers: dict[str, Realiser]) -> None:
        self._store = store
        self._realisers = realisers
        self._routes = [
            (_pattern(k.path), _pattern(k.path.rsplit("/", 1)[0]), k)
            for k in resource_types()
        ]
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.changed: list[Callable[[Row], None]] = []
        """Called after each change that has settled."""
        self.delay: Callable[[], float] = lambda: 0.0
        """Seconds that a request which changes something waits: a fault on purpose."""

    async def handle(self, request: web.Request) -> web.Response:
        api, path = request.match_info["api"], request.match_info["path"]
        if request.method != "GET" and not path.endswith(":getIamPolicy"):
            # Read first: it is done all the same when who asked is killed meanwhile.
            await request.read()
            await asyncio.sleep(self.delay())
        try:
            return await self._dispatch(request, api, path)
        except envelope.ApiError as error:
            return web.json_response(error.body, status=error.code)

    async def _dispatch(
        self, request: web.Request, api: str, path: str
    ) -> web.Response:
        if path.endswith((":getIamPolicy", ":setIamPolicy", "/iam")):
            return await self._policy(request, api, path)
        if "/operations/" in path:
            return await self._operation(request, api, path)
        body = await request.json() if request.body_exists else {}
        resource, verb = (path.rsplit(":", 1) + [""])[:2] if ":" in path else (path, "")
        for item, collection, kind in self._routes:
            if kind.api != api:
                continue
            if re.fullmatch(item, resource):
                return await self._item(verb, kind, resource, body, request)
            if re.fullmatch(collection, resource):
                return await self._collection(request, kind, resource, body)
        raise envelope.not_found(f"no declared type at {api}/{path}")

    async def _collection(
        self, request: web.Request, kind: ResourceType, path: str, body: Json
    ) -> web.Response:
        if request.method == "GET":
            rows = self._store.below(kind.api, path)
            name = path.rsplit("/", 1)[-1]
            return web.json_response({name: [row.body for row in rows]})
        item = f"{path}/{_new_name(kind, request, body)}"
        existing = self._store.get(kind.api, item)
        if existing and kind.create is Create.SERVER:
            return await self._change(kind, existing, body, None)
        return await self._create(kind, item, body)

    async def _item(
        self, verb: str, kind: ResourceType, path: str, body: Json, request: web.Request
    ) -> web.Response:
        method = request.method
        if method == "PUT" and kind.create is Create.PUT or verb == "enable":
            return await self._create(kind, path, body)
        row = self._store.get(kind.api, path)
        if row is None:
            raise envelope.not_found(f'"{path}" not found')
        if method == "GET":
            return web.json_response(row.body)
        if method == "DELETE":
            return await self._settle(kind, row, "delete", self._remove(row))
        if method in ("PATCH", "PUT"):
            return await self._change(kind, row, body, request.query.get("updateMask"))
        raise envelope.ApiError(501, "UNIMPLEMENTED", f"{method} {path}:{verb}")

    async def _create(self, kind: ResourceType, path: str, body: Json) -> web.Response:
        if self._store.get(kind.api, path):
            if kind.create is Create.ENABLE:
                return web.json_response(envelope.done(kind, path, body))
            raise envelope.ApiError(409, "ALREADY_EXISTS", f'"{path}" already exists')
        _judge(kind, body)
        row = Row(kind.api, path, kind.token, envelope.stored(kind, path, body))
        self._store.put(row)
        return await self._settle(kind, row, "create", self._ensure(row))

    async def _change(
        self, kind: ResourceType, row: Row, body: Json, mask: str | None
    ) -> web.Response:
        _judge(kind, body)
        if mask:
            merged = json.loads(json.dumps(row.body))
            for path in mask.split(","):
                _copy(body, merged, path.strip().split("."))
        else:
            owned = {k: v for k, v in row.body.items() if k in SERVER_OWNED}
            merged = envelope.stored(kind, row.path, {**body, **owned})
        changed = Row(row.api, row.path, row.token, merged)
        self._store.put(changed)
        return await self._settle(kind, changed, "update", self._ensure(changed))

    async def _settle(
        self, kind: ResourceType, row: Row, verb: str, work: Any
    ) -> web.Response:
        """Answer at once with an operation, or wait where the API has none."""
        if kind.operation is Operation.NONE:
            await work
            current = self._store.get(row.api, row.path)
            return web.json_response(current.body if current else {})
        name = envelope.operation_name(kind, row.path, uuid.uuid4().hex)
        body = envelope.started(kind, row, verb, name)
        key = envelope.key(name)
        self._store.start_operation(key, row, verb, body)
        self._busy[key] = asyncio.create_task(self._run(key, body, work))
        return web.json_response(body)

    async def _run(self, key: str, body: Json, work: Any) -> None:
        failure = None
        try:
            await work
        except Exception as error:
            log.exception("operation failed")
            failure = f"{type(error).__name__}: {error}"
        self._store.end_operation(key, envelope.finished(body, failure))
        self._busy.pop(key, None)

    async def _ensure(self, row: Row) -> None:
        """Bring the running part to what is declared; one change at a time each."""
        lock = self._locks.setdefault(row.path, asyncio.Lock())
        realiser = self._realisers.get(row.token)
        async with lock:
            current = self._store.get(row.api, row.path)
            if current is None:
                return
            if realiser:
                gained = await realiser.ensure(current)
                if gained:
                    current = Row(*_key(current), {**current.body, **gained})
                    self._store.put(current)
            self._announce(current)

    async def _remove(self, row: Row) -> None:
        lock = self._locks.setdefault(row.path, asyncio.Lock())
        realiser = self._realisers.get(row.token)
        async with lock:
            if realiser:
                await realiser.remove(row)
            self._store.remove(row.api, row.path)
            self._announce(row)

    def _announce(self, row: Row) -> None:
        for listener in self.changed:
            listener(row)

    async def restore(self) -> None:
        """After a start: go on with open operations, run whatever is declared."""
        self._resume()
        rows = list(self._store.all())
        results = await asyncio.gather(
            *(self._ensure(row) for row in rows), return_exceptions=True
        )
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, BaseException):
                log.error("%s does not run: %s", row.path, result)

    def _resume(self) -> None:
        """Operations that the last control plane did not end; all may run again."""
        for key, api, path, verb, body in self._store.open_operations():
            row = self._store.get(api, path)
            if row is None:
                failure = None if verb == "delete" else f"{path} is gone"
                self._store.end_operation(key, envelope.finished(body, failure))
                continue
            work = self._remove(row) if verb == "delete" else self._ensure(row)
            self._busy[key] = asyncio.create_task(self._run(key, body, work))

    async def sweep(self, keep: set[str]) -> list[str]:
        """Remove resources whose Pulumi id is not in `keep`, the newest first."""
        kinds = {kind.token: kind for kind in resource_types()}
        rows = [
            row
            for row in self._store.all()
            if row.path.removeprefix(kinds[row.token].version) not in keep
        ]
        for row in reversed(rows):
            await self._remove(row)
        return [row.path for row in rows]

    async def _policy(self, request: web.Request, api: str, path: str) -> web.Response:
        bare = path.endswith("/iam")
        resource, verb = path.rsplit("/" if bare else ":", 1)
        version, policy = self._store.policy(api, resource)
        if verb == "getIamPolicy" or request.method == "GET":
            return web.json_response({"version": 1, **policy, "etag": f"v{version}"})
        body = await request.json()
        wanted = body if bare else body["policy"]
        if wanted.get("etag", f"v{version}") != f"v{version}":
            text = f"policy of {resource} has changed since it was read"
            raise envelope.ApiError(409, "ABORTED", text)
        kept = {k: v for k, v in wanted.items() if k != "etag"}
        self._store.set_policy(api, resource, version + 1, kept)
        return web.json_response({**kept, "etag": f"v{version + 1}"})

    async def _operation(
        self, request: web.Request, api: str, path: str
    ) -> web.Response:
        key = envelope.key(path)
        wait = min(float(request.query.get("wait", 0)), WAIT_LIMIT_SECONDS)
        task = self._busy.get(key)
        if task and wait:
            await asyncio.wait([task], timeout=wait)
        body = self._store.operation(key)
        if body is None:
            raise envelope.not_found(f"operation {path} not found")
        return web.json_response(body)


def _key(row: Row) -> tuple[str, str, str]:
    return row.api, row.path, row.token


def _judge(kind: ResourceType, body: Json) -> None:
    """Refuse a body that Google's parser would refuse."""
    found = bodies.body_refusals(kind, body)
    if found:
        text = f"Invalid JSON payload received. {'; '.join(map(str, found))}"
        raise envelope.ApiError(400, "INVALID_ARGUMENT", text)


def _pattern(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(path))


def _new_name(kind: ResourceType, request: web.Request, body: Json) -> str:
    if kind.create is Create.QUERY:
        name = request.query.get(kind.id_param or "")
    elif kind.create is Create.SERVER:
        name = _drawn_name(body)
    else:
        name = body.get(kind.id_field)
    if not name:
        query = kind.create is Create.QUERY
        what = kind.id_param if query else f"{kind.id_field} in the body"
        raise envelope.ApiError(400, "INVALID_ARGUMENT", f"{what} is missing")
    return _full_name(kind, request, str(name).rsplit("/", 1)[-1])


def _drawn_name(body: Json) -> str:
    """Server-drawn names are a function of what is shown to people.

    Google draws a new one each time; here an interrupted `up` must find what it made.
    """
    shown = body.get("displayName") or body.get("network") or json.dumps(body)
    return str(int.from_bytes(hashlib.sha256(shown.encode()).digest()[:7], "big"))


def _full_name(kind: ResourceType, request: web.Request, name: str) -> str:
    """A service account is known by its address."""
    if "/serviceAccounts/" not in kind.path or "@" in name:
        return name
    project = request.match_info["path"].split("/")[2]
    return f"{name}@{project}.iam.gserviceaccount.com"


def _copy(source: Json, target: Json, path: list[str]) -> None:
    """Copy one masked field; a field absent from the source is cleared."""
    for name in path[:-1]:
        source = source.get(name, {})
        target = target.setdefault(name, {})
    if path[-1] in source:
        target[path[-1]] = source[path[-1]]
    else:
        target.pop(path[-1], None)
