"""API keys: made, rotated, revoked, looked up.

A key is `mk_<id>_<secret>`. Only the SHA-256 of the secret is kept. A slow hash such
as scrypt guards secrets that people choose, of some 30 bits; this one is drawn with
256 bits, which no guessing reaches at any speed, and a slow hash would cost every
request its time.
"""

import hmac
import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from service.access.caller import (
    Caller,
    checked_scopes,
    checked_tenant,
    checked_tier,
)
from service.access.origins import checked_origins
from service.access.system import FRESH, FRESH_ABSENT, Memory, SystemItems
from service.contract import ServiceError
from service.contract.signing import KEY_PREFIX, Address, sha256, split_key
from service.contract.validate import shown
from service.log.commit import Committer
from service.log.reader import Reader
from service.single_flight import SingleFlight

COLLECTION = "keys"
MOST_OVERLAP = 30 * 86_400
"""Longest time (s) that an old secret goes on beside its successor."""
MOST_SECRETS = 8
"""Secrets of a key at once, the newest included."""
MOST_NOTE = 200
ORIGINS_FRESH = 30.0
_ALPHABET = string.ascii_letters + string.digits
_ID = re.compile(r"[A-Za-z0-9]{12}")
_REVOKED = ".revoked"


@dataclass(frozen=True, slots=True)
class SecretHash:
    """One secret of a key."""

    sha256: str = field(repr=False)
    until: float | None
    """Unix seconds at which it ends, None of the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key."""

    id: str
    tenant: str
    scopes: frozenset[str]
    tier: str
    origins: tuple[str, ...]
    hashes: tuple[SecretHash, ...] = field(repr=False)
    revoked: float | None
    """Unix seconds since when it is refused."""
    created: float
    note: str

    def stored(self) -> dict[str, Any]:
        """The record as it is kept."""
        hashes = [{"sha256": h.sha256, "until": h.until} for h in self.hashes]
        return self.shown() | {"hashes": hashes}

    def shown(self) -> dict[str, Any]:
        """The record as its owner may see it, without any hash."""
        return {
            "id": self.id,
            "tenant": self.tenant,
            "scopes": sorted(self.scopes),
            "tier": self.tier,
            "origins": list(self.origins),
            "revoked": self.revoked,
            "created": self.created,
            "note": self.note,
        }

    def caller(self, secret: str, now: float) -> Caller | None:
        """Who holds this secret, None when it is not, or no more, this key's."""
        given = sha256(secret)
        ends: list[float | None] = []
        for known in self.hashes:
            # Every hash is compared, so that time tells nothing of which is which.
            same = hmac.compare_digest(given, known.sha256)
            if same and (known.until is None or now < known.until):
                ends.append(known.until)
        if not ends or self.revoked is not None:
            return None
        return Caller(
            tenant=self.tenant,
            scopes=self.scopes,
            tier=self.tier,
            key=self.id,
            origins=self.origins,
            expires=ends[0],
        )

    def signed(self, address: Address, now: float) -> bool:
        """Whether this key, as it is now, opens a signed address."""
        live = [h for h in self.hashes if h.until is None or now < h.until]
        held = [address.signed_by(h.sha256) for h in live]
        return any(held) and self.revoked is None and "read" in self.scopes


def _record(name: str, stored: dict[str, Any], revoked: float | None) -> KeyRecord:
    return KeyRecord(
        id=name,
        tenant=stored["tenant"],
        scopes=frozenset(stored["scopes"]),
        tier=stored["tier"],
        origins=tuple(stored["origins"]),
        hashes=tuple(SecretHash(h["sha256"], h["until"]) for h in stored["hashes"]),
        revoked=stored["revoked"] if revoked is None else revoked,
        created=stored["created"],
        note=stored["note"],
    )


class KeyStore:
    """The keys of all tenants. `clock` gives Unix seconds."""

    def __init__(
        self, reader: Reader, committer: Committer, clock: Callable[[], float]
    ) -> None:
        self._items = SystemItems(reader, committer, clock, COLLECTION)
        self._clock = clock
        self._present: Memory[KeyRecord] = Memory(clock)
        self._absent: Memory[bool] = Memory(clock)
        self._origins: Memory[frozenset[str]] = Memory(clock, 1)
        self._reading = SingleFlight(self._look_up)

    async def create(
        self,
        tenant: str,
        scopes: Iterable[str],
        tier: str,
        origins: Iterable[str] = (),
        note: str = "",
    ) -> str:
        """A new key's text, which is shown this once and kept nowhere."""
        if not isinstance(note, str) or len(note) > MOST_NOTE:
            raise ServiceError(
                "out_of_range",
                f"note is {shown(note)}: send at most {MOST_NOTE} characters.",
            )
        name = "".join(secrets.choice(_ALPHABET) for _ in range(12))
        secret = secrets.token_urlsafe(32)
        record = KeyRecord(
            id=name,
            tenant=checked_tenant(tenant),
            scopes=checked_scopes(scopes),
            tier=checked_tier(tier),
            origins=checked_origins(origins),
            hashes=(SecretHash(sha256(secret), None),),
            revoked=None,
            created=self._clock(),
            note=note,
        )
        await self._store(record)
        return f"{KEY_PREFIX}{name}_{secret}"

    async def rotate(self, name: str, overlap_seconds: float = 3600.0) -> str:
        """A new text for a key; the old secret goes on for the overlap.

        Of two rotations at once in two regions one wins; the loser's text does not
        work, the old secret does until its time is over.
        """
        if not 0 <= overlap_seconds <= MOST_OVERLAP:
            raise ServiceError(
                "out_of_range",
                f"overlap_seconds is {shown(overlap_seconds)}; allowed: 0 to "
                f"{MOST_OVERLAP}.",
            )
        record = await self._need(name)
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        until = now + overlap_seconds
        old = [
            SecretHash(h.sha256, until if h.until is None else min(h.until, until))
            for h in record.hashes
            if h.until is None or h.until > now
        ]
        if len(old) >= MOST_SECRETS:
            # Cutting the oldest off would stop whoever still uses it.
            raise ServiceError(
                "rate_limited",
                f"{name} has {len(old)} secrets that still work, at most "
                f"{MOST_SECRETS} allowed: wait for an overlap to end or revoke it.",
                details={"retry_after": min(h.until or until for h in old) - now},
            )
        hashes = (SecretHash(sha256(secret), None), *old)
        await self._store(replace(record, hashes=hashes))
        return f"{KEY_PREFIX}{name}_{secret}"

    async def revoke(self, name: str) -> None:
        """Ends a key for good, in every region within 30 s.

        The mark is an item of its own: in the record, a rotation at the same moment
        in another region would undo it, since the last writer wins.
        """
        record = await self._need(name, revoked_too=True)
        mark = {"tenant": record.tenant, "revoked": self._clock()}
        await self._items.store({f"{name}{_REVOKED}": mark})
        self._present.drop(name)

    async def get(self, name: str) -> KeyRecord:
        """A key as it is now; raises ServiceError `not_found`."""
        return await self._need(name, revoked_too=True)

    async def list(self, tenant: str) -> list[dict[str, Any]]:
        """A tenant's keys by id, without hashes, at most 500 with their marks."""
        found = dict(await self._items.of_tenant(tenant))
        return [
            _record(
                name, stored, found.get(f"{name}{_REVOKED}", {}).get("revoked")
            ).shown()
            for name, stored in found.items()
            if not name.endswith(_REVOKED)
        ]

    async def origins(self) -> frozenset[str]:
        """Every web origin of any key, for preflights; up to 30 s old."""
        known = self._origins.get("", ORIGINS_FRESH)
        if known is None:
            known = await self._items.origins()
            self._origins.put("", known)
        return known

    async def find(self, name: str) -> KeyRecord | None:
        """A key, at most FRESH seconds old; an absence at most FRESH_ABSENT."""
        if not _ID.fullmatch(name) or self._absent.get(name, FRESH_ABSENT):
            return None
        known = self._present.get(name, FRESH)
        if known is not None:
            return known
        return await self._reading.get(name)

    def known(self, text: str) -> Caller | None:
        """The caller of a key's text if memory alone can tell."""
        parts = split_key(text)
        record = self._present.get(parts[0], FRESH) if parts else None
        if parts is None or record is None:
            return None
        return record.caller(parts[1], self._clock())

    async def caller(self, text: str) -> Caller | None:
        """The caller of a key's text, None when it opens nothing."""
        parts = split_key(text)
        record = await self.find(parts[0]) if parts else None
        if parts is None or record is None:
            return None
        return record.caller(parts[1], self._clock())

    async def _look_up(self, name: str) -> KeyRecord | None:
        record = await self._read(name)
        if record is None:
            self._absent.put(name, True)
        else:
            self._present.put(name, record)
        return record

    async def _read(self, name: str) -> KeyRecord | None:
        stored = await self._items.read(name)
        if stored is None:
            return None
        mark = await self._items.read(f"{name}{_REVOKED}")
        return _record(name, stored, mark["revoked"] if mark else None)

    async def _need(self, name: str, *, revoked_too: bool = False) -> KeyRecord:
        record = await self._read(name) if _ID.fullmatch(name) else None
        if record is None or (record.revoked is not None and not revoked_too):
            state = "no key" if record is None else "a key that was revoked"
            raise ServiceError(
                "not_found",
                f"{shown(name)} is {state}: list the tenant's keys, or make a new one.",
            )
        return record

    async def _store(self, record: KeyRecord) -> None:
        await self._items.store({record.id: record.stored()})
        self._absent.drop(record.id)
        self._present.drop(record.id)
