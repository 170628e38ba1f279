"""Projects of other people that use the components as a package, by the engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ops.engine import plugin_folder
from tests.world.conftest import ROOT
from tools import toolchain

OFFICIAL = toolchain.engine_folder().parent != toolchain.cache() / "tools"
"""Whether the engine is an installed one; ours cannot add packages."""


class Bench:
    """The examples in a folder of their own, beside the components."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / "examples", root / "examples")
        (root / "components").symlink_to(ROOT / "components")
        (root / "state").mkdir()

    def pulumi(self, example: str, *words: str) -> str:
        folders = [toolchain.engine_folder(), Path(sys.executable).parent]
        path = [*map(str, folders), str(plugin_folder()), os.environ["PATH"]]
        values = {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "PULUMI_HOME": str(self.root / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.root / "examples" / example,
            env=values,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def preview(self, example: str) -> Counter[str]:
        """Types of what a preview would make."""
        self.pulumi(example, "stack", "init", "test")
        found = json.loads(self.pulumi(example, "preview", "-s", "test", "--json"))
        return Counter(step["newState"]["type"] for step in found["steps"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_second_python_project_uses_the_package(bench: Bench) -> None:
    assert bench.preview("python-consumer") == {
        "pulumi:pulumi:Stack": 1,
        "pulumi:providers:gcp": 1,
        "meridian:index:Network": 1,
        "meridian:index:CacheTier": 1,
        "meridian:index:Vault": 1,
        "gcp:compute/network:Network": 1,
        "gcp:compute/globalAddress:GlobalAddress": 1,
        "gcp:servicenetworking/connection:Connection": 1,
        "gcp:redis/instance:Instance": 1,
        "gcp:serviceaccount/account:Account": 1,
        "gcp:storage/bucket:Bucket": 1,
        "gcp:storage/bucketIAMMember:BucketIAMMember": 2,
        "gcp:secretmanager/secret:Secret": 1,
        "gcp:secretmanager/secretIamMember:SecretIamMember": 1,
    }


def test_a_program_without_code_uses_the_package(bench: Bench) -> None:
    if not (toolchain.engine_folder() / "pulumi-language-yaml").exists():
        pytest.skip("no YAML language host beside the engine: run `make setup`")
    assert bench.preview("yaml") == {
        "pulumi:pulumi:Stack": 1,
        "meridian:index:Network": 1,
        "meridian:index:CacheTier": 1,
        "gcp:compute/network:Network": 1,
        "gcp:compute/globalAddress:GlobalAddress": 1,
        "gcp:servicenetworking/connection:Connection": 1,
        "gcp:redis/instance:Instance": 1,
    }


def test_an_argument_that_is_wrong_is_named(bench: Bench) -> None:
    program = bench.root / "examples" / "yaml" / "Pulumi.yaml"
    text = program.read_text()
    program.write_text(text.replace("memoryGib: 5", "memoryGip: 5"))
    with pytest.raises(AssertionError, match="memoryGi[bp]"):
        bench.preview("yaml")


def test_the_package_can_be_added(bench: Bench) -> None:
    if not OFFICIAL:
        pytest.skip("`pulumi package add` needs an official Pulumi CLI on PATH")
    bench.pulumi("python-consumer", "package", "add", "../../components")
    assert list((bench.root / "examples" / "python-consumer" / "sdks").iterdir())
