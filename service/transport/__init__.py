"""How the operations are asked: HTTP, WebSocket, server-sent events, gRPC, push."""
