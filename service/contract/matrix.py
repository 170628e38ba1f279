"""Which transport carries what; the contract suite runs every cell."""

from service.contract.operations import OPERATIONS

TRANSPORTS = {
    "http": "HTTP/1.1, and HTTP/2 through the front door",
    "websocket": "calls and streams on one connection",
    "sse": "streams; messages of a session by POST",
    "grpc": "unary methods, one stream (Follow), many streams (Watch)",
    "push": "Pub/Sub push; the result is the log",
}
_PUSHED = ("upsert", "patch", "delete")
MATRIX: dict[str, tuple[str, ...]] = {
    name: ("http", "websocket", "grpc", *(("push",) if name in _PUSHED else ()))
    for name in OPERATIONS
} | {"watch": ("websocket", "sse", "grpc")}
"""Transports of each operation, and of streams."""
