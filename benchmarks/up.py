"""`meridian up` over the engine's own `up`, from nothing and with nothing to do.

    python -m benchmarks.up [--pairs 3] [--settle 75]

From nothing: a temporary clone's whole world, until 15 of 15 regions answer, five
primaries and ten replicas streaming, seventeen stacks; over `pulumi up` of the same
resources in one stack with a provider that echoes (`benchmarks/echo.py`) and no
processes. With nothing to do: the same two commands again. Both sides skip
checkpoints. The world is taken down after every pair, and both sides wait `settle`
seconds: ext4 goes round inodes that were freed within the last minute, so that making a
file costs 0.7 ms instead of 0.05 (`--settle 0` measures that case too).

Measured 2026-11-24 on 2 cores, load 1 to 2, `--pairs 2 --settle 66`: from nothing in
seventeen stacks 14.6 over 7.9 s, 1.85x; nothing to do 0.59 over 7.76 s, 0.07x. Before
the warmed process was frozen for its forks 19.3 over 8.15 s, 2.35x; in one stack, older
code, load 3 to 15: 20.6 over 14.3 s, 1.44x.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from benchmarks import echo
from benchmarks.clone import Clone, Json, temporary_clone
from benchmarks.measure import check, noise, paired, ratio, report, verdict, wall
from localcloud.control.identity import Keys
from localcloud.realise.sql import ADMIN, PORT

GOAL, GOAL_SECONDS, GOAL_EMPTY = 1.5, 40.0, 1.2
REPLICAS = 10
EMPTY_RUNS = 2
REPLICA_SECONDS = 60.0
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
UP = ("up", "--yes", "--skip-preview", "--suppress-outputs", "-s", "local")
PULUMI = ["pulumi", *UP, "--non-interactive"]
FAST = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}


async def _streaming(clone: Clone) -> int:
    home = clone.root / ".meridian" / "world"
    secret = Keys(home / "keys").password(ADMIN)
    found = 0
    for data in home.glob("sql/*/data"):
        if data.parent.name == ".template" or (data / "standby.signal").exists():
            continue
        settings = (data / "postgresql.conf").read_text()
        (host,) = re.findall(r"^listen_addresses = '(.+)'$", settings, re.M)
        primary = await asyncpg.connect(
            host=host, port=PORT, user=ADMIN, password=secret, database="postgres"
        )
        found += await primary.fetchval(STREAMING)
        await primary.close()
    return found


def streaming_replicas(clone: Clone) -> int:
    """Replicas that stream, as the primaries themselves count them."""
    return asyncio.run(_streaming(clone))


def world_up(clone: Clone) -> tuple[float, float]:
    """Seconds of `meridian up` from nothing, and from its end until the last replica
    streams; raises unless the world is whole.
    """
    took = wall(clone.command("up"), clone.root, clone.environment)
    ended = time.perf_counter()
    regions = clone.world()["regions"]
    ready = sum(r["ready"] for r in regions)
    hubs = sum(r["role"] == "hub" for r in regions)
    replicas = streaming_replicas(clone)
    late = 0.0
    while replicas < REPLICAS and late < REPLICA_SECONDS:
        time.sleep(0.1)
        replicas = streaming_replicas(clone)
        late = time.perf_counter() - ended
    if (ready, hubs, replicas) != (15, 5, REPLICAS):
        raise RuntimeError(f"{ready} ready, {hubs} hubs, {replicas} replicas stream")
    return took, late


class Engine:
    """The engine alone: the same program, an echoing provider, a state of its own."""

    def __init__(self, clone: Clone, folder: Path) -> None:
        self._clone, self._folder = clone, folder
        self.resources = 0
        self.empty: list[float] = []
        """Seconds of runs with nothing to do."""
        _own_by_one_stack(clone)

    def environment(self) -> dict[str, str]:
        """As `meridian env`, the echoing provider first on PATH."""
        values = self._clone.engine_environment("local")
        front = echo.launcher(self._folder / "plugins")
        path = os.pathsep.join([str(front), values["PATH"]])
        return {**values, **FAST, "PATH": path, "MERIDIAN_QUIET_PROVIDER": "1"}

    def up(self) -> float:
        """Seconds of `pulumi up` from nothing, then of empty ones; the state is removed
        afterwards.
        """
        env = self.environment()
        project = self._clone.root / "stacks" / "local"
        took = wall(PULUMI, project, env)
        self.empty += [wall(PULUMI, project, env) for _ in range(EMPTY_RUNS)]
        export = ["pulumi", "stack", "export", "-s", "local"]
        self.resources = check(export, project, env).count('"urn": "urn:')
        for name in ("state", "stacks"):
            shutil.rmtree(self._clone.root / ".meridian" / name)
        return took


@contextlib.contextmanager
def world_for(clone: Clone) -> Iterator[tuple[float, float]]:
    """A world from nothing, with its seconds; down at the end."""
    try:
        yield world_up(clone)
    finally:
        clone.meridian("down")


def _own_by_one_stack(clone: Clone) -> None:
    """The other layout in a clone: plain `pulumi up` may then apply the whole."""
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    changed = text.replace("layout: sliced", "layout: whole")
    if text == changed:
        raise RuntimeError("the local catalogue is not sliced any more")
    file.write_text(changed)


def measured(clone: Clone, engine: Engine, pairs: int, settle: float) -> Json:
    """Pairs of both kinds; every world serves two empty runs."""
    empty: list[float] = []
    replicas_late: list[float] = []

    def base() -> float:
        time.sleep(settle)
        return engine.up()

    def ours() -> float:
        time.sleep(settle)
        with world_for(clone) as (took, late):
            replicas_late.append(round(late, 1))
            again = clone.command("up")
            empty.extend(
                wall(again, clone.root, clone.environment) for _ in range(EMPTY_RUNS)
            )
            return took + late

    left, right = paired(ours, base, pairs)
    return {
        "from_nothing_s": ratio(left, right),
        "nothing_to_do_s": ratio(empty, engine.empty),
        "replicas_late_s": replicas_late,
        "settle_s": settle,
        "resources": engine.resources,
    }


def lines(found: Json) -> Iterator[str]:
    whole, empty = found["from_nothing_s"], found["nothing_to_do_s"]
    ours, base = whole["ours"], whole["base"]
    yield (
        f"from nothing {verdict(ours['median'], GOAL_SECONDS, ' s')}, engine alone "
        f"{base['median']} s: {verdict(whole['ratio'], GOAL, 'x')}"
    )
    yield (
        f"nothing to do {empty['ours']['median']} s, empty `pulumi up` "
        f"{empty['base']['median']} s: {verdict(empty['ratio'], GOAL_EMPTY, 'x')}"
    )


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--settle", type=float, default=75.0)
    given = parser.parse_args()
    before = noise()
    with temporary_clone() as clone, tempfile.TemporaryDirectory() as other:
        bare = Clone(Path(other) / "clone")
        shutil.copytree(clone.root, bare.root)
        engine = Engine(bare, Path(other))
        found = measured(clone, engine, given.pairs, given.settle)
    report("up", found, list(lines(found)), before)


if __name__ == "__main__":
    main()
