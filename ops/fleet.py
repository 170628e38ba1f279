"""All stacks of an environment together: brought up in order, taken down in reverse."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ops import backend, engine, inline, stack
from ops.errors import BAD_INPUT, CommandError
from ops.inline import OnEvent, Result, Task
from ops.stack import Stack
from ops.stamps import Stamps
from topology import Catalogue, slices
from topology.catalogue import Layout

Json = dict[str, Any]
UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")
DESTROY = ("destroy", "--yes", "--skip-preview", "--suppress-outputs")
WORKERS = 2 * (os.cpu_count() or 1)
"""Engines at a time: most of an `up` is waiting for what it made to start."""


def targets(catalogue: Catalogue) -> list[Stack]:
    """The stacks that own the environment, in the order of what they need."""
    name = catalogue.environment
    return [stack.stack(name, piece) for piece in slices.owners(catalogue)]


def retired(catalogue: Catalogue) -> list[Stack]:
    """Cells that still hold resources and that the catalogue no longer has."""
    if catalogue.layout is Layout.WHOLE:
        return []
    name = catalogue.environment
    folder = stack.stack(name, slices.cell("any")).state.parent
    regions = sorted(f.stem.partition(".")[2] for f in folder.glob(f"{name}.*.json"))
    gone = (slices.cell(r) for r in regions if r and r not in catalogue.regions)
    found = [stack.stack(name, piece) for piece in gone]
    return [target for target in found if stack.resources(target)]


def refuse_other_layout(catalogue: Catalogue) -> None:
    """Nothing is managed twice: the stacks of the other layout must be empty."""
    whole = catalogue.layout is Layout.WHOLE
    others = slices.sliced(catalogue) if whole else (slices.WORLD,)
    for piece in others:
        target = stack.stack(catalogue.environment, piece)
        if stack.resources(target):
            raise CommandError(
                f"{catalogue.environment} is to be {catalogue.layout}, and its stack "
                f"{target.project}/{target.name} still holds resources: run "
                f"`meridian layout move --env {catalogue.environment}`",
                BAD_INPUT,
            )


def prepare(found: Iterable[Stack]) -> Iterator[str]:
    """Make every stack usable; what was cleared away after a killed run."""
    for target in found:
        backend.prepare(target)
        lock = stack.break_stale_lock(target)
        for note in (lock, backend.mend(target), stack.clear_pending(target)):
            if note:
                yield f"{target.piece.name}: {note}"


def up(
    catalogue: Catalogue,
    found: Sequence[Stack],
    extra: Mapping[str, str],
    on_event: OnEvent,
    on_result: Callable[[Result], None] = lambda result: None,
) -> None:
    """Apply stacks as soon as what they need is there; raises what failed first.

    A stack of which nothing that its `up` depends on has changed is left alone.
    """
    if [target.piece for target in found] == [slices.WORLD]:
        # One stack needs no fork: its program runs in the engine's own host.
        (target,) = found
        event = _bound(on_event, target)
        command = list(up_command(target))
        engine.run(target, command, offline=True, extra=dict(extra), on_event=event)
        return
    marks = Stamps(catalogue, found, "\n".join(f"{k}={v}" for k, v in extra.items()))
    needed: dict[slices.Slice, Stack] = {}
    for target in found:
        fed = any(p in needed for p in slices.producers(catalogue, target.piece))
        if fed or not marks.is_current(target):
            needed[target.piece] = target
        else:
            on_result(Result(target=target, output="", error="", seconds=0.0))

    def done(result: Result) -> None:
        if not result.error:
            marks.keep(result.target)
        on_result(result)

    if needed:
        _run(
            needed,
            lambda piece: slices.producers(catalogue, piece),
            extra,
            on_event,
            done,
        )


def up_command(target: Stack) -> tuple[str, ...]:
    """Words of an `up`; it looks first where a field has an owner at run time.

    The engine would else send the last value that it knows of an ignored field.
    """
    owned = any(r.get("ignoreChanges") for r in stack.resources(target))
    return (*UP, "--refresh") if owned else UP


def destroy(
    found: Sequence[Stack], extra: Mapping[str, str], on_event: OnEvent
) -> None:
    """Take stacks down that nothing reads any more; replicas before their hub."""
    for target in found:
        event = _bound(on_event, target)
        command = list(DESTROY)
        engine.run(target, command, offline=True, extra=dict(extra), on_event=event)
        stack.remove(target)


def _run(
    by_piece: Mapping[slices.Slice, Stack],
    needs: Callable[[slices.Slice], Iterable[slices.Slice]],
    extra: Mapping[str, str],
    on_event: OnEvent,
    on_result: Callable[[Result], None],
) -> None:
    def begin(piece: slices.Slice) -> Task:
        target = by_piece[piece]
        return Task(target=target, command=up_command(target), extra=extra)

    inline.warm()
    failed: list[Result] = []
    for result in inline.in_order(list(by_piece), needs, begin, WORKERS, on_event):
        on_result(result)
        if result.error:
            failed.append(result)
    if failed:
        text = "\n".join(f"{r.target.piece.name}: {r.error}" for r in failed)
        raise CommandError(text)


def _bound(on_event: OnEvent, target: Stack) -> Callable[[Json], None]:
    return lambda event: on_event(target, event)
