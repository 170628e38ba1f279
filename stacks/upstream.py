"""Outputs of other stacks: as they stand, or as their own previews planned them.

The engine's own lookup is used rather than `StackReference`: it answers at once, so
what is missing is said before anything is registered, and with the remedy.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.rpc import UNKNOWN

from stacks.wiring import CONTRACT, Upstream, WiringError
from topology import slices

PLANNED = "MERIDIAN_PLANNED"
"""Folder with the outputs of previews, a file a slice; set by `meridian preview`."""


def upstream(environment: str) -> Upstream:
    """Planned outputs where a preview was given some, else live ones.

    Live never falls back to planned, and an `up` never takes planned values.
    """
    folder = os.environ.get(PLANNED)
    if not folder:
        return Live(environment)
    if not pulumi.runtime.is_dry_run():
        raise WiringError(
            f"{PLANNED} is set: planned values are for previews, not for an `up`: "
            "unset it"
        )
    return Planned(Path(folder))


class Live:
    """What the stacks of other slices export now."""

    def __init__(self, environment: str) -> None:
        self._environment = environment

    def outputs(self, producer: str) -> Mapping[str, Any]:
        """Read one stack; its contract must be this program's."""
        piece = slices.named(producer)
        name = (
            f"{pulumi.get_organization()}/{piece.project}/"
            f"{piece.stack(self._environment)}"
        )
        try:
            answer = pulumi.runtime.invoke(
                "pulumi:pulumi:readStackOutputs", {"name": name}
            ).value
        except Exception as error:  # the engine raises nothing narrower
            raise WiringError(_absent(producer, name, error)) from error
        outputs: Mapping[str, Any] = answer["outputs"]
        _check_contract(producer, name, outputs)
        return outputs


class Planned:
    """What the previews of other slices returned; unknowns stay unknown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def outputs(self, producer: str) -> Mapping[str, Any]:
        """Read one slice's planned outputs."""
        file = self._folder / f"{producer}.json"
        if not file.exists():
            raise WiringError(
                f"{producer}: no preview of it was made: preview {producer} first, or "
                "let `meridian preview` go through the layers in order"
            )
        outputs = json.loads(file.read_text())
        _check_contract(producer, str(file.name), outputs)
        return {name: _planned(value) for name, value in outputs.items()}


def _planned(value: Any) -> Any:
    """An unknown output where the preview could not know the value."""
    if value != UNKNOWN:
        return value
    nothing: asyncio.Future[Any] = asyncio.Future()
    nothing.set_result(None)
    known: asyncio.Future[bool] = asyncio.Future()
    known.set_result(False)
    return pulumi.Output(set(), nothing, known)


def _absent(producer: str, name: str, error: Exception) -> str:
    if "unknown stack" not in str(error):
        return f"{producer}: the stack {name} cannot be read: {error}"
    return (
        f"{producer}: there is no stack {name}: apply it first (`meridian apply "
        f"--region {producer}` for a region; foundation, then cells, then edge), or "
        "preview with planned values by `meridian preview`"
    )


def _check_contract(producer: str, name: str, outputs: Mapping[str, Any]) -> None:
    if not outputs:
        raise WiringError(
            f"{producer}: the stack {name} exports nothing: it was never applied, or "
            "was destroyed; apply it first"
        )
    found = outputs.get("contract")
    if found != CONTRACT:
        raise WiringError(
            f"{producer}: {name} exports contract {found}, this program reads "
            f"{CONTRACT}; available: {', '.join(sorted(outputs))}: apply {producer} "
            "again from this revision"
        )
