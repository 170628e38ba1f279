"""The package's committed files say what its classes say."""

import dataclasses
import inspect
import json
import re
import tomllib
import types
import typing
from typing import Any

import pytest
import recording
import yaml

from components import package
from components._base import Component

SCHEMA: dict[str, Any] = json.loads(package.SCHEMA.read_text(encoding="utf-8"))


def arguments(kind: type[Component]) -> type:
    found = inspect.signature(kind.__init__).parameters["args"].annotation
    assert isinstance(found, type)
    return found


def public() -> set[str]:
    """Names of all component classes in the folder."""
    text = "\n".join(f.read_text() for f in package.FOLDER.glob("[!_]*.py"))
    return set(re.findall(r"^class (\w+)\(Component\)", text, re.M))


def test_the_schema_is_current() -> None:
    committed = package.SCHEMA.read_text(encoding="utf-8")
    assert committed == package.schema(), "run: python -m components.package"


def test_the_reference_page_is_current() -> None:
    committed = package.REFERENCE.read_text(encoding="utf-8")
    assert committed == package.reference(SCHEMA), "run: python -m components.package"


def test_every_component_is_in_the_package() -> None:
    assert {kind.__name__ for kind in package.COMPONENTS} == public()
    tokens = {f"meridian:index:{name}" for name in public()}
    assert set(SCHEMA["resources"]) == tokens


def test_every_input_and_output_says_what_it_is() -> None:
    shapes = [*SCHEMA["resources"].values(), *SCHEMA["types"].values()]
    for shape in shapes:
        assert shape["description"]
        for part in ("inputProperties", "properties"):
            for name, each in shape.get(part, {}).items():
                assert each.get("description"), (shape["description"], name)


@pytest.mark.parametrize("kind", package.COMPONENTS, ids=lambda kind: kind.__name__)
def test_a_defaulted_argument_is_not_published_as_required(
    kind: type[Component],
) -> None:
    args = arguments(kind)
    resource = SCHEMA["resources"][f"meridian:index:{kind.__name__}"]
    required = {
        re.sub(r"_(\w)", lambda found: found[1].upper(), field.name)
        for field in dataclasses.fields(args)
        if field.default is dataclasses.MISSING
    }
    assert set(resource["requiredInputs"]) == required
    for field in dataclasses.fields(args):
        if field.default is not dataclasses.MISSING:
            assert field.default is None, field.name
            assert types.NoneType in typing.get_args(field.type), field.name


def test_what_names_or_counts_is_plain_and_what_others_make_is_not() -> None:
    cache = SCHEMA["resources"]["meridian:index:CacheTier"]["inputProperties"]
    assert cache["memoryGib"]["plain"] is True
    assert "plain" not in cache["network"]


def test_the_package_has_the_projects_name_and_version() -> None:
    text = (recording.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    plugin = yaml.safe_load((package.FOLDER / "PulumiPlugin.yaml").read_text())
    for named in (project, plugin, SCHEMA):
        assert named["name"] == package.NAME
        assert named["version"] == package.VERSION
