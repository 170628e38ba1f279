"""The components as a Pulumi package: what it offers, its schema, its reference page.

`python -m components.package` writes `components/schema.json` and
`docs/components.md`; a test holds both current. The schema is inferred from the
annotations and docstrings of the classes, by Pulumi's own analyser.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.component import ComponentProvider

from components._base import Component
from components.budget import BurstBudget
from components.cache import CacheTier
from components.database import Database
from components.delivery import Delivery
from components.foundation import Foundation
from components.global_lb import GlobalLB
from components.identity import ServiceIdentity
from components.image import ServiceImage
from components.inbox import Inbox
from components.messaging import Messaging
from components.network import Network
from components.observability import Observability
from components.quotas import Quotas
from components.regional_cell import RegionalCell
from components.vault import Vault

NAME = "meridian"
VERSION = "0.1.0"
"""The project's own; a test holds both together."""

COMPONENTS: list[type[Component]] = [
    RegionalCell,
    CacheTier,
    Database,
    Inbox,
    Vault,
    Foundation,
    Network,
    Messaging,
    ServiceIdentity,
    ServiceImage,
    GlobalLB,
    Delivery,
    Quotas,
    BurstBudget,
    Observability,
]
"""Every public class, cells first."""

FOLDER = Path(__file__).resolve().parent
SCHEMA = FOLDER / "schema.json"
REFERENCE = FOLDER.parent / "docs" / "components.md"

Json = Mapping[str, Any]

HEAD = """# Components
Generated from `components/schema.json` by `python -m components.package`; a test holds
both current. A type marked `*` may be an output of another resource; any other is a
plain value, known before the program runs. Names are written as Python writes them;
YAML and the other languages write `memoryGib` for `memory_gib`. `examples/` uses the
package from another Python project and from a YAML program.
"""


def schema() -> str:
    """The package's schema as committed."""
    # The analyser's classes are generic over what every component shares.
    made = ComponentProvider(list(COMPONENTS), NAME, version=VERSION).schema
    return json.dumps(json.loads(made or "{}"), indent=1) + "\n"


def reference(package: Json) -> str:
    """The page: a section a component, then the types that arguments are made of."""
    parts = [HEAD]
    for kind in COMPONENTS:
        token = f"{NAME}:index:{kind.__name__}"
        resource = package["resources"][token]
        parts += [
            f"## {kind.__name__}",
            f"`{token}`. {_line(resource)}\n",
            _table("input", resource["inputProperties"], resource["requiredInputs"]),
            _table("output", resource["properties"], resource["required"], False),
        ]
    parts.append("# Types\n")
    for token, shape in sorted(package["types"].items()):
        parts += [f"## {token.rpartition(':')[2]}", f"{_line(shape)}\n"]
        if "enum" in shape:
            values = ", ".join(f"`{each['value']}`" for each in shape["enum"])
            parts.append(f"One of {values}.\n")
        else:
            parts.append(_table("input", shape["properties"], shape["required"]))
    return "\n".join(parts).rstrip() + "\n"


def _table(
    kind: str, properties: Json, required: list[str], optional: bool = True
) -> str:
    head = f"| {kind} | type |{' required |' if optional else ''} meaning |"
    rule = "| --- | --- |" + (" --- |" if optional else "") + " --- |"
    return "\n".join([head, rule, *_rows(properties, required, optional)]) + "\n"


def _rows(properties: Json, required: list[str], optional: bool) -> Iterator[str]:
    for name, shape in properties.items():
        given = f" {'yes' if name in required else ''} |" if optional else ""
        star = "" if shape.get("plain") or not optional else " *"
        yield f"| `{_snake(name)}` | {_type(shape)}{star} |{given} {_line(shape)} |"


def _line(shape: Json) -> str:
    text = " ".join((shape.get("description") or "").split())
    return text.replace("|", "\\|")


def _type(shape: Json) -> str:
    if "$ref" in shape:
        name = shape["$ref"].rpartition(":")[2]
        return f"[{name}](#{name.lower()})"
    if shape["type"] == "array":
        return f"list of {_type(shape['items'])}"
    if shape["type"] == "object":
        return f"map of {_type(shape['additionalProperties'])}"
    return str(shape["type"])


@cache
def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", name)


def main() -> None:
    """Write both files."""
    text = schema()
    SCHEMA.write_text(text, encoding="utf-8")
    REFERENCE.write_text(reference(json.loads(text)), encoding="utf-8")


if __name__ == "__main__":
    main()
