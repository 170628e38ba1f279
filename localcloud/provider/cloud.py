"""The provider's side of the REST border: creates, reads, changes and deletes Google-
shaped resources.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import aiohttp

from localcloud.types.base import (
    Create,
    IamMemberType,
    Json,
    Operation,
    ResourceType,
    google_body,
)

NOT_FOUND, CONFLICT = 404, 409
CONNECT_SECONDS = 20.0
"""The control plane may still be starting, or starting again."""
POLICY_ATTEMPTS = 20
"""Writers of one policy retry on a stale etag, as Google's own provider does."""


class CloudError(Exception):
    """The control plane refused; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cloud:
    """REST client of one control plane (`base` = `http://127.0.0.1:4000`)."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._policies: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def create(self, kind: ResourceType, inputs: Json, project: str) -> Json:
        """Create, or adopt what already has this name; the finished body."""
        path = kind.resource_path(inputs, project)
        body = google_body(kind, inputs)
        try:
            method, url, payload = create_request(kind, path, body)
            answer = await self._call(kind.api, method, url, payload)
        except CloudError as error:
            if error.status != CONFLICT:
                raise
            return await self.update(kind, inputs, path)
        if kind.create is Create.SERVER:
            path = f"{kind.version}{answer['name']}"
        await self._settle(kind, answer)
        return {**await self._call(kind.api, "GET", path), "__path": path}

    async def read(self, kind: ResourceType, path: str) -> Json | None:
        """The body, or None when there is no such resource."""
        try:
            return {**await self._call(kind.api, "GET", path), "__path": path}
        except CloudError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def update(self, kind: ResourceType, inputs: Json, path: str) -> Json:
        """Change in place; the finished body."""
        if kind.update:
            answer = await self._call(
                kind.api, kind.update, path, google_body(kind, inputs)
            )
            await self._settle(kind, answer)
        return {**await self._call(kind.api, "GET", path), "__path": path}

    async def delete(self, kind: ResourceType, path: str) -> None:
        """Delete; what is gone already is no error."""
        try:
            if kind.create is Create.ENABLE:
                return
            answer = await self._call(kind.api, "DELETE", path)
        except CloudError as error:
            if error.status == NOT_FOUND:
                return
            raise
        await self._settle(kind, answer)

    async def bind(self, kind: IamMemberType, inputs: Json, project: str) -> str:
        """Add one member to one role; the path of the policy."""

        def add(bindings: list[Json]) -> None:
            role = next((b for b in bindings if b["role"] == inputs["role"]), None)
            if role is None:
                role = {"role": inputs["role"], "members": []}
                bindings.append(role)
            if inputs["member"] not in role["members"]:
                role["members"].append(inputs["member"])

        return await self._edit_policy(kind, inputs, project, add)

    async def unbind(self, kind: IamMemberType, inputs: Json, project: str) -> None:
        """Take one member out of one role."""

        def take(bindings: list[Json]) -> None:
            for role in bindings:
                if (
                    role["role"] == inputs["role"]
                    and inputs["member"] in role["members"]
                ):
                    role["members"].remove(inputs["member"])
            bindings[:] = [b for b in bindings if b["members"]]

        try:
            await self._edit_policy(kind, inputs, project, take)
        except CloudError as error:
            if error.status != NOT_FOUND:
                raise

    async def _edit_policy(
        self,
        kind: IamMemberType,
        inputs: Json,
        project: str,
        edit: Callable[[list[Json]], None],
    ) -> str:
        path = kind.policy(inputs, project)
        async with self._policies[path]:
            for attempt in range(POLICY_ATTEMPTS):
                method, suffix = kind.read
                policy = await self._call(kind.api, method, f"{path}{suffix}")
                edit(policy.setdefault("bindings", []))
                body = policy if kind.bare else {"policy": policy}
                method, suffix = kind.write
                try:
                    await self._call(kind.api, method, f"{path}{suffix}", body)
                    return path
                except CloudError as error:
                    if error.status != CONFLICT or attempt == POLICY_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    async def _settle(self, kind: ResourceType, answer: Json) -> None:
        """Wait until the operation of a change has ended."""
        if kind.operation is Operation.NONE:
            return
        path = operation_path(kind, answer)
        while not _done(answer):
            answer = await self._call(kind.api, "GET", f"{path}?wait=60")
        failure = answer.get("error")
        if failure:
            errors = failure.get("errors") or [failure]
            raise CloudError(500, "; ".join(e["message"] for e in errors))

    async def _call(self, api: str, method: str, path: str, body: Any = None) -> Json:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=600)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        url = f"{self._base}/{api}/{path}"
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                return await self._once(self._session, method, url, body)
            except aiohttp.ClientConnectionError as error:
                # Sent or not: what exists is adopted, so all may be asked again.
                if time.monotonic() > deadline:
                    text = f"the control plane does not answer: {error}"
                    raise CloudError(503, text) from error
                await asyncio.sleep(0.1)

    async def _once(
        self, session: aiohttp.ClientSession, method: str, url: str, body: Any
    ) -> Json:
        async with session.request(method, url, json=body) as response:
            answer = await response.json()
            if response.status >= 400:
                raise CloudError(response.status, answer["error"]["message"])
            return answer if isinstance(answer, dict) else {}


def create_request(kind: ResourceType, path: str, body: Json) -> tuple[str, str, Json]:
    """(method, URL path, body) of the request that creates a resource."""
    collection, _, name = path.rpartition("/")
    match kind.create:
        case Create.QUERY:
            return "POST", f"{collection}?{kind.id_param}={name}", body
        case Create.BODY:
            return "POST", collection, {kind.id_field: name, **body}
        case Create.PUT:
            return "PUT", path, body
        case Create.ENABLE:
            return "POST", f"{path}:enable", {}
        case Create.SERVER:
            return "POST", collection, body


def operation_path(kind: ResourceType, answer: Json) -> str:
    """Path of the operation that a change answered with."""
    if kind.operation is Operation.LONG_RUNNING:
        return f"{kind.path.split('/', 1)[0]}/{answer['name']}"
    link: str = answer["selfLink"].split("/", 3)[3]
    return link


def _done(answer: Json) -> bool:
    return bool(answer.get("done")) or answer.get("status") == "DONE"
