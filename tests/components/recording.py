"""A monitor that keeps every registration with its options."""

import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.stack import Stack, run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from topology import slices

Declare = Callable[..., list["Registration"]]
"""The world program over a changed catalogue, and whether it is a preview."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the engine would see it."""

    urn: str
    token: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    protect: bool
    retain_on_delete: bool
    ignore_changes: tuple[str, ...]
    depends_on: tuple[str, ...]
    deleted_with: str
    provider: str
    delete_timeout: str
    custom: bool


class Cloud(mocks.Mocks):
    """Answers with the inputs and the outputs that programs read."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name = args.inputs.get("name", args.name)
        outputs = {**args.inputs, "name": name, **_outputs(args)}
        for endpoint in _endpoints(outputs):
            endpoint["ipAddress"] = "192.0.2.9"
        return _identity(args, name), outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"the program asked the provider: {args.token}")


def _endpoints(outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Endpoints of a database that Google gives an address."""
    settings = outputs.get("settings") or {}
    path = settings.get("ipConfiguration") or {} if isinstance(settings, dict) else {}
    configurations = path.get("pscConfigs") or []
    return [end for each in configurations for end in each["pscAutoConnections"]]


def _identity(args: mocks.MockResourceArgs, name: str) -> str:
    """Google's resource names where the program passes ids on."""
    project = "projects/test"
    region = args.inputs.get("region") or args.inputs.get("location")
    forms = {
        "gcp:compute/network:Network": f"{project}/global/networks/{name}",
        "gcp:compute/subnetwork:Subnetwork": (
            f"{project}/regions/{region}/subnetworks/{name}"
        ),
        "gcp:pubsub/topic:Topic": f"{project}/topics/{name}",
        "gcp:pubsub/subscription:Subscription": f"{project}/subscriptions/{name}",
        "gcp:redis/instance:Instance": f"{project}/locations/{region}/instances/{name}",
    }
    return forms.get(args.typ, f"{args.name}-id")


def _outputs(args: mocks.MockResourceArgs) -> dict[str, Any]:
    """Outputs that Google computes and the program reads."""
    made: dict[str, dict[str, Any]] = {
        "gcp:serviceaccount/account:Account": {
            "email": f"{args.inputs.get('accountId')}@test.iam.gserviceaccount.com"
        },
        "gcp:artifactregistry/repository:Repository": {
            "registryUri": "us-docker.pkg.dev/test/meridian"
        },
        "gcp:projects/serviceIdentity:ServiceIdentity": {
            "member": "serviceAccount:agent@example.com"
        },
        "gcp:projects/iAMCustomRole:IAMCustomRole": {
            "name": f"projects/test/roles/{args.inputs.get('roleId')}"
        },
        "gcp:redis/instance:Instance": {
            "host": "10.64.0.4",
            "port": 6378,
            "serverCaCerts": [{"cert": "public"}],
        },
        "gcp:sql/databaseInstance:DatabaseInstance": {"privateIpAddress": "10.64.1.2"},
        "gcp:compute/globalAddress:GlobalAddress": {"address": "192.0.2.1"},
        "gcp:redis/cluster:Cluster": {
            "discoveryEndpoints": [{"address": "192.0.2.7", "port": 6379}]
        },
        "gcp:memorystore/instance:Instance": {
            "endpoints": [
                {
                    "connections": [
                        {"pscAutoConnection": {"ipAddress": "192.0.2.8", "port": 6379}}
                    ]
                }
            ]
        },
    }
    return made.get(args.typ, {})


class RecordingMonitor(mocks.MockMonitor):
    """Keeps what plain mocks drop: options, dependencies, timeouts."""

    def __init__(self) -> None:
        super().__init__(Cloud())
        self.registrations: list[Registration] = []
        self.exports: dict[str, Any] = {}
        """Outputs of the stack."""

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine makes them: the whole chain of types, without the stack's."""
        chain = parent.split("::")[2] if parent else ""
        if chain and chain != "pulumi:pulumi:Stack":
            type_ = f"{chain}${type_}"
        place = f"{settings.get_stack()}::{settings.get_project()}"
        return f"urn:pulumi:{place}::{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            self.registrations.append(_registration(request, answer.urn))
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            self.exports = rpc.deserialize_properties(
                request.outputs, keep_unknowns=True
            )
        return super().RegisterResourceOutputs(request)


def _registration(request: Any, urn: str) -> Registration:
    return Registration(
        urn=urn,
        token=request.type,
        name=request.name,
        parent=request.parent,
        inputs=rpc.deserialize_properties(request.object, keep_unknowns=True),
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        ignore_changes=tuple(request.ignoreChanges),
        depends_on=tuple(request.dependencies),
        deleted_with=request.deletedWith,
        provider=request.provider,
        delete_timeout=request.customTimeouts.delete,
        custom=request.custom,
    )


def record(
    program: Any,
    project: str = "meridian",
    stack: str = "test",
    preview: bool = False,
    monitor: RecordingMonitor | None = None,
) -> list[Registration]:
    """Run a function as a Pulumi program and return what it registered."""
    monitor = monitor or RecordingMonitor()
    mocks.set_mocks(
        monitor.mocks, project=project, stack=stack, preview=preview, monitor=monitor
    )
    settings.SETTINGS.rpc_manager.clear()
    settings.SETTINGS.outputs.clear()
    settings.set_root_resource(None)
    _sync_await(run_pulumi_func(lambda: Stack(program)))
    return monitor.registrations


def record_world(
    environment: str, preview: bool = True, monitor: RecordingMonitor | None = None
) -> list[Registration]:
    """Run the world program as it stands in its folder."""
    path = ROOT / "stacks" / "world" / "__main__.py"
    return record(
        lambda: runpy.run_path(str(path), run_name="__main__"),
        stack=environment,
        preview=preview,
        monitor=monitor,
    )


def record_slice(
    piece: slices.Slice,
    environment: str,
    preview: bool = True,
    monitor: RecordingMonitor | None = None,
) -> list[Registration]:
    """Run the program of one slice as it stands in its folder."""
    path = ROOT / "stacks" / piece.layer / "__main__.py"
    return record(
        lambda: runpy.run_path(str(path), run_name="__main__"),
        project=piece.project,
        stack=piece.stack(environment),
        preview=preview,
        monitor=monitor,
    )
