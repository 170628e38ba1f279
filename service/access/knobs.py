"""Values that are turned at run time, for a while, in all instances of a region.

They live in one Redis hash, each with its own end by Redis's clock: what nobody
renews goes back to its default by itself.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio

from service.contract import ServiceError
from service.contract.validate import shown
from service.feed import AWAY
from service.telemetry import log

KEY = "knobs"
EVERY = 1.0
GRACE = 3.0
"""Seconds values go on while Redis is away, then the defaults rule: a short gap must
not throw an instance under load open."""
PATIENCE = 0.8
MOST_SECONDS = 86_400.0

# A hash's fields have no end of their own; the hash ends with its last one.
_SET = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local until_ = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({ARGV[2],
    string.format('%.3f', until_)}))
local left = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], math.max(left, math.ceil(ARGV[3] * 1000)))
return string.format('%.3f', until_)
"""


@dataclass(frozen=True, slots=True)
class Knob:
    """Range and default of a value."""

    low: float
    high: float
    default: float
    doc: str


KNOBS: Mapping[str, Knob] = {
    "admission": Knob(0.0, 3.0, 0.0, "floor under the pressure: 1 refuses free"),
    "batch_window_ms": Knob(0.0, 50.0, 0.0, "time notifications wait for company"),
    "search_width": Knob(0.25, 1.0, 1.0, "share of the usual width of a search"),
}


def _spec(name: str) -> Knob:
    if name not in KNOBS:
        raise ServiceError(
            "out_of_range",
            f"There is no knob {shown(name)}; allowed: {', '.join(KNOBS)}.",
        )
    return KNOBS[name]


def checked_value(name: str, value: object) -> float:
    """A value for a knob; raises ServiceError `out_of_range`."""
    spec = _spec(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not spec.low <= value <= spec.high:  # type: ignore[operator]
        raise ServiceError(
            "out_of_range",
            f"{name} is {shown(value)}; allowed: {spec.low:g} to {spec.high:g}.",
            details={"given": shown(value), "allowed": [spec.low, spec.high]},
        )
    return float(value)  # type: ignore[arg-type]


class Knobs:
    """The knobs as one instance sees them. `clock` is monotonic seconds."""

    def __init__(self, client: redis.asyncio.Redis, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._script = client.register_script(_SET)
        self._turned: dict[str, tuple[float, float]] = {}
        self._read_at = -math.inf

    def values(self) -> dict[str, float]:
        """Every knob by name; asks nobody."""
        now = self._clock()
        found = {name: spec.default for name, spec in KNOBS.items()}
        if now - self._read_at <= GRACE + EVERY:
            found |= {n: v for n, (v, end) in self._turned.items() if now < end}
        return found

    async def set(self, name: str, value: float, seconds: float) -> None:
        """Turns a knob for a time; raises `out_of_range` or `unavailable`."""
        number = checked_value(name, value)
        if not 1 <= seconds <= MOST_SECONDS:
            raise ServiceError(
                "out_of_range",
                f"seconds is {shown(seconds)}; allowed: 1 to {MOST_SECONDS:g}.",
            )
        try:
            await asyncio.wait_for(
                self._script(keys=[KEY], args=[name, number, seconds]), PATIENCE
            )
            await self.read()
        except AWAY as error:
            raise ServiceError(
                "unavailable",
                f"This region's Redis, where knobs are kept, is away "
                f"({type(error).__name__}): turn it again later.",
            ) from None

    async def run(self) -> None:
        """Reads every second until cancelled."""
        while True:
            try:
                await self.read()
            except AWAY as error:
                if self._clock() - self._read_at <= GRACE:
                    log("WARNING", "knobs not read", error=repr(error)[:200])
            await asyncio.sleep(EVERY)

    async def read(self) -> None:
        """Reads the knobs now; raises one of AWAY."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(KEY)
        (whole, part), kept = await asyncio.wait_for(pipeline.execute(), PATIENCE)
        now = self._clock()
        ages = now - (whole + part / 1e6)
        turned = {}
        for name, text in kept.items():
            found = _entry(_text(name), text)
            if found is not None:
                turned[_text(name)] = (found[0], found[1] + ages)
        self._turned, self._read_at = turned, now


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _entry(name: str, text: Any) -> tuple[float, float] | None:
    """(value, end by Redis's clock); None for what no `set` of ours wrote."""
    try:
        value, until = orjson.loads(text)
        return checked_value(name, float(value)), float(until)
    except (ValueError, TypeError, ServiceError):
        return None
