"""All records of one stack, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from policy.field import Field
from policy.record import Record


class World:
    """Records by URN and by type. Built once, read by every rule."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)

    @cached_property
    def _by_urn(self) -> dict[str, Record]:
        return {record.urn: record for record in self.records}

    @cached_property
    def _by_token(self) -> dict[str, list[Record]]:
        made: dict[str, list[Record]] = {}
        for record in self.records:
            made.setdefault(record.token, []).append(record)
        return made

    def of(self, *tokens: str) -> list[Record]:
        """Records of these types, in the order of the program."""
        return [r for token in tokens for r in self._by_token.get(token, ())]

    def used_by(self, record: Record, part: str, *tokens: str) -> list[Record]:
        """Records of these types that an input of `record` comes from.

        `part` is the name of the input. Where the source does not tell inputs apart,
        everything that `record` waits for counts.
        """
        urns = record.property_depends.get(part, ())
        if not record.property_depends:
            urns = record.depends_on
        found = (self._by_urn.get(urn) for urn in urns)
        return [r for r in found if r is not None and r.token in tokens]

    def meant_by(
        self, record: Record, path: str, token: str, key: str = "name"
    ) -> list[Record]:
        """Records that an input refers to: by name where it is known, else by what
        the input comes from.
        """
        named = [r for r in self.of(token) if names(record.at(path), r, key)]
        return named or self.used_by(record, path.split(".")[0], token)

    def may_mean(
        self, record: Record, path: str, target: Record, key: str = "name"
    ) -> bool:
        """Whether an input refers to `target`, or may do so as far as is known."""
        reference, wanted = record.at(path), target.at(key)
        if not reference.unknown and not wanted.unknown:
            return names(reference, target, key)
        used = self.used_by(record, path.split(".")[0], target.token)
        return target in used or not used


def names(reference: Field, target: Record, key: str = "name") -> bool:
    """Whether a known reference, short or as a path, ends in the target's name."""
    wanted, given = target.at(key).text, reference.text
    if not wanted or not given:
        return False
    return given == wanted or given.endswith(f"/{wanted}")
