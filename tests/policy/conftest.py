"""The worlds of `components`, recorded once."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from policy.record import Record, from_registrations

RECORDING = Path(__file__).resolve().parents[1] / "components" / "recording.py"


def _recording() -> ModuleType:
    """The monitor of the components' tests, which are no package."""
    if "recording" not in sys.modules:
        spec = importlib.util.spec_from_file_location("recording", RECORDING)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["recording"] = module
        spec.loader.exec_module(module)
    return sys.modules["recording"]


@pytest.fixture(scope="session")
def world() -> Callable[[str], list[Record]]:
    """Records of an environment's whole world."""
    known: dict[str, list[Record]] = {}

    def recorded(environment: str) -> list[Record]:
        if environment not in known:
            found = _recording().record_world(environment)
            known[environment] = from_registrations(found)
        return known[environment]

    return recorded
