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
    "too_many_streams": 400,
    "duplicate_stream": 409,
    "unknown_stream": 404,
    "unknown_collection": 404,
    "unknown_item": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "immutable_field": 409,
    "body_too_large": 413,
    "collection_too_large": 507,
    "overloaded": 503,
    "unavailable": 503,
    "internal": 500,
}
"""Every code the service answers with. Codes are never renamed."""


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
