"""What the table of faults names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text()


def test_every_fault_has_a_row():
    assert re.findall(r"^\| S(\d+) \|", TEXT, re.M) == [str(n) for n in range(1, 32)]


def test_every_named_test_exists():
    files = set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)", TEXT))
    assert len(files) > 12
    written = ""
    for name in files:
        path = ROOT / name if "/" in name else ROOT / "tests" / "service" / name
        written += path.read_text()
    named = set(re.findall(r"\b(test_\w+)`", TEXT)) - {"test_faults"}
    assert len(named) > 20
    missing = {name for name in named if f"def {name}(" not in written}
    assert not missing
