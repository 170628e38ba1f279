"""The feed: one Redis stream per origin and lane, in each region.

An entry is a frame of changes that follow each other; its id is the position of the
last, `<epoch>-<seq>`. Redis refuses an id that is not above its last, so feeding twice
is harmless and needs no store; entries may overlap, and who reads drops what he has.
Revisions before 2026-11-30 took an entry for one change: beside this one they read the
rest from Postgres, later by `_PATIENCE` of `service.stream.lanes`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError, ResponseError

from service.google import UNREACHABLE, Google
from service.log.change import Change, Position, decode
from service.settings import Settings

LENGTH = 4096
"""Changes kept per stream, about; older ones are read from Postgres."""
_READ = 16
"""Entries of a read: the event loop takes their changes, some hundred, in one go."""
AWAY = (RedisError, *UNREACHABLE)
"""What a command raises when Redis is away."""
_NOT_ABOVE = "equal or smaller"


def feed_key(origin: str, lane: int) -> str:
    """Name of the Redis stream."""
    return f"feed:{origin}:{lane}"


class _Auth(CredentialProvider):
    """Reads the AUTH string at every connect: it may have been rotated."""

    def __init__(self, google: Google) -> None:
        self._google = google

    async def get_credentials_async(self) -> Any:
        """The password alone; nothing where Redis asks for none."""
        password = await self._google.redis_password()
        return (password,) if password else ()


async def open_redis(
    settings: Settings, google: Google, *, patience: float = 2.0
) -> redis.asyncio.Redis:
    """A client of this region's Redis; it connects at its first command.

    A command that takes longer than `patience` seconds fails.
    """
    # Telling Redis the library's version reads the metadata of every installed
    # package, in each process.
    options: dict[str, object] = {"driver_info": None}
    if settings.redis_instance and settings.metadata_host:
        options["credential_provider"] = _Auth(google)
    if settings.redis_tls:
        options |= {"ssl": True, "ssl_ca_certs": await _ca_file(google)}
    return redis.asyncio.Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        socket_connect_timeout=2,
        socket_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        **options,  # type: ignore[arg-type]
    )


async def _ca_file(google: Google) -> str:
    path = Path(tempfile.mkdtemp(prefix="meridian-")) / "redis-ca.pem"
    path.write_text(await google.redis_certificates())
    return str(path)


async def feed(
    client: redis.asyncio.Redis, changes: Sequence[Change], frame: bytes
) -> None:
    """Appends changes of one lane, in order, and their frame; raises one of `AWAY`."""
    last = changes[-1]
    oldest = last.seq - LENGTH
    try:
        await client.xadd(
            feed_key(last.origin, last.lane),
            {"c": frame},
            id=f"{last.epoch}-{last.seq}",
            # Of an epoch that has just begun the one before it stays for a while.
            minid=f"{last.epoch}-{oldest}" if oldest > 0 else None,
            approximate=True,
        )
    except ResponseError as error:
        if _NOT_ABOVE not in str(error):
            raise


async def last_fed(
    client: redis.asyncio.Redis, origin: str, lane: int
) -> Position | None:
    """Position of the newest entry, None of an empty stream."""
    entries: Any = await client.xrevrange(feed_key(origin, lane), count=1)
    return _position(entries[0][0]) if entries else None


async def read_feed(
    client: redis.asyncio.Redis, lane: int, after: dict[str, Position], block: int
) -> list[tuple[str, list[Change]]]:
    """(origin, changes) that came after the positions; waits `block` ms."""
    keys: dict[Any, Any] = {
        feed_key(o, lane): f"{p.epoch}-{p.seq}" for o, p in after.items()
    }
    origins = {key.encode(): origin for key, origin in zip(keys, after, strict=True)}
    answer: Any = await client.xread(keys, count=_READ, block=block)
    streams = answer.items() if isinstance(answer, dict) else answer or ()
    found = []
    for key, answered in streams:
        # RESP3 wraps the entries of a stream in one more list.
        wrapped = bool(answered) and isinstance(answered[0], list)
        entries = answered[0] if wrapped else answered
        changes = [c for _, fields in entries for c in decode(fields[b"c"])]
        found.append((origins[key], changes))
    return found


def answers_key(instance: str) -> str:
    """Channel of the answers that an instance waits for."""
    return f"answers:{instance}"


async def open_answers(
    settings: Settings, google: Google, instance: str
) -> redis.asyncio.client.PubSub:
    """Subscribed to an instance's answers; raises one of `AWAY`."""
    pubsub = (await open_redis(settings, google)).pubsub()
    await pubsub.subscribe(answers_key(instance))
    return pubsub


def _position(entry_id: bytes) -> Position:
    epoch, seq = entry_id.split(b"-")
    return Position(int(epoch), int(seq))
