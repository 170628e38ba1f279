"""A program's registrations under mocks, and the same ones as a bare program.

    python -m benchmarks.recorded --program FOLDER --environment prod [--bare FILE]

Runs a program under mocks as the engine would in a preview and prints the CPU seconds
of the whole process and of the program alone. With `--bare` a program that registers
the same resources (types, names, parents, inputs as literals, one statement each, no
component classes of ours) is written instead.
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.output import Unknown
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.stack import run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

Json = dict[str, Any]
COMPONENT = "pulumi.ComponentResource({type!r}, {name!r}, opts=O({options}))"


@dataclass(frozen=True)
class Registration:
    """One resource as the engine hears of it."""

    urn: str
    type: str
    name: str
    parent: str
    provider: str
    custom: bool
    inputs: Json


class Echoed(mocks.Mocks):
    """Answers with the inputs; other outputs are unknown, as in a preview."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Json]:
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[Json, None]:
        raise AssertionError(f"the program asked the provider: {args.token}")


class Monitor(mocks.MockMonitor):
    """Makes URNs as the engine does, and keeps registrations when asked to."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__(Echoed())
        self.keep = keep
        self.kept: list[Registration] = []
        self.count = 0

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        chain = parent.split("::")[2] if parent else ""
        if chain and chain != "pulumi:pulumi:Stack":
            type_ = f"{chain}${type_}"
        place = f"{settings.get_stack()}::{settings.get_project()}"
        return f"urn:pulumi:{place}::{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        answer = super().RegisterResource(request)
        self.count += 1
        if self.keep and request.type != "pulumi:pulumi:Stack":
            inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
            made = Registration(
                answer.urn,
                request.type,
                request.name,
                request.parent,
                request.provider,
                request.custom,
                literal(inputs),
            )
            self.kept.append(made)
        return answer


def literal(value: Any) -> Any:
    """A value without secrets and unknowns."""
    if isinstance(value, Unknown):
        return "unknown"
    if rpc.is_rpc_secret(value):
        return literal(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {k: literal(v) for k, v in value.items() if k != "__defaults"}
    if isinstance(value, list):
        return [literal(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def run(folder: Path, environment: str, monitor: Monitor) -> float:
    """Run a program's folder; CPU seconds of the program, its imports included."""
    mocks.set_mocks(
        monitor.mocks,
        project="meridian",
        stack=environment,
        preview=True,
        monitor=monitor,
    )
    settings.SETTINGS.rpc_manager.clear()
    settings.SETTINGS.outputs.clear()
    started = time.process_time()
    path = str(folder / "__main__.py")
    _sync_await(run_pulumi_func(lambda: runpy.run_path(path, run_name="__main__")))
    return time.process_time() - started


def statements(found: list[Registration]) -> Iterator[str]:
    """The bare program, a line for each resource."""
    yield "import pulumi"
    yield "import pulumi_gcp as gcp"
    yield "O = pulumi.ResourceOptions"
    names: dict[str, str] = {}
    for number, one in enumerate(found):
        names[one.urn] = f"r{number}"
        yield f"r{number} = {_expression(one, names)}"


def _expression(one: Registration, names: dict[str, str]) -> str:
    options = [f"parent={names[one.parent]}"] if one.parent in names else []
    provider = one.provider.rsplit("::", 1)[0]
    if provider in names:
        options.append(f"provider={names[provider]}")
    if not one.custom:
        text = ", ".join(options)
        return COMPONENT.format(type=one.type, name=one.name, options=text)
    read = _read if one.type.startswith("pulumi:providers:") else lambda value: value
    given = {snake(k): read(v) for k, v in one.inputs.items()}
    values = [repr(one.name), *(f"{k}={v!r}" for k, v in given.items())]
    return f"{_class_of(one.type)}({', '.join(values)}, opts=O({', '.join(options)}))"


def _read(value: Any) -> Any:
    """A provider's structured inputs travel as JSON text."""
    return json.loads(value) if str(value).startswith(("{", "[")) else value


def _class_of(token: str) -> str:
    """`gcp:compute/uRLMap:URLMap` -> `gcp.compute.URLMap`."""
    if token == "pulumi:providers:gcp":
        return "gcp.Provider"
    package, module, name = token.split(":")
    return f"{package}.{module.split('/')[0]}.{name}"


def snake(name: str) -> str:
    """`ipCidrRange` -> `ip_cidr_range`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def identity(found: list[Registration]) -> set[tuple[str, str]]:
    """What two programs must agree in: URNs and inputs."""
    return {(r.urn, json.dumps(r.inputs, sort_keys=True)) for r in found}


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--environment", default="prod")
    parser.add_argument("--bare", type=Path, help="Where to write the bare program.")
    parser.add_argument("--same-as", type=Path, help="Compare with another program.")
    given = parser.parse_args()
    monitor = Monitor(keep=bool(given.bare or given.same_as))
    alone = run(given.program, given.environment, monitor)
    if given.bare:
        given.bare.write_text("\n".join(statements(monitor.kept)) + "\n")
    differing = None
    if given.same_as:
        other = Monitor(keep=True)
        run(given.same_as, given.environment, other)
        both = identity(monitor.kept) ^ identity(other.kept)
        differing = sorted(urn for urn, _ in both)
    print(
        json.dumps(
            {
                "cpu_s": time.process_time(),
                "program_cpu_s": alone,
                "registrations": monitor.count,
                "differing": differing,
            }
        )
    )


if __name__ == "__main__":
    main()
