"""A catalogue of production that was edited wrongly, and what is said of it."""

import pytest

from topology import CatalogueError, read
from topology.reader import CATALOGUES

FILE = "stacks/catalogue/prod.yaml"
PROD = (CATALOGUES / "prod.yaml").read_text(encoding="utf-8")


def complaint(text: str, environment: str | None = None) -> str:
    with pytest.raises(CatalogueError) as caught:
        read(text, FILE, environment)
    return str(caught.value)


def edited(old: str, new: str) -> tuple[str, int]:
    """Production with one edit, and the line of the edit."""
    assert old in PROD
    return PROD.replace(old, new, 1), PROD[: PROD.index(old)].count("\n") + 1


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1
