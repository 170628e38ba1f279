"""A clone of the working tree in a temporary folder, and a world to measure."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import check

ROOT = Path(__file__).resolve().parents[1]
Json = dict[str, Any]


class Clone:
    """A folder with the tree in it; commands run there as a user would run them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    @property
    def control(self) -> str:
        """Base URL of its control plane."""
        file = self.root / ".meridian" / "world" / "world.json"
        return f"http://{json.loads(file.read_text())['network']}.1:4000"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "ops", *words]

    def meridian(self, *words: str) -> str:
        return check(self.command(*words), self.root, self.environment)

    def engine_environment(self, stack: str) -> dict[str, str]:
        """The variables of `meridian env --offline`."""
        words = ("env", "--env", stack, "--offline")
        script = f'eval "$({sys.executable} -m ops {" ".join(words)})"; env -0'
        text = check(["bash", "-c", script], self.root, self.environment)
        pairs = (line.split("=", 1) for line in text.split("\0") if "=" in line)
        return {key: value for key, value in pairs if key != "_"}

    def call(
        self, path: str, body: Json | None = None, method: str | None = None
    ) -> Json:
        """Ask its control plane."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(
            f"{self.control}{path}", data=data, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            answer: Json = json.load(response)
            return answer

    def world(self) -> Json:
        return self.call("/console/world")

    def answers(self) -> bool:
        """Whether a whole world runs here."""
        try:
            regions = self.world()["regions"]
        except (OSError, ValueError):
            return False
        return bool(regions) and all(r["ready"] for r in regions)


@contextlib.contextmanager
def temporary_clone() -> Iterator[Clone]:
    """A clone that is taken down and removed at the end, whatever happened."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="meridian-benchmark-") as name:
        made = Clone(Path(name) / "clone")
        copy_tree(made.root)
        try:
            yield made
        finally:
            made.meridian("down")


def copy_tree(target: Path) -> None:
    """What git would carry: tracked and new files, none that is ignored."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@contextlib.contextmanager
def running_world(given: Path | None, *, live: bool) -> Iterator[Clone]:
    """The world at `given`; else this clone's when `live` is allowed and it answers;
    else one in a temporary clone.
    """
    here = Clone(given or ROOT)
    if given or (live and here.answers()):
        yield here
        return
    with temporary_clone() as made:
        made.meridian("up")
        yield made


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--world`."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=form)
    parser.add_argument(
        "--world", type=Path, help="Folder of a clone whose world runs already."
    )
    return parser


def scale(clone: Clone, service: str, count: int) -> None:
    """Ask the platform's REST for `count` instances of a service; returns at once."""
    path = f"/run.googleapis.com/{service}?updateMask=scaling.minInstanceCount"
    clone.call(path, {"scaling": {"minInstanceCount": count}}, "PATCH")


def services(clone: Clone) -> dict[str, str]:
    """Region -> path of its service in the platform's REST."""
    project = project_of(clone)
    return {
        region["name"]: (
            f"v2/projects/{project}/locations/{region['name']}/services/meridian-stream"
        )
        for region in clone.world()["regions"]
    }


def project_of(clone: Clone) -> str:
    """The project that the local catalogue names."""
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    content: Json = yaml.safe_load(file.read_text())
    return str(content["project"])


def wait_for_instances(clone: Clone, count: int, seconds: float) -> bool:
    """Whether every region has exactly `count` ready instances within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(r["instances"] == count for r in clone.world()["regions"]):
            return True
        time.sleep(0.5)
    return False
