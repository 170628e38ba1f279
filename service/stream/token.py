"""Resume tokens: opaque outside, positions per origin inside."""

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import orjson

from service.contract import ServiceError
from service.log.change import Position


class Token(NamedTuple):
    """Where a stream stands."""

    lane: int
    positions: dict[str, Position]
    definition_version: int


def write_token(
    lane: int, positions: Mapping[str, Position], definition_version: int
) -> str:
    """A token of `positions`; it means the same in every region."""
    return _written(lane, tuple(positions.items()), definition_version)


@lru_cache(maxsize=64)
def _written(
    lane: int, positions: tuple[tuple[str, Position], ...], definition_version: int
) -> str:
    """Kept for a moment: all streams that a change reaches stand at the same place."""
    plain = {origin: tuple(p) for origin, p in positions}
    body = orjson.dumps([1, lane, plain, definition_version])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def read_token(token: str, lane: int) -> Token:
    """The inside of a token; raises ServiceError `bad_token`."""
    try:
        padded = token + "=" * (-len(token) % 4)
        version, of_lane, positions, definition = orjson.loads(
            base64.urlsafe_b64decode(padded)
        )
        made = {str(o): _position(e, s) for o, (e, s) in positions.items()}
        if version != 1 or of_lane != lane:
            raise ValueError("it belongs to another collection or version")
        return Token(lane, made, _whole(definition, 64))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise unusable(str(error)) from None


def unusable(why: str) -> ServiceError:
    """The error of a token that is none of this service and collection."""
    return ServiceError(
        "bad_token",
        f"The token cannot be used here ({why}): send one that this service gave for "
        'the same collection, or from "now".',
    )


def _position(epoch: object, seq: object) -> Position:
    """As the log's columns hold one: `integer` and `bigint`."""
    return Position(_whole(epoch, 31), _whole(seq, 63))


def _whole(given: object, bits: int) -> int:
    # What has more than 64 bits is read as a float: no such number is ever written.
    if type(given) is not int or not 0 <= given < 1 << bits:
        raise ValueError("it holds a number that no log has")
    return given
