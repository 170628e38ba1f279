"""Requests to a hub's worker, as the topic of repairs takes them.

Pub/Sub checks each against `topology.messages.REPAIR`.
"""

from typing import Any

import orjson

from service.log.change import START, Position

_NOTHING = (Position(1, 1), START)
"""What a worker of the revision before reads of a question: a repair of nothing."""


def hole_request(lane: int, first: Position, last: Position) -> bytes:
    """Asks for changes of a lane, both ends included."""
    return _request(lane, first, last, "")


def question_request(kind: str, body: dict[str, Any]) -> bytes:
    """Asks for something else: `ask` or `recall`, and what with."""
    return _request(0, *_NOTHING, orjson.dumps({kind: body}).decode())


def read_request(data: bytes) -> dict[str, Any]:
    """`lane`, `first` and `last`, or the body of a question under its kind."""
    given = orjson.loads(data)
    asked = given.get("question")
    # Where it is missing, the revision before may have put a question beside the rest.
    return dict(orjson.loads(asked) if asked else given)


def _request(lane: int, first: Position, last: Position, asked: str) -> bytes:
    return orjson.dumps(
        {"lane": lane, "first": [*first], "last": [*last], "question": asked}
    )
