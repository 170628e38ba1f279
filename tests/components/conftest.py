"""Worlds that several tests look at, each recorded once."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The monitor lies beside the tests, which are imported without a path of their own.
sys.path.insert(0, str(Path(__file__).parent))

import recording  # noqa: E402
from recording import Declare  # noqa: E402

from topology import Catalogue, load  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def outputs_in_texts_are_errors() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
        yield


@pytest.fixture(scope="session")
def prod() -> list[recording.Registration]:
    return recording.record_world("prod")


@pytest.fixture(scope="session")
def local() -> list[recording.Registration]:
    return recording.record_world("local")


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Run the world program over a catalogue that the test changed."""

    def run(catalogue: Catalogue, preview: bool = True) -> list[Any]:
        import stacks.environment

        monkeypatch.setattr(stacks.environment, "load", lambda name: catalogue)
        return recording.record_world(catalogue.environment, preview)

    return run


@pytest.fixture
def small() -> Catalogue:
    """One hub and one region of the local world: quick to declare."""
    catalogue = load("local")
    kept = ("us-central1", "us-east1")
    regions = {name: catalogue.regions[name] for name in kept}
    return dataclasses.replace(catalogue, regions=regions)
