"""Worlds that several tests look at, each recorded once."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

# An output in a text is a silent mistake; here it is an error. Read at import.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"

import recording
from topology import Catalogue, load

Declare = Callable[..., list[recording.Registration]]


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
