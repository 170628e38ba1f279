"""The streaming service: what runs in the container.

    contract/   shapes, limits and errors of the public interface, JSON schema
    log/        the change log: Postgres schema, group commit, codec, order
    kernel/     scoring: numpy reference and the C kernel behind one interface
    text/       sentences to vectors (MiniLM in numpy), extra `[text]`
    stream/     an instance: HTTP, WebSocket, collections in memory, followers
    worker/     relay, applier, feeder: the log from region to region
    client/     the Python client

`python -m service` runs one process from the environment alone.
"""
