"""Once Cloud Deploy owns the services' image, an `up` rolls nothing out and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ops.engine import plugin_folder
from tests.world.conftest import FEW, ROOT, shortened
from tools import toolchain

PROJECT = """
name: meridian
runtime: python
config:
  pulumi:disable-default-providers:
    value: ["*"]
"""
PROGRAM = f"""
import runpy
import sys

sys.path.insert(0, {str(ROOT)!r})
import stacks.cell
from components.regional_cell import ImageOwner, RegionalCellArgs

stacks.cell.RegionalCellArgs = lambda **given: RegionalCellArgs(
    **given, image_owner=ImageOwner.DELIVERY
)
runpy.run_path({str(ROOT / "stacks/world/__main__.py")!r}, run_name="__main__")
"""
RELEASED, STALE = (f"sha256:{letter * 64}" for letter in "ab")


def pulumi(folder: Path, *words: str) -> str:
    path = [toolchain.engine_folder(), Path(sys.executable).parent, plugin_folder()]
    values = {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_CHECKPOINTS": "true",
        "MERIDIAN_SCRATCH": "1",
        "MERIDIAN_CATALOGUES": str(folder),
    }
    done = subprocess.run(
        ["pulumi", *words, "--non-interactive"],
        cwd=folder,
        env=values,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_another_digest_changes_no_service_that_releases_own(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "__main__.py").write_text(PROGRAM)
    catalogue = (ROOT / "stacks" / "catalogue" / "local.yaml").read_text()
    (tmp_path / "local.yaml").write_text(shortened(catalogue))
    pulumi(tmp_path, "stack", "init", "local")
    pulumi(tmp_path, "config", "set", "meridian:imageDigest", RELEASED)
    pulumi(tmp_path, "up", "--yes", "--skip-preview", "-s", "local")

    pulumi(tmp_path, "config", "set", "meridian:imageDigest", STALE)
    found = json.loads(pulumi(tmp_path, "preview", "-s", "local", "--json"))
    changed = Counter(
        (step["op"], step["newState"]["type"], step["urn"].rpartition("-")[2])
        for step in found["steps"]
        if step["op"] != "same"
    )
    # Those stay with Pulumi: their image is rolled out as the catalogue says.
    assert changed == {
        ("update", "gcp:cloudrunv2/workerPool:WorkerPool", "workers"): len(FEW),
        ("update", "gcp:cloudrunv2/service:Service", "grpc"): len(FEW),
    }
