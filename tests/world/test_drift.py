"""What was changed by hand is found; what has an owner at run time is left alone."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from localcloud.world import open_world
from tests.world.conftest import FEW, Clone

PROJECT = "projects/meridian-local/locations"
SERVICE = f"run.googleapis.com/v2/{PROJECT}/us-east1/services/meridian-stream"
SERVER = (
    "sqladmin.googleapis.com/v1/projects/meridian-local/instances/meridian-us-east1-g1"
)
CACHE = f"redis.googleapis.com/v1/{PROJECT}/us-west1/instances/meridian-us-west1"


def found(clone: Clone, path: str) -> Any:
    """What the cloud says of a resource."""
    url = f"{open_world(clone.root).control}/{path}"
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def patch(clone: Clone, path: str, field: str, body: dict[str, Any]) -> None:
    """Change a resource behind Pulumi's back, as the console would."""
    request = urllib.request.Request(
        f"{open_world(clone.root).control}/{path}?updateMask={field}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


@pytest.fixture(scope="module")
def clone(few: Clone) -> Clone:
    return few


def test_nothing_drifts_after_an_up(clone: Clone) -> None:
    answer = clone.json("drift")
    assert answer["drifted"] == []
    assert answer["slices"] == len(FEW) + 2
    assert answer["resources"] > 20 * len(FEW)


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


def test_an_up_in_mid_event_keeps_minimum_and_grown_disk(clone: Clone) -> None:
    """The engine puts the last known value in the place of an ignored one, and the
    provider sends the whole resource: so an `up` must look first (`--refresh`), or it
    would send the value from before the event.
    """
    disk = found(clone, SERVER)["settings"]["dataDiskSizeGb"]
    minimum = found(clone, SERVICE)["scaling"]["minInstanceCount"]
    scaled = {"scaling": {"minInstanceCount": minimum + 1}}
    patch(clone, SERVICE, "scaling.minInstanceCount", scaled)
    grown = {"settings": {"dataDiskSizeGb": disk + 7}}
    patch(clone, SERVER, "settings.dataDiskSizeGb", grown)
    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    text = text.replace("scaling_owner: pulumi", "scaling_owner: burst")
    timeout = "request_timeout_seconds: 3600", "request_timeout_seconds: 1800"
    file.write_text(text.replace(*timeout))
    clone.run("up")
    service, server = found(clone, SERVICE), found(clone, SERVER)
    assert service["template"]["timeout"] == "1800s", "the up changed what it should"
    assert service["scaling"]["minInstanceCount"] == minimum + 1
    assert server["settings"]["dataDiskSizeGb"] == disk + 7

    def instances() -> int:
        regions = {r["name"]: r for r in clone.json("status")["regions"]}
        return int(regions["us-east1"]["instances"])

    clone.wait(lambda: instances() == minimum + 1)
    assert clone.json("drift")["drifted"] == []
