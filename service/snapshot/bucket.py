"""The region's bucket, as writers and readers of snapshots use it."""

import hashlib
from collections.abc import AsyncIterator

from service.google import Google, GoogleError
from service.log.change import Key
from service.snapshot.manifest import ROOT, Manifest, Piece, manifest_name

_MANIFEST_SECONDS = 3.0
"""Somebody may wait for his first search; the table is the other way."""
_PART_SECONDS = 20.0


class Damaged(ValueError):
    """An object is not what was written, or has gone."""


def checked(piece: Piece, data: bytes) -> bytes:
    """The bytes of a part; raises Damaged where they are not what was written."""
    if hashlib.sha256(data).hexdigest() != piece.sha256:
        raise Damaged(f"{piece.name}: its checksum is another")
    return data


class Bucket:
    """Manifests and parts by name; raises one of `google.UNREACHABLE` when away."""

    def __init__(self, google: Google, name: str) -> None:
        self._google = google
        self._name = name

    async def manifest(self, key: Key) -> Manifest | None:
        """The newest snapshot of a collection, None without one.

        Raises Damaged where it cannot be read.
        """
        try:
            text = await self._google.read_object(
                self._name, manifest_name(key), _MANIFEST_SECONDS
            )
        except GoogleError as error:
            if error.status == 404:
                return None
            raise
        try:
            return Manifest.of(text)
        except ValueError as error:
            raise Damaged(str(error)) from None

    async def part(self, piece: Piece) -> bytes:
        """Bytes of a part, not checked yet; raises Damaged where it has gone."""
        try:
            data = await self._google.read_object(self._name, piece.name, _PART_SECONDS)
        except GoogleError as error:
            if error.status == 404:
                raise Damaged(f"{piece.name} has gone") from None
            raise
        return data

    async def put_part(self, name: str, data: bytes) -> Piece:
        """Writes a part."""
        await self._google.write_object(self._name, name, data)
        return Piece(name, hashlib.sha256(data).hexdigest())

    async def put_manifest(self, manifest: Manifest) -> None:
        """From here on this snapshot is the newest of its collection."""
        name = manifest_name((manifest.tenant, manifest.collection))
        await self._google.write_object(self._name, name, manifest.text())

    def names(self) -> AsyncIterator[str]:
        """Every object of this format."""
        return self._google.list_objects(self._name, ROOT)

    async def delete(self, name: str) -> None:
        """Removes an object."""
        await self._google.delete_object(self._name, name)
