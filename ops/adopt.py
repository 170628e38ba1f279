"""`meridian adopt`: have the next `up` import what exists instead of making it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import topology
from ops import fleet, preview, stack
from ops.errors import BAD_INPUT, CommandError
from ops.paths import CATALOGUES, relative
from topology import adoption
from topology.adoption import Adoption

Json = dict[str, Any]


def listed(environment: str) -> Json:
    """`{"file", "adoptions": [{"type", "name", "id", "imported"}]}`."""
    catalogue = topology.load(environment)
    held = {
        (resource["type"], _name(resource["urn"]))
        for target in fleet.targets(catalogue)
        for resource in stack.resources(target)
    }
    file = adoption.file_of(CATALOGUES, environment)
    return {
        "file": relative(file),
        "adoptions": [
            {
                "type": each.type,
                "name": each.name,
                "id": each.id,
                "imported": (each.type, each.name) in held,
            }
            for each in adoption.adoptions(file)
        ],
    }


def add(environment: str, new: Adoption, say: Callable[[str], None]) -> None:
    """List a resource that the program declares and no state holds."""
    file = adoption.file_of(CATALOGUES, environment)
    known = adoption.adoptions(file)
    say(f"previewing {environment}: is {new.name} declared, and not managed yet?")
    steps = preview.preview(environment, live=False)["steps"]
    ops = {(s["type"], _name(s["urn"])): s["op"] for s in steps}
    found = ops.get((new.type, new.name))
    if found is None:
        raise CommandError(_unknown(environment, new, list(ops)), BAD_INPUT)
    if found not in ("create", "import"):
        text = (
            f"{new.name} is managed already: its state says where it is, "
            "so there is nothing to adopt"
        )
        raise CommandError(text, BAD_INPUT)
    kept = [e for e in known if (e.type, e.name) != (new.type, new.name)]
    _write(environment, [*kept, new])


def forget(environment: str, name: str) -> None:
    """Take entries of this name off the list; what they imported stays managed."""
    known = adoption.adoptions(adoption.file_of(CATALOGUES, environment))
    kept = [each for each in known if each.name != name]
    if len(kept) == len(known):
        names = ", ".join(each.name for each in known) or "none"
        raise CommandError(f"{name} is not listed: {names} are", BAD_INPUT)
    _write(environment, kept)


def _write(environment: str, found: list[Adoption]) -> None:
    """The list as a file, and none when it is empty; checked as it will be read."""
    file = adoption.file_of(CATALOGUES, environment)
    before = file.read_text() if file.exists() else None
    if not found:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(exist_ok=True)
    file.write_text(adoption.text(found))
    try:
        adoption.adoptions(file)
    except topology.CatalogueError:
        file.unlink() if before is None else file.write_text(before)
        raise


def _unknown(environment: str, new: Adoption, known: list[tuple[str, str]]) -> str:
    names = [name for kind, name in known if kind == new.type]
    close = difflib.get_close_matches(new.name, names, n=3) or names[:3]
    what = f"of this type there are {', '.join(close)}" if names else "nor any of it"
    return (
        f"{environment} declares no {new.type} named {new.name}: {what}. "
        "`meridian preview` prints types and names"
    )


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def lines(answer: Json) -> Iterator[str]:
    """What a person reads."""
    if not answer["adoptions"]:
        yield "nothing is to be adopted"
        return
    yield f"{answer['file']}:"
    for each in answer["adoptions"]:
        how = (
            "imported: the entry may go, `--forget` it"
            if each["imported"]
            else "the next `up` imports it"
        )
        yield f"  {each['type']}  {each['name']}  {each['id']}: {how}"
