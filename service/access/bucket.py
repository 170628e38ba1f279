"""Arithmetic of rates: a token bucket, and tokens leased from elsewhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second, and the most that are saved up."""

    per_second: float
    burst: float

    def __post_init__(self) -> None:
        if not (0 < self.per_second < float("inf")) or not (
            1 <= self.burst < float("inf")
        ):
            raise ValueError(
                f"rate of {self.per_second} a second with a burst of {self.burst}: "
                "send a rate above 0 and a burst of 1 or more."
            )

    def divided(self, parts: int) -> "Rate":
        """The share of one of several, which can still grant a single token."""
        parts = max(1, parts)
        return Rate(self.per_second / parts, max(1.0, self.burst / parts))


class Bucket:
    """Starts full; fills at its rate up to its burst. `now` is monotonic."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def take(self, rate: Rate, cost: float, now: float) -> float:
        """Takes `cost`; returns 0.0, or the seconds to wait when there is less.

        What costs more than the burst is granted to a full bucket, which then owes.
        """
        held = rate.burst if self._tokens is None else self._tokens
        passed = max(0.0, now - self._at)
        held = min(rate.burst, held + passed * rate.per_second)
        self._at = now
        short = min(cost, rate.burst) - held
        self._tokens = held if short > 0 else held - cost
        return max(0.0, short / rate.per_second)


class Lease:
    """Tokens got from the common store and not spent yet."""

    __slots__ = ("_tokens", "_until", "refused")

    SECONDS = 10.0
    """Tokens kept longer are given up, so that few old ones are spent at once."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._until = 0.0
        self.refused: tuple[float, float] = (0.0, 0.0)
        """(cost, moment): so much is not to be had before then."""

    def held(self, now: float) -> float:
        """Tokens at hand."""
        return self._tokens if now < self._until else 0.0

    def add(self, tokens: float, now: float) -> None:
        """Takes leased tokens in."""
        if tokens > 0:
            self._tokens = tokens + self.held(now)
            self._until = now + self.SECONDS

    def spend(self, cost: float, now: float) -> bool:
        """Spends `cost` if it is held."""
        if self.held(now) < cost:
            return False
        self._tokens -= cost
        return True

    def refusal(self, cost: float, now: float) -> float:
        """Seconds for which the store is known to refuse `cost`."""
        least, until = self.refused
        return max(0.0, until - now) if cost >= least else 0.0
