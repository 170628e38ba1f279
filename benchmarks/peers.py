"""Searches for each second of a server's CPU: ours against pgvector, Chroma and the
public peer's package.

    python -m benchmarks.peers [--items 100000] [--requests 200] [--rounds 5]
        [--venv FOLDER] [--npm FOLDER]

arXiv embeddings with noise (d 384), ten best by cosine, ids and scores in the answer.
Every server is alone on loopback and asked over one kept connection with what was
prepared before: bytes over HTTP, a statement and a binary vector for Postgres. CPU is
user and system of every thread of the server's processes, ended threads too. All take
turns in every round. Each of them has the least setting of a list at which it finds
.95 of the true best, and .995 where it can: peers their ef, ours the share of its usual
width that the knob `search_width` takes; ours also as it is without. The ratio is of
means over the rounds, its interval by bootstrap over the rounds. `--venv` names a
virtual environment that has chromadb, `--npm` a `node_modules` that has the public
peer's package; without them they are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth import family
from benchmarks.measure import Json, noise, report, summary
from benchmarks.nearest import data
from benchmarks.peer_http import Chroma, Npm
from benchmarks.peer_servers import (
    DIMENSION,
    HITS,
    Ours,
    Pgvector,
    Side,
)
from service.kernel import load
from service.kernel.interface import Floats

GOAL = 3.0
LEVELS = (0.95, 0.995)
WARMING = 30
RESAMPLES = 10_000
CPU_CLOCK = 2
"""CPUCLOCK_SCHED: what the scheduler has counted, to the nanosecond."""
LEFT_OUT = {
    "qdrant": "no package of its server on PyPI or npm; not tried",
    "milvus": "its server comes as containers; milvus-lite 3.2.2 answers by 41 ms or "
    "more with 5,000 rows (tried by hand), so it is not the best",
}


@dataclass
class Contender:
    """A server as it is measured: at one setting."""

    side: Side
    level: float | None
    """Recall that was asked for; None is ours as it is by default."""
    setting: float
    recall: float
    requests: list[Any]
    cpu_us: list[float] = field(default_factory=list)
    """Microseconds of CPU a request, of each round."""

    @property
    def name(self) -> str:
        return f"{self.side.name} {self.setting:g}"


def cpu_of(pids: Iterable[int]) -> dict[int, float]:
    """CPU seconds so far of those processes that are there.

    The sum over `/proc/PID/task` would lose threads that end meanwhile, and
    `/proc/PID/stat` counts hundredths of a second.
    """
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            found[pid] = time.clock_gettime((~pid << 3) | CPU_CLOCK)
    return found


def spent(before: dict[int, float]) -> float:
    """CPU seconds since then, of those that are still there."""
    return sum(now - before[pid] for pid, now in cpu_of(before).items())


def truth_of(rows: Floats, queries: Floats) -> list[set[int]]:
    """The ten rows with the greatest cosine, of each query."""
    lengths = np.linalg.norm(rows, axis=1)
    scores = (queries @ rows.T) / lengths
    best = np.argpartition(-scores, HITS, axis=1)[:, :HITS]
    return [set(map(int, row)) for row in best]


def recall_of(side: Side, requests: list[Any], truth: list[set[int]]) -> float:
    """The share of the true best that a server finds."""
    found = [set(side.rows_of(side.ask(request))) for request in requests]
    hits = sum(len(a & b) for a, b in zip(found, truth, strict=True))
    return hits / (HITS * len(truth))


def tuned(side: Side, requests: list[Any], truth: list[set[int]]) -> list[Contender]:
    """A server with the least setting for every level that it reaches; ours also as
    it is by default."""
    side.connect()
    recall_of(side, requests, truth)  # what is made at the first searches
    made: list[Contender] = []
    for setting in side.settings:
        side.use(setting)
        reached = recall_of(side, requests, truth)
        while len(made) < len(LEVELS) and reached >= LEVELS[len(made)]:
            made.append(Contender(side, LEVELS[len(made)], setting, reached, requests))
        if len(made) == len(LEVELS):
            break
    if isinstance(side, Ours):
        usual = side.settings[-1]
        side.use(usual)
        reached = recall_of(side, requests, truth)
        made.append(Contender(side, None, usual, reached, requests))
    return made


def turn(one: Contender) -> float:
    """Microseconds of CPU a request of one server, once it is warm."""
    one.side.connect()
    one.side.use(one.setting)
    for request in one.requests[:WARMING]:
        one.side.ask(request)
    before = cpu_of(family(one.side.pid))
    for request in one.requests:
        one.side.ask(request)
    return spent(before) / len(one.requests) * 1e6


def measure(contenders: list[Contender], rounds: int) -> None:
    """Fills `cpu_us`; who begins changes from round to round."""
    for number in range(rounds):
        first = number % len(contenders)
        for one in contenders[first:] + contenders[:first]:
            one.cpu_us.append(turn(one))


def beside(ours: Ours, contender: Contender) -> float:
    """CPU in microseconds a request of the region's other processes meanwhile."""
    before = cpu_of(pid for head in ours.beside() for pid in family(head))
    turn(contender)
    return spent(before) / (len(contender.requests) + WARMING) * 1e6


def ratio(peer: list[float], ours: list[float]) -> Json:
    """Ratio of means, and where 95 % of those over resampled rounds lie."""
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, len(ours), (RESAMPLES, len(ours)))
    above, below = np.array(peer), np.array(ours)
    ratios = above[drawn].mean(axis=1) / below[drawn].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "ratio": round(float(above.mean() / below.mean()), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "of_rounds": [round(a / b, 3) for a, b in zip(peer, ours, strict=True)],
    }


def best(contenders: list[Contender], level: float) -> Contender | None:
    """The peer with the least CPU at a level."""
    peers = [one for one in contenders if not isinstance(one.side, Ours)]
    there = [one for one in peers if one.level == level]
    return min(there, key=lambda one: statistics.mean(one.cpu_us), default=None)


@contextlib.contextmanager
def running(
    folder: Path, venv: Path | None, modules: Path | None
) -> Iterator[tuple[list[Side], Json]]:
    """The servers, ours first, and why others are left out; ended afterwards."""
    left, sides = dict(LEFT_OUT), list[Side]()
    with contextlib.ExitStack() as stack:
        for make in (Ours, Pgvector):
            side = make(folder / make.name)
            stack.callback(side.close)
            sides.append(side)
        for make_there, place, option in (
            (Chroma, venv, "--venv"),
            (Npm, modules, "--npm"),
        ):
            name = make_there.name
            if place is None:
                left[name] = f"no folder with it was named ({option})"
                continue
            try:
                sides.append(make_there(folder / name, place))
                stack.callback(sides[-1].close)
            except (OSError, RuntimeError) as error:
                left[name] = f"did not start: {error}"
        yield sides, left


def filled(sides: list[Side], rows: Floats, left: Json) -> list[Side]:
    """Those that took the rows: ours first, then all peers at the same time."""
    ours, *peers = sides
    ours.fill(rows)
    done = [ours]
    with ThreadPoolExecutor() as pool:
        fills = [(side, pool.submit(side.fill, rows)) for side in peers]
        for side, fill in fills:
            try:
                fill.result()
                done.append(side)
            except (OSError, RuntimeError) as error:
                left[side.name] = f"did not take the rows: {error}"
    return done


def compared(
    sides: list[Side], rows: Floats, queries: Floats, rounds: int, left: Json
) -> Json:
    """Figures of all servers."""
    truth, contenders = truth_of(rows, queries), list[Contender]()
    for side in filled(sides, rows, left):
        requests = [side.request(query) for query in queries]
        contenders += tuned(side, requests, truth)
    measure(contenders, rounds)
    ours = {one.level: one for one in contenders if isinstance(one.side, Ours)}
    usual = ours[None]
    assert isinstance(usual.side, Ours)
    ratios = []
    for level in LEVELS:
        if peer := best(contenders, level):
            ratios += [
                {
                    "level": level,
                    "best_peer": peer.name,
                    "ours": one.name,
                    "ours_recall": round(one.recall, 4),
                    **ratio(peer.cpu_us, one.cpu_us),
                }
                for one in (ours[level], usual)
            ]
    return {
        "ratios": ratios,
        "contenders": [figures(one) for one in contenders],
        "beside_ours_us": round(beside(usual.side, usual), 1),
    }


def figures(one: Contender) -> Json:
    """One server's."""
    return {
        "name": one.side.name,
        "version": one.side.version,
        "level": one.level,
        "setting": one.setting,
        "recall": round(one.recall, 4),
        "cpu_us": summary(one.cpu_us, 1),
        "queries_a_cpu_second": round(1e6 / statistics.mean(one.cpu_us)),
    }


def lines_of(answer: Json) -> Iterator[str]:
    """What people read."""
    for one in answer["contenders"]:
        cpu = one["cpu_us"]
        yield (
            f"{one['name']} {one['version']}, {one['setting']:g}: "
            f"recall {one['recall']}, {cpu['median']} us ({cpu['min']}-{cpu['max']}), "
            f"{one['queries_a_cpu_second']:,} a CPU second"
        )
    for found in answer["ratios"]:
        word = "met" if found["ratio"] >= GOAL else "MISSED"
        yield (
            f"{found['best_peer']} (recall >= {found['level']}) over {found['ours']} "
            f"(recall {found['ours_recall']}): {found['ratio']}x "
            f"({found['low']}-{found['high']}), goal >= {GOAL:g}x {word}"
        )
    for name, why in answer["left_out"].items():
        yield f"left out: {name}: {why}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200, help="In each turn.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venv", type=Path, metavar="FOLDER", help="Has chromadb.")
    parser.add_argument(
        "--npm", type=Path, metavar="FOLDER", help="node_modules with @ruvector/core."
    )
    given = parser.parse_args()
    before = noise()
    rows, asked = (part.astype(np.float32) for part in data(given.items, DIMENSION))
    queries = asked[: given.requests]
    with tempfile.TemporaryDirectory(prefix="meridian-peers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running(folder, given.venv, given.npm) as (sides, left):
            answer = compared(sides, rows, queries, given.rounds, left)
    answer |= {"kernel": load().name, "left_out": left}
    report("peers", answer, list(lines_of(answer)), before)


if __name__ == "__main__":
    main()
