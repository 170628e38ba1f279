"""Who asks, until when, and how the question is told from others."""

import time
import uuid
from dataclasses import dataclass, field, replace

from service.access.caller import Caller
from service.contract import ServiceError
from service.tracing import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One question's surroundings; every transport makes one."""

    caller: Caller
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    deadline: float | None = None
    """Monotonic seconds after which an answer is of no use."""
    parent: Place | None = None
    """The caller's span."""

    def left(self, default: float) -> float:
        """Seconds that remain; raises ServiceError `deadline_exceeded` at none."""
        if self.deadline is None:
            return default
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ServiceError(
                "deadline_exceeded",
                "The deadline passed before the answer: allow more time.",
            )
        return left

    def sooner(self, milliseconds: int | None) -> "Context":
        """With a deadline at most so many milliseconds from now."""
        if milliseconds is None:
            return self
        deadline = time.monotonic() + milliseconds / 1000
        if self.deadline is not None:
            deadline = min(deadline, self.deadline)
        return replace(self, deadline=deadline)
