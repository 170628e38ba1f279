"""A clone of the working tree in a folder of its own, and its world."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 400
FEW = ("europe-west1", "us-central1", "europe-west3", "us-east1", "us-west1")
"""Two hubs, and regions of both."""
LONGEST = (
    *("kills", "apply", "diff", "diff_edits", "live_changes", "live_world", "locks"),
    *("state", "interrupted", "promotion"),
)
"""Files that begin first, so that both workers end together; the others follow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}.py" for name in LONGEST]
    ranks = {name: number for number, name in enumerate(names)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


class Clone:
    """One clone; commands run in it as a user would run them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, root: Path) -> Clone:
        """Copy what git would carry: tracked and new files, none that is ignored."""
        line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(line, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        return cls(root)

    @property
    def catalogue(self) -> Path:
        """The catalogue of this machine's world."""
        return self.root / "stacks" / "catalogue" / "local.yaml"

    def tiers(self) -> dict[str, str]:
        """Region -> `hub` or `regional`, as the catalogue says now."""
        regions = yaml.safe_load(self.catalogue.read_text())["regions"]
        return {name: block["tier"] for name, block in regions.items()}

    def hubs(self) -> list[str]:
        return [name for name, tier in self.tiers().items() if tier == "hub"]

    def ready(self) -> int:
        """How many regions are ready."""
        return sum(region["ready"] for region in self.json("status")["regions"])

    @property
    def environment(self) -> dict[str, str]:
        """A user's: code is compiled once and not by every command."""
        own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {**own, "PYTHONPATH": str(self.root)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a `meridian` command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "ops", *words],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *words: str, code: int = 0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a `meridian` command and hold it to its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "ops", *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def pulumi(self, *words: str, env: str = "prod", region: str = "") -> str:
        """Run plain `pulumi` with the lines of `meridian env`: whole, or one cell."""
        chosen = f"--region {region}" if region else ""
        script = (
            f'eval "$({sys.executable} -m ops env --env {env} {chosen} --offline)"; '
            'exec "$@"'
        )
        folder = self.root / "stacks" / "cell" if region else self.root
        line = ["bash", "-c", f'cd "$MERIDIAN_TEST_ROOT"; {script}', "-", "pulumi"]
        name = f"{env}.{region}" if region else env
        done = subprocess.run(
            [*line, *words, "-s", name, "--non-interactive", "--cwd", str(folder)],
            env={**self.environment, "MERIDIAN_TEST_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def states(self, environment: str = "local") -> dict[str, Any]:
        """What every stack of an environment keeps, by project and stack."""
        folder = self.root / ".meridian" / "state" / ".pulumi" / "stacks"
        found = [
            *folder.glob(f"*/{environment}.json"),
            *folder.glob(f"*/{environment}.*.json"),
        ]
        return {f"{f.parent.name}/{f.stem}": json.loads(f.read_text()) for f in found}

    def processes(self) -> list[str]:
        """Command lines of live processes that belong to this clone."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                variables = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            ours = str(self.root) in line or f"={self.root}" in variables
            if ours and int(folder.name) != os.getpid():
                found.append(f"{folder.name} {line[:150]}")
        return found

    def wait(self, what: Any, seconds: float = 60.0) -> Any:
        """Poll until `what()` is true; its last value."""
        deadline = time.monotonic() + seconds
        while not (value := what()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert value, "did not happen in time"
        return value

    def down(self) -> None:
        self.run("down")


def process_titles() -> list[str]:
    """What every process of the machine calls itself."""
    line = ["ps", "-eo", "args"]
    return subprocess.run(
        line, capture_output=True, text=True, check=True
    ).stdout.split("\n")


def changed(preview: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps of a preview that an `up` would really take."""
    return [step for step in preview["steps"] if step["op"] not in ("same", "read")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose world is up; taken down at the end, whatever happened."""
    made = Clone.make(tmp_path_factory.mktemp("clone"))
    yield from _running(made)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The same with five regions, where no more are needed: seven engines do."""
    yield from _running(make_few(tmp_path_factory.mktemp("few")))


def shortened(text: str, names: Sequence[str] = FEW) -> str:
    """A catalogue with these of its regions."""
    head, regions, tail = re.split(r"^(regions:\n)", text, flags=re.M)
    blocks = re.findall(r"^  [\w-]+:\n(?:    .*\n)+", tail, flags=re.M)
    kept = [b for b in blocks if b.strip().partition(":")[0] in names]
    assert len(kept) == len(names)
    return head + regions + "".join(kept)


def make_few(root: Path) -> Clone:
    """A clone whose world has five regions; nothing runs."""
    made = Clone.make(root)
    made.catalogue.write_text(shortened(made.catalogue.read_text()))
    return made


def _running(made: Clone) -> Iterator[Clone]:
    try:
        made.run("up")
        yield made
    finally:
        made.down()
        left = made.processes()
        assert left == [], left
