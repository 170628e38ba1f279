"""Error codes of the contract and the HTTP status of each."""

from typing import Any

STATUS: dict[str, int] = {
    "bad_json": 400,
    "bad_request": 400,
    "unknown_key": 400,
    "missing_key": 400,
    "wrong_type": 400,
    "out_of_range": 400,
    "wrong_dimension": 400,
    "not_finite": 400,
    "metadata_too_large": 400,
    "batch_too_large": 400,
    "batch_empty": 400,
    "text_unavailable": 400,
    "bad_token": 400,
    "bad_filter": 400,
    "bad_cursor": 400,
    "learning_failed": 400,
    "not_supported": 400,
    "unauthenticated": 401,
    "bad_ticket": 401,
    "forbidden": 403,
    "origin_refused": 403,
    "too_many_streams": 400,
    "duplicate_stream": 409,
    "version_conflict": 409,
    "fenced": 409,
    "unknown_stream": 404,
    "unknown_query": 404,
    "unknown_key_id": 404,
    "unknown_collection": 404,
    "unknown_item": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "immutable_field": 409,
    "body_too_large": 413,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "behind": 503,
    "deadline_exceeded": 504,
    "collection_too_large": 507,
    "overloaded": 503,
    "unavailable": 503,
    "home_away": 503,
    "internal": 500,
}
"""Every code the service answers with. Codes are never renamed."""
GRPC: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}
"""gRPC status of each HTTP status of the codes."""


class ServiceError(Exception):
    """A refusal with a code of `STATUS`, a sentence, and optional details.

    `elsewhere` marks a refusal after which nothing is stored for certain, or a
    retry with the same event ids is safe: another region may be tried.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        elsewhere: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details or {}
        self.elsewhere = elsewhere

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, where the refusal says so."""
        given = self.details.get("retry_after")
        return float(given) if given is not None else None

    @property
    def status(self) -> int:
        """HTTP status of the code."""
        return STATUS[self.code]

    def item(self) -> dict[str, Any]:
        """The shape of this error inside a per-item result."""
        return {"code": self.code, "message": self.message}


def error_body(error: ServiceError, request_id: str) -> dict[str, Any]:
    """`{"error": {"code", "message", "request_id", "details"}}`."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "request_id": request_id,
            "details": error.details,
        }
    }
