"""The schema that editors use says what the reader says."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from topology import schema
from topology.facts import places
from topology.reader import CATALOGUES


def test_the_schema_file_is_current() -> None:
    current = schema.PATH.read_text(encoding="utf-8")
    assert current == schema.text(), "run: python -m topology.schema"


def test_the_schema_is_valid_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize(
    "path", sorted(CATALOGUES.glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_catalogue_fits_and_points_editors_to_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), schema.schema())
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")


def test_every_key_is_described() -> None:
    for name, block in schema.schema()["$defs"].items():
        for key, value in block["properties"].items():
            assert value["description"], f"{name}.{key}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("service", "concurrency"), 5000),
        (("service", "concurency"), 100),
        (("regions", "us-central9"), {}),
        (("layout",), "hole"),
        (("tiers", "hub", "traffic_share"), -1),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(
    path: tuple[str, ...], value: object
) -> None:
    body = yaml.safe_load((CATALOGUES / "prod.yaml").read_text(encoding="utf-8"))
    block = body
    for key in path[:-1]:
        block = block[key]
    block[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema.schema())


def test_editors_know_every_region() -> None:
    regions = schema.schema()["$defs"]["Catalogue"]["properties"]["regions"]
    assert set(regions["properties"]) == set(places())
    assert json.loads(schema.text()) == schema.schema()
