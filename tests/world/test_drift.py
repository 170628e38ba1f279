"""What was changed by hand is found; what has an owner at run time is left alone."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import yaml

from tests.world.conftest import Clone

PROJECT = "projects/meridian-local/locations"
SERVICE = f"run.googleapis.com/v2/{PROJECT}/us-east1/services/meridian-stream"
CACHE = f"redis.googleapis.com/v1/{PROJECT}/us-west1/instances/meridian-us-west1"


def patch(clone: Clone, path: str, field: str, body: dict[str, Any]) -> None:
    """Change a resource behind Pulumi's back, as the console would."""
    world = yaml.safe_load((clone.root / ".meridian/world/world.json").read_text())
    request = urllib.request.Request(
        f"http://{world['network']}.1:4000/{path}?updateMask={field}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


def test_nothing_drifts_after_an_up(clone: Clone) -> None:
    answer = clone.json("drift")
    assert answer["drifted"] == []
    assert (answer["slices"], answer["resources"] > 380) == (17, True)


def test_a_field_changed_by_hand_is_found_with_both_values(clone: Clone) -> None:
    size = {"memorySizeGb": 3}
    patch(clone, CACHE, "memorySizeGb", size)
    try:
        done = clone.run("drift", "--json", code=4)
        (drifted,) = json.loads(done.stdout)["drifted"]
        assert (drifted["slice"], drifted["what"]) == ("us-west1", "changed")
        assert drifted["fields"] == [{"path": "memorySizeGb", "applied": 1, "found": 3}]
    finally:
        patch(clone, CACHE, "memorySizeGb", {"memorySizeGb": 1})
    assert clone.json("drift")["drifted"] == []


@pytest.fixture
def burst_owned(clone: Clone) -> Any:
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    file.write_text(text.replace("scaling_owner: pulumi", "scaling_owner: burst"))
    clone.run("up")
    yield
    file.write_text(text)
    clone.run("up")


def test_an_up_in_mid_event_leaves_the_scalers_minimum(
    clone: Clone, burst_owned: None
) -> None:
    def instances() -> int:
        regions = {r["name"]: r for r in clone.json("status")["regions"]}
        return regions["us-east1"]["instances"]

    minimum = {"scaling": {"minInstanceCount": 2}}
    patch(clone, SERVICE, "scaling.minInstanceCount", minimum)
    clone.wait(lambda: instances() == 2)
    assert clone.json("drift")["drifted"] == []
    clone.run("up")
    assert instances() == 2
    patch(
        clone, SERVICE, "scaling.minInstanceCount", {"scaling": {"minInstanceCount": 1}}
    )
    clone.wait(lambda: instances() == 1)
