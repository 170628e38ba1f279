"""The live demonstration: commentary of two regions, heard in all others."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ops import world
from ops.errors import BAD_INPUT, FAILED, CommandError
from service.client import Client, Match, Query
from service.text.minilm import load

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parent
COLLECTION = "demo-commentary"
DIMENSION = 384
WRITERS = ("europe-west2", "southamerica-east1")
"""Regions that the commentary is written in, where the world has them."""
PAUSE_SECONDS = 0.05
SETTLE_SECONDS = 10.0
MARGIN = 1e-4
"""Pairs this close to a threshold are left out of the verdict, and counted."""
SERVICE_WORDS = "the sentence model is missing: install the extra with `make setup`"


@dataclass(frozen=True)
class Wish:
    """One standing query and the region that listens to it."""

    text: str
    threshold: float
    region: str


@dataclass
class Tally:
    """What was written and what was heard."""

    written: dict[str, str] = field(default_factory=dict)
    """Event id -> sentence."""
    heard: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(query, event id) -> times told."""
    delays: list[float] = field(default_factory=list)
    """Milliseconds from acknowledged write to notification."""
    regions: set[str] = field(default_factory=set)
    last: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Verdict:
    """Comparison with an exact search outside the service."""

    expected: set[tuple[str, str]]
    lost: set[tuple[str, str]]
    invented: set[tuple[str, str]]
    doubled: int
    left_out: int


def run(
    rounds: int,
    sentence: str | None,
    say: Callable[[str], None],
    over: str = "websocket",
) -> Json:
    """Run it; raises `CommandError` when anything was lost or doubled.

    `over` is what the watchers use; with gRPC the writers use it too.
    """
    return asyncio.run(_run(rounds, sentence, say, over))


async def _run(
    rounds: int, sentence: str | None, say: Callable[[str], None], over: str
) -> Json:
    regions = _regions()
    writers = [r for r in WRITERS if r in regions] or sorted(regions)[:2]
    sentences = [sentence] if sentence else _sentences()
    wishes = _wishes([r for r in regions if r not in writers] or sorted(regions))
    tally = Tally()
    listening = len({w.region for w in wishes})
    say(f"{len(wishes)} standing queries listen in {listening} regions")
    await _collection(regions[writers[0]], regions)
    calls = "grpc" if over == "grpc" else "http"
    clients = [Client(regions[writer], over=calls) for writer in writers]
    tasks, watchings = await _listen(wishes, regions, tally, say, over)
    try:
        number = 0
        while rounds == 0 or number < rounds:
            number += 1
            await _write(sentences, clients, tally, number)
        await _settle(tally, wishes)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        repeats = sum(w.repeats for w in watchings)
        for open_one in (*watchings, *clients):
            await open_one.close()
    return _report(tally, _judge(tally, wishes, repeats), say)


def _regions() -> dict[str, str]:
    """Ready region -> address of its front door."""
    status = world.call("/console/world")
    ready = {r["name"]: r["url"] for r in status["regions"] if r["ready"]}
    if len(ready) < 2:
        raise CommandError(f"{len(ready)} regions are ready, the demonstration needs 2")
    return ready


def _sentences() -> list[str]:
    lines = (FOLDER / "commentary.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _wishes(regions: list[str]) -> list[Wish]:
    data = yaml.safe_load((FOLDER / "queries.yaml").read_text())
    wishes = []
    for number, query in enumerate(data["queries"]):
        entry = query if isinstance(query, dict) else {"text": query}
        threshold = entry.get("threshold", data["threshold"])
        region = sorted(regions)[number % len(regions)]
        wishes.append(Wish(entry["text"], threshold, region))
    return wishes


async def _collection(writer: str, regions: dict[str, str]) -> None:
    """Create the collection and wait until every region knows it."""
    async with Client(writer) as client:
        await client.create(COLLECTION, dimension=DIMENSION)
    for url in regions.values():
        async with Client(url) as client:
            for _ in range(200):
                if any(c["name"] == COLLECTION for c in await client.collections()):
                    break
                await asyncio.sleep(0.05)


async def _listen(
    wishes: list[Wish],
    regions: dict[str, str],
    tally: Tally,
    say: Callable[[str], None],
    over: str,
) -> tuple[list[asyncio.Task[None]], list[Any]]:
    """One connection per listening region; returns when every query is confirmed."""
    tasks, watchings = [], []
    for region in sorted({w.region for w in wishes}):
        client = Client(regions[region])
        queries = [
            Query(
                stream=w.text, collection=COLLECTION, text=w.text, threshold=w.threshold
            )
            for w in wishes
            if w.region == region
        ]
        watching = client.watch(queries, over)
        watchings.append(watching)
        tasks.append(asyncio.create_task(_hear(watching, client, tally, say)))
    await asyncio.gather(*(w.ready() for w in watchings))
    return tasks, watchings


async def _hear(
    watching: Any, client: Client, tally: Tally, say: Callable[[str], None]
) -> None:
    try:
        async for match in watching:
            if match.event_id not in tally.written:
                continue  # somebody else writes into the collection, the page for one
            arrived = time.time() * 1000
            tally.last = time.monotonic()
            tally.heard[match.stream, match.event_id] += 1
            tally.regions |= {match.written_in, match.region}
            tally.delays.append(arrived - match.committed_at)
            say(_line(match, arrived, tally))
    finally:
        await client.close()


def _line(match: Match, arrived: float, tally: Tally) -> str:
    path = f"{match.written_in} -> {match.region}"
    delay = f"{arrived - match.committed_at:5.0f} ms"
    sentence = match.metadata.get("text", "")
    return f"{path:<42}{delay}  {match.score:.2f}  {match.stream!r} heard: {sentence}"


async def _write(
    sentences: list[str], clients: list[Client], tally: Tally, number: int
) -> None:
    """Write sentences alternately through the writing regions."""
    for index, sentence in enumerate(sentences):
        event = uuid.uuid4().hex
        item = {
            "id": f"line-{index:04d}" if len(sentences) > 1 else event,
            "text": sentence,
            "metadata": {"text": sentence, "round": number},
            "event_id": event,
        }
        tally.written[event] = sentence
        results = await clients[index % len(clients)].put(COLLECTION, [item])
        if "error" in results[0]:
            raise CommandError(f"not written: {results[0]['error']}")
        await asyncio.sleep(PAUSE_SECONDS)


async def _settle(tally: Tally, wishes: list[Wish]) -> None:
    """Wait until everything expected was heard, or nothing came for a while."""
    expected = _expected(tally, wishes)[0]
    tally.last = time.monotonic()
    while time.monotonic() - tally.last < SETTLE_SECONDS:
        if expected <= set(tally.heard):
            await asyncio.sleep(1.0)
            return
        await asyncio.sleep(0.1)


def _expected(
    tally: Tally, wishes: list[Wish]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(pairs over their threshold, pairs too close to it), by exact search here."""
    model = load()
    if model is None:
        raise CommandError(SERVICE_WORDS, BAD_INPUT)
    events = list(tally.written)
    texts = sorted(set(tally.written.values()))
    vectors = dict(zip(texts, model.embed(texts), strict=True))
    items = np.stack([vectors[tally.written[event]] for event in events])
    queries = model.embed([wish.text for wish in wishes])
    scores = queries @ items.T
    over, close = set(), set()
    for row, wish in enumerate(wishes):
        for column, event in enumerate(events):
            distance = scores[row, column] - wish.threshold
            if abs(distance) < MARGIN:
                close.add((wish.text, event))
            elif distance > 0:
                over.add((wish.text, event))
    return over, close


def _judge(tally: Tally, wishes: list[Wish], repeats: int) -> Verdict:
    expected, close = _expected(tally, wishes)
    heard = set(tally.heard)
    return Verdict(
        expected=expected,
        lost=expected - heard,
        invented=heard - expected - close,
        doubled=sum(n - 1 for n in tally.heard.values()) + repeats,
        left_out=len(close),
    )


def _report(tally: Tally, verdict: Verdict, say: Callable[[str], None]) -> Json:
    median = statistics.median(tally.delays) if tally.delays else None
    answer = {
        "written": len(tally.written),
        "matches": len(tally.heard),
        "regions": len(tally.regions),
        "lost": len(verdict.lost),
        "doubled": verdict.doubled,
        "invented": len(verdict.invented),
        "left_out": verdict.left_out,
        "median_ms": round(median, 1) if median is not None else None,
    }
    say("")
    say(
        f"{answer['matches']} matches across {answer['regions']} regions, median "
        f"{answer['median_ms']} ms from acknowledged write to notification"
    )
    say(
        f"an exact search outside the service expects {len(verdict.expected)}: "
        f"{answer['lost']} lost, {answer['invented']} invented, "
        f"{answer['doubled']} doubled ({verdict.left_out} pairs within {MARGIN} "
        "of their threshold left out)"
    )
    if answer["lost"] or answer["invented"] or answer["doubled"]:
        print(answer, file=sys.stderr)
        raise CommandError(
            "the demonstration heard other matches than exact search", FAILED
        )
    return answer
