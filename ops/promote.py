"""`meridian promote`: a catalogue in which a replica leads the log of a lost hub.

Only the file is edited; `meridian apply` does the rest (docs/adr/0016).
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import topology
from ops.errors import BAD_INPUT, CommandError
from ops.paths import CATALOGUES, relative
from topology import Catalogue
from topology.capacity import tier_of
from topology.catalogue import Role
from topology.errors import CatalogueError

_SIZES = ("traffic_share", "min_instances", "max_instances")
Keys = Mapping[str, str | None]
"""New values of a region's keys; None takes a key away."""


@dataclass(frozen=True)
class Promotion:
    """An edit of a catalogue."""

    region: str
    """Holds the primary from now on."""
    lost: str
    """Hub that was lost: it comes back as a replica, without traffic at first."""
    origin: str
    """Log that the region leads."""
    rebuilt: tuple[str, ...]
    """Regions whose replica is made anew, from the new primary."""
    file: str
    diff: str


def promote(environment: str, region: str, *, write: bool) -> Promotion:
    """Put a region's replica in its hub's place, in the catalogue.

    Raises CommandError when the region copies no hub, or when the catalogue would not
    be valid; the file is as before then.
    """
    catalogue = topology.load(environment, CATALOGUES)
    lost = _hub_of(catalogue, environment, region)
    file = CATALOGUES / f"{environment}.yaml"
    before = file.read_text()
    after = before
    edits = _edits(catalogue, region, lost)
    for name, keys in edits.items():
        after = _edited(after, name, keys)
    _judge(environment, after)
    if write:
        file.write_text(after)
    return Promotion(
        region=region,
        lost=lost,
        origin=str(edits[region]["origin"]),
        rebuilt=tuple(n for n, keys in edits.items() if "database_generation" in keys),
        file=relative(file),
        diff=_diff(before, after, relative(file)),
    )


def _hub_of(catalogue: Catalogue, environment: str, region: str) -> str:
    """The hub whose database a region copies."""
    replicas = [n for n, r in catalogue.regions.items() if r.tier is not Role.HUB]
    if region not in replicas:
        why = "holds a primary" if region in catalogue.regions else "is no region of it"
        raise CommandError(
            f"promote {region}: it {why}; replicas of {environment}: "
            f"{', '.join(replicas) or 'none'}",
            BAD_INPUT,
        )
    settings = catalogue.regions[region]
    return settings.replica_of or str(settings.hub)


def _edits(catalogue: Catalogue, region: str, lost: str) -> dict[str, Keys]:
    """What changes in the block of every region that knew the lost hub."""
    edits: dict[str, Keys] = {
        region: {
            **_sizes(catalogue, region),
            "tier": "hub",
            "hub": None,
            "replica_of": None,
            "origin": catalogue.regions[lost].origin or lost,
        },
        lost: {
            **_sizes(catalogue, lost),
            **_anew(catalogue, lost),
            "tier": "regional",
            "hub": region,
            "origin": None,
            "serving": "false",
        },
    }
    for name, settings in catalogue.regions.items():
        if name in edits or lost not in (settings.hub, settings.replica_of):
            continue
        follows = {
            key: region
            for key in ("hub", "replica_of")
            if getattr(settings, key) == lost
        }
        copies = (settings.replica_of or settings.hub) == lost
        edits[name] = {**follows, **(_anew(catalogue, name) if copies else {})}
    for name, settings in catalogue.regions.items():
        if settings.failover == lost:
            edits[name] = {**edits.get(name, {}), "failover": None}
    return edits


def _sizes(catalogue: Catalogue, region: str) -> Keys:
    """What the region has of its tier so far: the other role must not resize it."""
    settings, tier = catalogue.regions[region], tier_of(catalogue, region)
    of_tier = {key: getattr(tier, key) for key in _SIZES}
    return {
        key: f"{value}"
        for key, value in of_tier.items()
        if value is not None and getattr(settings, key) is None
    }


def _anew(catalogue: Catalogue, region: str) -> Keys:
    """A deleted server's name stays taken for a week."""
    own = catalogue.regions[region].database_generation
    return {"database_generation": f"{(own or catalogue.database.generation) + 1}"}


def _block(text: str, region: str) -> re.Match[str]:
    """A region's lines: its name, and all that is indented below it."""
    head = re.search(r"^regions:[^\n]*\n", text, flags=re.M)
    lines = rf"^  {re.escape(region)}:[ \t]*(?:#[^\n]*)?\n(?:    [^\n]*\n)+"
    pattern = re.compile(lines, flags=re.M)
    found = pattern.search(text, head.end()) if head else None
    if found is None:
        raise CommandError(
            f"the block of {region} is not written one key a line: edit it by hand"
        )
    return found


def _edited(text: str, region: str, keys: Keys) -> str:
    found = _block(text, region)
    head, *lines = found.group().splitlines(keepends=True)
    for key, value in keys.items():
        at = next((n for n, line in enumerate(lines) if _sets(line, key)), None)
        new = [] if value is None else [f"    {key}: {value}\n"]
        if at is None:
            lines += new
        else:
            lines[at : at + 1] = new
    return text[: found.start()] + head + "".join(lines) + text[found.end() :]


def _sets(line: str, key: str) -> bool:
    return line.strip().startswith(f"{key}:")


def _judge(environment: str, text: str) -> None:
    """Raises CommandError when the catalogue would be refused."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "catalogue"
        shutil.copytree(CATALOGUES, folder)
        (folder / f"{environment}.yaml").write_text(text)
        try:
            topology.load(environment, folder)
        except CatalogueError as error:
            raise CommandError(
                f"the catalogue would not be valid, nothing was changed:\n{error}",
                BAD_INPUT,
            ) from error


def _diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    return "".join(lines)
