"""Puts the changes of one origin's lane in order and tells where holes are.

Pure: time comes in as an argument, nothing goes out.
"""

from collections.abc import Iterable

from service.log.change import START, Change, Position


class Sequencer:
    """What arrived of one lane, in any order and any number of times."""

    MOST_PENDING = 20_000
    """Changes held ahead of a hole; farther ones are fetched again later."""

    def __init__(self, position: Position = START) -> None:
        self.position = position
        """All up to here went out."""
        self.head = position
        """The farthest position known to exist."""
        self._pending: dict[Position, Change] = {}
        self._begins: dict[Position, Position] = {}
        """Of an epoch's first change the one before it, in the epoch that ended."""
        self._hole_since: float | None = None

    @property
    def lag(self) -> int:
        """Changes known to exist and not yet out (of the newest epoch)."""
        if self.head <= self.position:
            return 0
        behind = self.position.seq if self.head.epoch == self.position.epoch else 0
        return self.head.seq - behind

    def offer(self, changes: Iterable[Change], after: Position | None = None) -> None:
        """Takes changes; those already out are dropped.

        `after`: what the log has before the first, if they follow each other in it.
        Only such a row shows where an epoch ended: the next one begins at 1 again.
        """
        for change in changes:
            position = change.position
            if after is not None:
                if position.epoch > after.epoch and position > self.position:
                    self._begins[position] = after
                after = position
            if position <= self.position:
                continue
            if len(self._pending) < self.MOST_PENDING or self._follows(position):
                self._pending[position] = change
            self.head = max(self.head, position)

    def saw_head(self, head: Position) -> None:
        """The origin says that its lane has come this far."""
        if head.seq == 0:
            # An epoch begins; what of it there is to fetch comes with its first change.
            return
        self.head = max(self.head, head)

    def ready(self, most: int = 100) -> list[Change]:
        """The next changes in order, at most `most`; they stay until `advance`."""
        found: list[Change] = []
        at = self.position
        while len(found) < most:
            change = self._pending.get(Position(at.epoch, at.seq + 1))
            if change is None:
                change = self._next_epoch(at)
            if change is None:
                break
            found.append(change)
            at = change.position
        return found

    def _next_epoch(self, at: Position) -> Change | None:
        """The change after an epoch's last. `at` may be beyond that one: what a lost
        primary published and its successor never had."""
        first = [
            p
            for p, before in self._begins.items()
            if p.epoch > at.epoch and before <= at and p in self._pending
        ]
        return self._pending[min(first)] if first else None

    def _follows(self, position: Position) -> bool:
        follows = Position(self.position.epoch, self.position.seq + 1)
        return position == follows or position in self._begins

    def advance(self, position: Position) -> None:
        """Everything up to `position` is done with."""
        if position <= self.position:
            return
        follows = position == (self.position.epoch, self.position.seq + 1)
        self.position = position
        self.head = max(self.head, position)
        self._hole_since = None
        if follows:
            self._pending.pop(position, None)
            return
        for at in [p for p in self._pending if p <= position]:
            del self._pending[at]
        for at in [p for p in self._begins if p <= position]:
            del self._begins[at]

    def hole(self, now: float, patience: float) -> tuple[Position, Position] | None:
        """First and last position missing for longer than `patience` seconds."""
        if self.head <= self.position or self.ready(1):
            self._hole_since = None
            return None
        if self._hole_since is None:
            self._hole_since = now
        if now - self._hole_since < patience:
            return None
        return self.missing(self.head)

    def missing(self, until: Position) -> tuple[Position, Position]:
        """First and last position missing next, up to one that is not out yet."""
        first = Position(self.position.epoch, self.position.seq + 1)
        later = min(self._pending, default=None)
        if later is None:
            return first, until
        if later.epoch > first.epoch:
            return first, later
        return first, Position(later.epoch, later.seq - 1)
