"""A fresh clone without login: plain `pulumi` and `meridian preview` of production."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.world.conftest import Clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone.make(tmp_path_factory.mktemp("offline"))
    for line in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *line], cwd=made.root, check=True)
    commit = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "commit",
        "-qm",
        "x",
    ]
    subprocess.run(["git", *commit], cwd=made.root, check=True)
    return made


def test_plain_pulumi_previews_production_and_leaves_the_clone_clean(
    clone: Clone,
) -> None:
    output = clone.pulumi("preview")
    assert "offline: Meridian's local provider answers" in output
    assert output.count("meridian:index:RegionalCell") >= 15
    status = ["git", "status", "--porcelain"]
    done = subprocess.run(
        status, cwd=clone.root, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""


def test_production_has_fifteen_cells_and_all_its_types(clone: Clone) -> None:
    preview = clone.json("preview", "--env", "prod")
    counts = Counter(step["type"] for step in preview["steps"])
    assert preview["provider"] == "local"
    assert counts["meridian:index:RegionalCell"] == 15
    assert counts["meridian:index:GlobalLB"] == 1
    for kind in (
        "gcp:cloudrunv2/workerPool:WorkerPool",
        "gcp:redis/instance:Instance",
        "gcp:sql/databaseInstance:DatabaseInstance",
        "gcp:secretmanager/secret:Secret",
    ):
        assert counts[kind] == 15, kind
    # One for HTTP and WebSocket, one for gRPC.
    for kind in (
        "gcp:cloudrunv2/service:Service",
        "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup",
    ):
        assert counts[kind] == 2 * 15, kind
    for kind in (
        "gcp:compute/securityPolicy:SecurityPolicy",
        "gcp:certificatemanager/certificateMap:CertificateMap",
        "gcp:billing/budget:Budget",
        "gcp:monitoring/dashboard:Dashboard",
    ):
        assert counts[kind] == 1, kind
    assert counts["gcp:compute/backendService:BackendService"] == 3
    assert counts["gcp:compute/uRLMap:URLMap"] == 2
    assert counts["gcp:monitoring/alertPolicy:AlertPolicy"] == 6
    assert set(preview["summary"]) == {"create"}


def test_the_first_line_of_a_preview_says_offline(clone: Clone) -> None:
    output = clone.run("preview", "--env", "prod").stdout
    assert output.splitlines()[0] == "offline, local provider"


def test_nothing_of_production_can_be_applied_offline(clone: Clone) -> None:
    with pytest.raises(AssertionError, match="findings of level error"):
        clone.pulumi("up", "--yes")


def test_the_local_provider_is_on_no_path_unless_asked(clone: Clone) -> None:
    folder = str(clone.root / ".meridian" / "plugins")
    assert folder not in clone.run("env").stdout
    assert folder in clone.run("env", "--offline").stdout


BAD = {
    "typo": ("  concurrency: 100", "  concurency: 100", "did you mean"),
    "too many requests": ("  concurrency: 100", "  concurrency: 5000", "1,000"),
    "empty": (None, "", "empty"),
    "not yaml": (None, "a: [1", "line"),
}


@pytest.mark.parametrize("what", sorted(BAD))
@pytest.mark.parametrize("command", ["up", "plan"])
def test_a_bad_catalogue_stops_everything_with_code_2(
    clone: Clone, what: str, command: str
) -> None:
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    old, new, said = BAD[what]
    try:
        file.write_text(text.replace(old, new, 1) if old else new)
        words = [command] if command == "up" else [command, "--env", "local"]
        done = clone.run(*words, code=2)
        assert "stacks/catalogue/local.yaml" in done.stderr
        assert said.lower() in done.stderr.lower()
        assert not (Path(clone.root) / ".meridian/world/state").exists()
    finally:
        file.write_text(text)
