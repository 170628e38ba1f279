"""Recorded requests and answers of a Google-maintained controller, read from the shared
material where it lies beside this clone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "gcp-http-goldens"
needed = pytest.mark.skipif(
    not GOLDENS.exists(), reason="no golden HTTP logs beside this clone"
)
REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) https://([^/]+)/(\S+)")
VALUES = {
    "uniqueId": "u1",
    "projectId": "p1",
    "projectNumber": "123",
    "networkID": "n1",
}


def exchanges(file: Path) -> Iterator[tuple[str, str, str, Any, int, Any]]:
    """(method, api, path, body, status, answer) of each exchange in a log."""
    text = re.sub(r"\$\{(\w+)\}", _value, file.read_text())
    for part in text.split("\n---\n"):
        found = REQUEST.search(part)
        if not found:
            continue
        head, _, rest = part[found.start() :].partition("\n\n")
        status = re.search(r"^(\d{3}) \w", rest, re.M)
        if not status:
            continue
        body = _json(rest[: status.start()])
        answer = _json(rest[status.end() :].partition("\n\n")[2])
        yield (*found.groups(), body, int(status[1]), answer)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _value(placeholder: re.Match[str]) -> str:
    """What stands in its place; names of resources are in lower case."""
    return VALUES.get(placeholder[1], placeholder[1].lower())
