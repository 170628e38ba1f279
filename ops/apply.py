"""`meridian apply`: an environment's slices in waves, watched, stopped, rolled back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

import topology
from ops import (
    acceptances,
    backend,
    fleet,
    gate,
    inline,
    preview,
    records,
    stack,
    world,
)
from ops.errors import BAD_INPUT, DIFFERENT, FINDINGS, CommandError
from ops.inline import OnEvent, Result, Task
from ops.stateful import STATEFUL
from topology import Plan, slices
from topology.waves import Wave, waves

Json = dict[str, Any]
Say = Callable[[str], None]
LOST = ("delete", "replace", "create-replacement", "delete-replaced")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was asked for."""

    regions: Sequence[str] = ()
    """Only these cells; all slices when empty."""
    bake: float | None = None
    """Seconds each wave is watched; the catalogue's when None."""
    expect: str | None = None
    """Hash of the only plan that may be applied."""
    retire: str | None = None
    """Region whose cell, gone from the catalogue, may be taken down."""
    only: int | None = None
    """Only the wave of this number."""
    resume: bool = False
    """Go on with the run that stopped: waves it finished are left out."""


def schedule(plan: Plan, regions: Sequence[str] = ()) -> list[Wave]:
    """The waves of a run, in order; those of the chosen regions only."""
    if not regions:
        return list(waves(plan))
    unknown = [name for name in regions if name not in plan.regions]
    if unknown:
        text = f"--region {unknown[0]}: there are {', '.join(plan.regions)}"
        raise CommandError(text, BAD_INPUT)
    kept = {slices.cell(name) for name in regions}
    return [
        dataclasses.replace(wave, slices=tuple(p for p in wave.slices if p in kept))
        for wave in waves(plan)
        if kept & set(wave.slices)
    ]


def order(environment: str, regions: Sequence[str]) -> list[Json]:
    """The waves of an environment, as `--dry-run` prints them."""
    plan = topology.make_plan(topology.load(environment))
    return [
        {
            "wave": number,
            "slices": [piece.name for piece in wave.slices],
            "share": round(wave.share, 4),
            "why": wave.why,
        }
        for number, wave in enumerate(schedule(plan, regions))
    ]


def refuse_foreign(environment: str) -> None:
    """What is not on this machine cannot be gated here."""
    if environment != "local":
        raise CommandError(
            f"apply --env {environment}: this clone has no deployer and no state of "
            "Google's projects; only the order can be shown (--dry-run). With a "
            "deployer, run `pulumi up` slice by slice in that order",
            BAD_INPUT,
        )


def run(options: Options, console: Console) -> Json:
    """Apply the local world in waves; what was done, as `--json` prints it."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    progress = world.Progress(console, quiet=True)
    catalogue = topology.load("local")
    plan = topology.make_plan(catalogue)
    acceptances.refuse(plan)
    with world.one_at_a_time():
        fleet.refuse_other_layout(catalogue)
        retired = _retired(catalogue, options.retire)
        for note in fleet.prepare([*fleet.targets(catalogue), *retired]):
            say(note)
        if not world.alive():
            text = "the world does not run: `meridian up` starts it"
            raise CommandError(text)
        say("previewing what would change")
        found = preview.preview("local", live=False)
        _expected(found["hash"], options.expect)
        _obeyed(found["policy"])
        before = records.unfinished("local") if options.resume else None
        record = records.begin("local", found["hash"])
        record.accepted = [each.to_json() for each in acceptances.known("local")]
        skipped = _finished(before, record)
        job = _Job(plan, record, options, say, progress.event)
        for number, wave in enumerate(schedule(plan, options.regions)):
            if options.only not in (None, number):
                continue
            if [p.name for p in wave.slices] in skipped:
                record.waves.append([p.name for p in wave.slices])
                say(f"wave {number}: {_names(wave)}: done by the run before")
                continue
            job.wave(number, wave)
        for target in retired:
            job.retire(target)
        record.result = records.DONE
        record.save()
    return {
        "record": record.ident,
        "hash": record.plan,
        "waves": record.waves,
        "result": record.result,
    }


def _expected(found: str, wanted: str | None) -> None:
    if wanted and found != wanted:
        raise CommandError(
            f"--expect {wanted}: the plan is {found} now, because the state or the "
            "revision has changed since it was approved; nothing was applied. Look at "
            "`meridian preview`, have it approved, and apply with its hash",
            DIFFERENT,
        )


def _obeyed(policy: Json) -> None:
    """Nothing is applied that a mandatory rule refuses."""
    if not policy["refused"]:
        return
    listed = "\n".join(
        f"  {v['message']} [{v['rule']}]"
        for v in policy["violations"]
        if v["level"] == "mandatory"
    )
    raise CommandError(
        "mandatory rules are broken; nothing was applied. Follow the remedies, or add "
        f"an exemption with reason and end:\n{listed}",
        FINDINGS,
    )


def _finished(before: records.Record | None, now: records.Record) -> list[list[str]]:
    """Waves that need not go again: the same source, applied by a run that stopped."""
    if before is None:
        return []
    if before.source != now.source or before.digest != now.digest:
        raise CommandError(
            f"--resume: the run {before.ident} was of another revision "
            f"({before.source[:12]}, now {now.source[:12]}): apply from the start",
            BAD_INPUT,
        )
    return before.waves


def _retired(catalogue: topology.Catalogue, named: str | None) -> list[stack.Stack]:
    """Cells to take down: only the one that was named."""
    found = {str(t.piece.region): t for t in fleet.retired(catalogue)}
    others = sorted(set(found) - {named})
    if others:
        raise CommandError(
            f"the catalogue no longer has {', '.join(others)}, and its cell still "
            f"stands: name it by --retire {others[0]}, or put it back",
            BAD_INPUT,
        )
    if named and named in catalogue.regions:
        raise CommandError(
            f"--retire {named}: the catalogue still has it, so the next `apply` would "
            "make it again: take it out of the catalogue first",
            BAD_INPUT,
        )
    if named and named not in found:
        raise CommandError(f"--retire {named}: it has no cell", BAD_INPUT)
    return list(found.values())


class _Job:
    """One run under way."""

    def __init__(
        self,
        plan: Plan,
        record: records.Record,
        options: Options,
        say: Say,
        on_event: OnEvent,
    ) -> None:
        self._plan, self._record, self._say = plan, record, say
        self._on_event = on_event
        bake = plan.catalogue.rollout.bake_seconds
        self._bake = bake if options.bake is None else options.bake
        self._touched: list[stack.Stack] = []

    def wave(self, number: int, wave: Wave) -> None:
        """Apply, watch, record; on trouble roll back what this run touched."""
        self._say(f"wave {number}: {_names(wave)} ({wave.why})")
        targets = [stack.stack("local", piece) for piece in wave.slices]
        self._touched += targets
        try:
            fleet.up(
                self._plan.catalogue,
                targets,
                world.variables(),
                self._on_event,
                self._tell,
            )
            # The edge touches what every region is reached through.
            watched = self._plan.serving if slices.EDGE in wave.slices else wave.regions
            if watched:
                catalogue = self._plan.catalogue
                goal = catalogue.objectives.error_ratio
                after = gate.judged_after(catalogue.telemetry.push_seconds)
                judged = gate.watch(watched, self._bake, goal, after)
                self._say(f"  gate: {judged}")
        except CommandError as error:
            self._roll_back(error)
        self._record.waves.append([piece.name for piece in wave.slices])
        self._record.save()

    def _tell(self, result: Result) -> None:
        how = "failed" if result.error else "applied"
        took = f"{how} in {result.seconds:.1f} s" if result.seconds else "as it was"
        self._say(f"  {result.target.piece.name}: {took}")

    def _roll_back(self, error: CommandError) -> None:
        """Apply the recorded revision again to all that this run touched; raises.

        Earlier waves too: a cell takes its image from the foundation, and a world of
        one revision is the only one that was ever sound.
        """
        targets = self._touched
        self._record.result = records.FAILED
        self._record.save()
        reason = f"stopped in this wave, later ones were not touched: {error}"
        before = records.last_done("local")
        if before is None:
            text = f"{reason}\nThere is no earlier recorded revision to go back to."
            raise CommandError(text) from error
        old = topology.load("local", before.catalogues)
        born = [t for t in targets if t.piece not in slices.sliced(old)]
        targets = [t for t in targets if t not in born]
        self._say(f"  {error}\n  rolling back to {before.ident} ({before.revision})")
        for target in born:
            self._say(f"  {target.piece.name}: was not there then, and is left")
        extra = {**world.variables(), "MERIDIAN_CATALOGUES": str(before.catalogues)}
        for target in targets:
            backend.prepare(target, digest=before.digest)
        lost = _stateful_losses(targets, extra)
        if lost:
            text = (
                f"{reason}\nNot rolled back: going back would delete or replace "
                f"{', '.join(lost)}, which hold data. Decide by hand."
            )
            raise CommandError(text) from error
        fleet.up(old, targets, extra, self._on_event, self._tell)
        self._record.result = records.ROLLED_BACK
        self._record.save()
        text = f"{reason}\nRolled back to {before.ident} ({before.revision})."
        raise CommandError(text) from error

    def retire(self, target: stack.Stack) -> None:
        """Take a cell down that the edge and no replica refers to any more."""
        name = str(target.piece.region)
        users = _users(target, fleet.targets(self._plan.catalogue))
        if users:
            text = (
                f"--retire {name}: still used by {', '.join(users)}; apply them first"
            )
            raise CommandError(text, BAD_INPUT)
        self._say(f"retire: {name}")
        fleet.destroy([target], world.variables(), self._on_event)
        self._record.waves.append([name])


def _stateful_losses(targets: Sequence[stack.Stack], extra: Json) -> list[str]:
    """Resources with data that an `up` of these stacks would delete or replace."""
    by_piece = {target.piece: target for target in targets}

    def begin(piece: slices.Slice) -> Task:
        return Task(target=by_piece[piece], command=("preview", "--json"), extra=extra)

    inline.warm()
    lost: list[str] = []
    for result in inline.in_order(
        list(by_piece), lambda piece: (), begin, preview.WORKERS
    ):
        if result.error:
            raise CommandError(f"{result.target.piece.name}: {result.error}")
        lost += [
            step["urn"].rsplit("::", 1)[-1]
            for step in preview.steps_of(result.output)
            if step["op"] in LOST and step["type"] in STATEFUL
        ]
    return sorted(lost)


def _users(target: stack.Stack, others: Iterable[stack.Stack]) -> list[str]:
    """Resources of other stacks that name this cell's NEG or database."""
    kinds = ("RegionNetworkEndpointGroup", "DatabaseInstance")
    resources = stack.resources(target)
    mine = [r for r in resources if r["type"].endswith(kinds) and r.get("id")]
    marks = {str(r["id"]) for r in mine} | {str(r["inputs"].get("name")) for r in mine}
    marks.discard("None")
    return [
        resource["urn"].rsplit("::", 1)[-1]
        for other in others
        if other.piece != target.piece
        for resource in stack.resources(other)
        if resource["type"] != "pulumi:pulumi:Stack"
        and marks & set(_texts(resource.get("inputs")))
    ]


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _names(wave: Wave) -> str:
    return ", ".join(piece.name for piece in wave.slices)
