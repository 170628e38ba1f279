"""Sends writes to the home hub of their collection (ADR 0020).

The home's worker executes them and answers each one's outcome. A batch beyond one
message is several questions, one after the other, so that what is written twice in it
is written in order.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from service.contract import ServiceError
from service.log.carried import COMMIT, HEAD, Row, outcome_of, packed, refused
from service.log.change import Position
from service.log.definition import Definition
from service.log.writing import Outcome, Write
from service.stream.mail import GONE, Mail
from service.telemetry import Metrics
from service.tracing import current

PATIENCE = 8.0
"""Seconds that a home may take for one message of writes; its commit may take five, and
so may the copy that durability `region` waits for."""
MOST_BYTES = 3 * 2**20
"""JSON of the writes of one message. It travels as text in JSON, where each quotation
mark of the metadata takes two bytes more, and base64 a third: 7 MB of the 10 that
Pub/Sub takes where every second byte is one."""


class Forward:
    """Writes of one instance that other hubs commit."""

    def __init__(self, hubs: Sequence[str], mail: Mail, metrics: Metrics) -> None:
        self._hubs = hubs
        self._mail = mail
        self._metrics = metrics

    async def run(
        self, definition: Definition, writes: Sequence[Write], seconds: float
    ) -> list[Outcome]:
        """Outcomes in the order of the writes, as their home judges them.

        `seconds`: how long to wait for each message. Raises ServiceError, `home_away`
        among them, when the first message was refused or not answered; of a later one
        it is the outcome of its writes and of those after it, which are not sent.
        """
        rows = dict(enumerate(map(packed, writes)))
        outcomes: dict[int, Outcome] = {
            n: _too_large(row) for n, row in rows.items() if len(row) > MOST_BYTES
        }
        sent = [n for n in rows if n not in outcomes]
        answered = 0
        for part in _parts(sent, rows):
            some = [rows[n] for n in part]
            try:
                found = await self._commit(definition, some, seconds)
            except ServiceError as error:
                outcomes |= dict.fromkeys(sent[answered:], error)
                if not answered:
                    self._count(definition, outcomes.values())
                    raise
                break
            outcomes |= zip(part, found, strict=True)
            answered += len(part)
        self._count(definition, outcomes.values())
        return [outcomes[n] for n in rows]

    async def head(self, definition: Definition, seconds: float) -> Position:
        """How far the home has come in the collection's lane; raises as `run`."""
        given = [*definition.key, definition.at]
        (row,) = await self._ask(definition, HEAD, given, seconds)
        return Position(*row["position"])

    async def _commit(
        self, definition: Definition, part: list[bytes], seconds: float
    ) -> list[Outcome]:
        span = current()
        place = f"00-{span.trace.hex()}-{span.span.hex()}-01" if span else None
        writes = list(map(orjson.Fragment, part))
        given = [*definition.key, definition.at, place, writes]
        rows = await self._ask(definition, COMMIT, given, seconds)
        return [outcome_of(row, definition.lane) for row in rows]

    async def _ask(
        self, definition: Definition, question: str, given: list[Any], seconds: float
    ) -> list[Row]:
        home = definition.fields.home
        if home not in self._hubs:
            raise _away(home, "it is no hub any more")
        began = time.monotonic()
        try:
            rows = await self._mail.ask(home, question, given, seconds)
        except TimeoutError:
            waited = time.monotonic() - began
            raise _away(home, f"waited {waited:.1f} s") from None
        except GONE as error:
            raise _away(home, type(error).__name__) from None
        if "refused" in rows[0]:
            raise refused(rows[0]["refused"])
        return rows

    def _count(self, definition: Definition, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            code = outcome.code if isinstance(outcome, ServiceError) else "stored"
            known = code if code in ("stored", "home_away") else "refused"
            self._metrics.forwarded.labels(definition.fields.home, known).inc()


def _parts(numbers: Sequence[int], rows: Mapping[int, bytes]) -> Iterator[list[int]]:
    """Numbers of the rows that share a message, in order."""
    part: list[int] = []
    size = 0
    for n in numbers:
        if part and size + len(rows[n]) > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(n)
        size += len(rows[n])
    if part:
        yield part


def _too_large(row: bytes) -> ServiceError:
    """Of a patch: whatever else a write holds is limited to less."""
    return ServiceError(
        "metadata_too_large",
        f"The write is {len(row)} bytes on its way to its home; at most "
        f"{MOST_BYTES}: send less, or to a region of the home.",
        details={"given": len(row), "allowed": MOST_BYTES},
    )


def _away(home: str, why: str) -> ServiceError:
    return ServiceError(
        "home_away",
        f"The home hub {home} does not answer ({why}): it may have the write, or get "
        "it within seconds; send the same event ids again, which stores it once.",
        details={"home": home},
    )
