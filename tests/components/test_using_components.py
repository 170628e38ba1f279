"""The examples of docs/using-components.md run, and declare what the page says."""

import os
import re
from collections import Counter

import pytest
import recording

PAGE = recording.ROOT / "docs" / "using-components.md"
EXAMPLE = re.compile(
    r"^## (?P<title>.+?)\n.*?```python\n(?P<code>.*?)```\n(?P<told>Declares [^\n]*\n)",
    re.S | re.M,
)


def found() -> list[re.Match[str]]:
    return list(EXAMPLE.finditer(PAGE.read_text()))


def told(code: str) -> str:
    """The line that stands below an example; a component itself counts as one."""
    world = recording.record(lambda: exec(compile(code, str(PAGE), "exec"), {}))
    kinds = Counter(r.token.rsplit(":", 1)[-1] for r in world)
    listed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    return f"Declares {len(world)} resources: {listed}.\n"


@pytest.mark.parametrize("example", found(), ids=lambda m: m["title"])
def test_an_example_declares_what_stands_below_it(example: re.Match[str]) -> None:
    line = told(example["code"])
    if os.environ.get("MERIDIAN_WRITE_EXAMPLES"):
        text = PAGE.read_text()
        PAGE.write_text(
            text.replace(
                example["code"] + "```\n" + example["told"],
                example["code"] + "```\n" + line,
            )
        )
    else:
        assert example["told"] == line


def test_every_example_is_found() -> None:
    assert len(found()) == PAGE.read_text().count("```python") >= 5
