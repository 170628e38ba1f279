"""What set-up says when the machine lacks something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import toolchain
from tools.progress import SetupError, run


def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="set XDG_CACHE_HOME to a folder that has it"):
        toolchain.engine(Path("python"))


def test_a_failed_build_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    folder = tmp_path / "tool-1"

    def broken(scratch: Path) -> None:
        (scratch / "half").touch()
        raise SetupError("no")

    with pytest.raises(SetupError):
        toolchain._build(folder, "tool", broken)
    assert not folder.exists()
    toolchain._build(folder, "tool", lambda scratch: (scratch / "whole").touch())
    assert [f.name for f in folder.iterdir()] == ["whole"]


def test_a_tool_that_is_built_is_not_built_again(tmp_path: Path) -> None:
    folder = tmp_path / "tool-1"
    toolchain._build(folder, "tool", lambda scratch: (scratch / "a").touch())
    toolchain._build(folder, "tool", lambda scratch: (scratch / "b").touch())
    assert [f.name for f in folder.iterdir()] == ["a"]


def test_a_command_that_fails_shows_its_words_and_the_remedy() -> None:
    with pytest.raises(SetupError, match="boom") as caught:
        run(["sh", "-c", "echo boom >&2; exit 3"], remedy="do this")
    assert "ended with 3" in str(caught.value)
    assert str(caught.value).endswith("do this")


def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(SetupError, match="no-such-program is not installed: do that"):
        run(["no-such-program"], remedy="do that")


def test_too_little_memory_is_said_before_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toolchain, "BUILD_MEMORY_GIB", 1e6)
    with pytest.raises(SetupError, match="close something, or install Pulumi"):
        toolchain._require_memory()


def test_no_lock_file_names_a_registry() -> None:
    root = Path(__file__).resolve().parents[2]
    files = [*(root / "requirements").glob("*.txt"), root / "console/package-lock.json"]
    for file in files:
        assert "://" not in "".join(
            line for line in file.read_text().splitlines() if "funding" not in line
        ).replace('"url": "https://', ""), file


def test_what_was_set_up_is_not_set_up_again() -> None:
    root = Path(__file__).resolve().parents[2]
    for _ in range(3):
        line = [sys.executable, str(root / "tools" / "setup.py")]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
