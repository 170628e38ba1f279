"""Every field that is declared exists in the provider, however deep it lies.

The SDK passes unknown keys of nested mappings on without a word; Google refuses them.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from recording import Registration

NESTED = re.compile(r"'(\w+Args)'")


@cache
def fields_of(module: str, kind: str) -> dict[str, str]:
    """Fields of a class of arguments: camel-cased name to annotation."""
    inputs = importlib.import_module(f"pulumi_gcp.{module}._inputs")
    parameters = inspect.signature(getattr(inputs, kind).__init__).parameters
    return {_camel(name): str(p.annotation) for name, p in parameters.items()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def unknown(module: str, annotation: str, value: Any, path: str) -> Iterator[str]:
    """Keys below a value that the annotated class does not have."""
    if isinstance(value, list | tuple):
        for inner in value:
            yield from unknown(module, annotation, inner, f"{path}[]")
    elif isinstance(value, dict):
        kinds = NESTED.findall(annotation)
        if not kinds:
            return
        known = fields_of(module, kinds[0])
        for key, inner in value.items():
            if key not in known:
                yield f"{path}.{key} ({kinds[0]} has {', '.join(sorted(known))})"
            else:
                yield from unknown(module, known[key], inner, f"{path}.{key}")


def faults(world: list[Registration]) -> tuple[set[str], int]:
    """Fields that the provider does not have, and how many were looked at."""
    found: set[str] = set()
    checked = 0
    for resource in world:
        if not resource.token.startswith("gcp:"):
            continue
        module, leaf = (
            resource.token.split(":")[1].split("/")[0],
            resource.token.split(":")[2],
        )
        kind = getattr(importlib.import_module(f"pulumi_gcp.{module}"), leaf)
        parameters = inspect.signature(kind._internal_init).parameters
        known = {_camel(name): str(p.annotation) for name, p in parameters.items()}
        for key, value in resource.inputs.items():
            assert key in known, f"{resource.urn}: {key}"
            found |= set(unknown(module, known[key], value, f"{leaf}.{key}"))
            checked += 1
    return found, checked


def test_every_nested_field_exists_in_the_provider(prod: list[Registration]) -> None:
    found, checked = faults(prod)
    assert not found, "\n".join(sorted(found))
    assert checked > 1000


def test_the_check_finds_a_field_that_does_not_exist() -> None:
    annotation = "Optional[Union['ServiceTemplateArgs', 'ServiceTemplateArgsDict']]"
    body = {"containers": [{"image": "x", "resources": {"cpuIdl": False}}]}
    (fault,) = unknown("cloudrunv2", annotation, body, "template")
    assert fault.startswith("template.containers[].resources.cpuIdl (")
