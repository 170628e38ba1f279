"""Pressure by queue time, and who is refused first.

Time spent in a queue says that an instance has more to do than it can, whatever the
work is made of; processor use or a count of requests does not. Pure: samples and a
clock come in.
"""

import math
from collections.abc import Callable

from service.access.caller import TIERS
from service.contract import ServiceError

MOST = 3.0
LOOP_BASE = 0.025
"""Delay of the event loop (s) at pressure 0; each doubling is one more."""
SEARCH_BASE = 0.05
"""Wait for a search thread (s) at pressure 0."""
RISE, FALL = 1.0, 4.0
"""Time constants (s): pressure is believed sooner than its end."""
MOST_COVERED = 0.3
"""Seconds one sample may speak for, so that one slow request is no overload."""
LEAST_COVERED = 0.1
REFUSED_AT = {"free": 1.0, "standard": 2.0, "premium": 2.75}
LOW = 0.5
"""Share of its tier's threshold at which a stream of low priority is parked already."""
RELEASED_BELOW = 0.3
"""So far under its threshold the pressure must fall before a tier is let in."""
DWELL = 5.0
"""Least seconds a tier stays refused: its streams move as a whole."""
_MOST_WAIT = 30.0


def raw_pressure(seconds: float, base: float) -> float:
    """Pressure of one queue time: 0 up to `base`, then one more by each doubling."""
    if not seconds > base:
        return 0.0
    return min(MOST, math.log2(seconds / base))


class Smoothed:
    """A pressure whose samples count for the time they speak for."""

    def __init__(self) -> None:
        self._value = 0.0
        self._at: float | None = None

    def add(self, raw: float, covers: float, now: float) -> None:
        """Takes a sample in that speaks for the last `covers` seconds."""
        covered = min(max(covers, LEAST_COVERED), MOST_COVERED)
        gap = covered if self._at is None else max(0.0, now - self._at)
        step = min(gap, covered)
        value = self.value(now - step) if self._at is not None else 0.0
        tau = RISE if raw > value else FALL
        self._value = value + (1 - math.exp(-step / tau)) * (raw - value)
        self._at = now

    def value(self, now: float) -> float:
        """The pressure, which falls while no samples come: nothing waits then."""
        if self._at is None:
            return 0.0
        quiet = max(0.0, now - self._at - LEAST_COVERED)
        return self._value * math.exp(-quiet / FALL)


class Overload:
    """Pressure of one instance. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.floor = 0.0
        """Pressure that is taken for granted (the knob `admission`)."""
        self._clock = clock
        self._loop = Smoothed()
        self._search = Smoothed()
        self._refused_since: dict[tuple[str, float], float] = {}

    def loop_delay(self, seconds: float) -> None:
        """A sample: how much later than asked the event loop woke a task."""
        self._loop.add(raw_pressure(seconds, LOOP_BASE), seconds, self._clock())

    def search_wait(self, seconds: float) -> None:
        """A sample: how long a search waited for its thread."""
        self._search.add(raw_pressure(seconds, SEARCH_BASE), seconds, self._clock())

    def pressure(self) -> float:
        """0 (nothing waits) to 3, never below the floor."""
        now = self._clock()
        measured = max(self._loop.value(now), self._search.value(now))
        return min(MOST, max(self.floor, measured))

    def refuses(self, tier: str, share: float = 1.0) -> bool:
        """Whether requests of a tier are refused now, at a share of its threshold."""
        now, pressure = self._clock(), self.pressure()
        limit, key = REFUSED_AT[tier] * share, (tier, share)
        since = self._refused_since.get(key)
        if since is None:
            # A floor of 3 is an order; what is measured only comes near 3.
            if pressure >= limit:
                self._refused_since[key] = now
                return True
            return False
        calm = pressure < limit - RELEASED_BELOW
        if calm and now - since >= DWELL:
            del self._refused_since[key]
            return False
        return True

    def admit(self, tier: str) -> None:
        """Raises ServiceError `overloaded` with details.retry_after in seconds."""
        if not self.refuses(tier):
            return
        wait = self._wait(tier)
        raise ServiceError(
            "overloaded",
            f"This instance has more to do than it can; {tier} is refused for now: "
            f"try again in {wait:.0f} s, or in another region.",
            details={"retry_after": wait, "pressure": round(self.pressure(), 2)},
            elsewhere=True,
        )

    def may_hold(self, tier: str, priority: str = "normal") -> bool:
        """Whether streams of a tier and priority go on; else all of them are parked.

        Parked streams are matched from the log later and miss nothing. Premium's
        are parked only where they are of low priority.
        """
        if priority == "low":
            return not self.refuses(tier, LOW)
        return tier == TIERS[-1] or not self.refuses(tier)

    def _wait(self, tier: str) -> float:
        """Seconds after which a tier is let in if nothing waits from now on."""
        below = REFUSED_AT[tier] - RELEASED_BELOW
        calm = FALL * math.log(max(self.pressure(), below) / below)
        dwell = DWELL - (self._clock() - self._refused_since[tier, 1.0])
        return float(math.ceil(min(_MOST_WAIT, max(1.0, calm, dwell))))
