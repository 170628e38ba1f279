"""The plugin protocol: the engine's questions, answered from `localcloud/types/` and
the control plane.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

from localcloud.google import bodies
from localcloud.google.schema import Problem
from localcloud.provider import diff, drift, limits, secret
from localcloud.provider.cloud import Cloud, CloudError
from localcloud.provider.scratch import Scratch
from localcloud.types import UnknownTypeError, lookup
from localcloud.types.base import IamMemberType, Json, ResourceType

IMPORTED = "__imported"
"""Stands in the inputs of what was read to be imported, until it is compared."""
VERSION = "10.2.0"
"""Version of the genuine provider whose types are answered for."""
OFFLINE = (
    "offline: Meridian's local provider answers instead of Google's. "
    "It knows which changes replace, but nothing here was checked by Google."
)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Resource provider for the packages `gcp` and `docker`."""

    def __init__(self, engine: str | None, cloud: Cloud | Scratch | None) -> None:
        self._engine = engine
        self._cloud = cloud
        self._project = ""

    async def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def Attach(self, request: Any, context: Any) -> Any:
        self._engine = request.address
        return empty_pb2.Empty()

    async def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = _load(request.old_inputs), _load(request.news)
        found = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        some = provider_pb2.DiffResponse.DIFF_SOME
        none = provider_pb2.DiffResponse.DIFF_NONE
        replaces = ["project"] if "project" in found else []
        return provider_pb2.DiffResponse(
            changes=some if found else none, diffs=found, replaces=replaces
        )

    async def Configure(self, request: Any, context: Any) -> Any:
        self._project = _load(request.args).get("project", "")
        if not self._cloud and not os.environ.get("MERIDIAN_QUIET_PROVIDER"):
            await self._warn(OFFLINE)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False
        )

    async def Check(self, request: Any, context: Any) -> Any:
        try:
            kind = lookup(_type_of(request.urn))
        except UnknownTypeError as error:
            failure = provider_pb2.CheckFailure(property="", reason=str(error))
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        if isinstance(kind, IamMemberType):
            return provider_pb2.CheckResponse(inputs=request.news)
        written = _raw(request.news)
        failures = _refusals(kind, written)
        if failures or not kind.autoname:
            return provider_pb2.CheckResponse(inputs=request.news, failures=failures)
        old = _load(request.olds) if request.HasField("olds") else None
        news = diff.named(kind, request.urn, old, secret.bare(written))
        return provider_pb2.CheckResponse(inputs=_dump(news, like=written))

    async def Diff(self, request: Any, context: Any) -> Any:
        kind = lookup(_type_of(request.urn))
        old, new = _load(request.old_inputs), _load(request.news)
        if IMPORTED in old:
            old = await self._found(kind, request.id, new)
        if isinstance(kind, IamMemberType):
            kind = ResourceType(
                token=kind.token,
                api=kind.api,
                path="",
                source=kind.source,
                replace=frozenset(old.keys() | new.keys()),
            )
        return _diff_response(kind, diff.changes(kind, old, new), new)

    async def _found(
        self, kind: ResourceType | IamMemberType, ident: str, new: Json
    ) -> Json:
        """What an import compares with: the declared fields as they are there now.

        Without a world nothing is known of it, so nothing differs; nor does a member
        of a policy, whose ID is all that it is.
        """
        if not self._cloud or isinstance(kind, IamMemberType):
            return new
        body = await self._cloud.read(kind, f"{kind.version}{ident}")
        return drift.as_found(kind, new, body) if body else new

    async def Create(self, request: Any, context: Any) -> Any:
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        kind, written = lookup(_type_of(request.urn)), _raw(request.properties)
        inputs = secret.bare(written)
        cloud = await self._world(context)
        try:
            if isinstance(kind, IamMemberType):
                policy = await cloud.bind(kind, inputs, self._project)
                key = f"{policy}/{inputs['role']}/{inputs['member']}"
                state = {**inputs, "etag": ""}
            else:
                body = await cloud.create(kind, inputs, self._project)
                path = body.pop("__path")
                key = path.removeprefix(kind.version)
                state = _state(kind, inputs, body, path)
        except CloudError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
            raise
        made = _dump(state, like=written)
        return provider_pb2.CreateResponse(id=key, properties=made)

    async def Read(self, request: Any, context: Any) -> Any:
        kind = lookup(_type_of(request.urn))
        # Without a state it is an import; its declaration only `Diff` will see.
        imported = not request.properties.fields
        if not self._cloud or isinstance(kind, IamMemberType):
            inputs = _dump({IMPORTED: True}) if imported else request.inputs
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=inputs
            )
        body = await self._cloud.read(kind, f"{kind.version}{request.id}")
        if body is None:
            return provider_pb2.ReadResponse()
        path, written = body.pop("__path"), _raw(request.inputs)
        found = drift.as_found(kind, secret.bare(written), body)
        state = _state(kind, body if imported else found, body, path)
        state["name"] = found.get("name", path.rsplit("/", 1)[-1])
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=_dump(state, like=written),
            inputs=_dump({IMPORTED: True} if imported else found, like=written),
        )

    async def Update(self, request: Any, context: Any) -> Any:
        kind, written = lookup(_type_of(request.urn)), _raw(request.news)
        if request.preview or isinstance(kind, IamMemberType):
            state = {**_raw(request.olds), **written}
            return provider_pb2.UpdateResponse(properties=_dump(state))
        inputs = secret.bare(written)
        cloud = await self._world(context)
        try:
            body = await cloud.update(kind, inputs, f"{kind.version}{request.id}")
        except CloudError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
            raise
        state = _state(kind, inputs, body, body.pop("__path"))
        return provider_pb2.UpdateResponse(properties=_dump(state, like=written))

    async def Delete(self, request: Any, context: Any) -> Any:
        kind, inputs = lookup(_type_of(request.urn)), _load(request.old_inputs)
        cloud = await self._world(context)
        try:
            if isinstance(kind, IamMemberType):
                await cloud.unbind(kind, inputs, self._project)
            elif inputs.get("deletionPolicy") != "ABANDON":
                await cloud.delete(kind, f"{kind.version}{request.id}")
        except CloudError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        return empty_pb2.Empty()

    async def _world(self, context: Any) -> Cloud | Scratch:
        """The control plane to apply to; without one the call ends here."""
        if not self._cloud:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NO_WORLD)
            raise RuntimeError(NO_WORLD)
        return self._cloud

    async def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    async def _warn(self, message: str) -> None:
        if not self._engine:
            return
        async with grpc.aio.insecure_channel(self._engine) as channel:
            line = engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message)
            await engine_pb2_grpc.EngineStub(channel).Log(line)


NO_WORLD = (
    "the local provider has no world to apply to: it previews only. "
    "`meridian up` starts the world of this machine and applies to it."
)


def _diff_response(kind: ResourceType, found: list[diff.Change], new: Json) -> Any:
    kinds = provider_pb2.PropertyDiff.Kind
    detailed = {}
    for change in found:
        suffix = "_REPLACE" if change.replaces else ""
        name = f"{change.kind.name}{suffix}"
        detailed[change.path] = provider_pb2.PropertyDiff(
            kind=kinds.Value(name), inputDiff=True
        )
    replaces = sorted({c.path.split(".")[0].split("[")[0] for c in found if c.replaces})
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if found else response.DIFF_NONE,
        replaces=replaces,
        diffs=sorted({c.path.split(".")[0].split("[")[0] for c in found}),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=bool(replaces) and diff.delete_before_replace(kind, new),
    )


def _state(kind: ResourceType, inputs: Json, body: Json, path: str) -> Json:
    """Outputs of a resource: its inputs, the common computed ones, the type's own."""
    common = {"name": path.rsplit("/", 1)[-1], "selfLink": body.get("selfLink", "")}
    own = kind.outputs(inputs, body, path) if kind.outputs else {}
    return {**common, **inputs, **own}


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _refusals(kind: ResourceType, written: Json) -> list[Any]:
    """What Google would refuse, as the engine reports it.

    No property is named: the engine would print its whole value besides.
    """
    found = _found(kind, secret.hidden(written))
    if secret.contains(written):
        every = _found(kind, secret.bare(written))
        found += [_silent(each) for each in every if each not in found]
    return [
        provider_pb2.CheckFailure(property="", reason=f"Google would refuse it: {each}")
        for each in found
    ]


def _found(kind: ResourceType, inputs: Json) -> list[Problem]:
    """Limits are looked at in bodies that are of the right form alone."""
    return bodies.refusals(kind, inputs) or limits.refusals(kind, inputs)


def _silent(problem: Problem) -> Problem:
    """A problem that says nothing of the value."""
    return replace(
        problem,
        given="a secret that does not fit",
        remedy="look at what it is made from",
    )


def _raw(struct: struct_pb2.Struct) -> Json:
    """Properties as the engine sends them, secrets marked."""
    loaded: Json = json_format.MessageToDict(struct)
    return loaded


def _load(struct: struct_pb2.Struct) -> Json:
    """Properties without marks."""
    loaded: Json = secret.bare(_raw(struct))
    return loaded


def _dump(values: Json, like: Json | None = None) -> struct_pb2.Struct:
    """Properties for the engine; secret where those they come from are."""
    struct = struct_pb2.Struct()
    struct.update(json.loads(json.dumps(secret.marked(values, like or {}))))
    return struct
