"""What the client raises."""

from typing import Any

AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""


class ClientError(Exception):
    """A refusal: `status`, `code` of the contract, `request_id`, `details`."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", f"HTTP {status}"))
        self.status = status
        self.code: str = error.get("code", "unknown")
        self.request_id: str = error.get("request_id") or ""
        self.details: dict[str, Any] = error.get("details") or {}

    @property
    def again(self) -> bool:
        """Whether the same request may succeed later or elsewhere."""
        return self.status in AGAIN

    @property
    def retry_after(self) -> float | None:
        """Seconds that the service asks to wait."""
        given = self.details.get("retry_after")
        return float(given) if given is not None else None


class DeadlineError(TimeoutError):
    """The deadline passed: what was tried, and the last failure as `__cause__`."""
