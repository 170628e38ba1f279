"""An instance: HTTP and WebSocket, collections in memory, followers of the feed."""
