"""An `up` in the middle of an event keeps what run time owns: by the real engine.

The engine puts the last known value in the place of an ignored one, and the provider
sends the whole resource: so an `up` must look first (`--refresh`), or it would send the
value from before the event.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from localcloud.world import open_world
from tests.world.conftest import Clone

RUN = "run.googleapis.com/v2/projects/meridian-local/locations/us-east1"
SQL = "sqladmin.googleapis.com/v1/projects/meridian-local/instances"
SERVICE = f"{RUN}/services/meridian-stream"
SERVER = f"{SQL}/meridian-us-east1-g1"


def call(base: str, path: str, change: Any = None) -> Any:
    body = None if change is None else json.dumps(change).encode()
    request = urllib.request.Request(
        f"{base}/{path}",
        data=body,
        method="GET" if body is None else "PATCH",
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_an_up_in_mid_event_keeps_minimum_and_grown_disk(
    clone: Clone,
) -> None:
    base = open_world(clone.root).control
    before = call(base, SERVER)["settings"]["dataDiskSizeGb"]
    minimum = call(base, SERVICE)["scaling"]["minInstanceCount"]
    call(
        base,
        f"{SERVICE}?updateMask=scaling.minInstanceCount",
        {"scaling": {"minInstanceCount": minimum + 1}},
    )
    call(
        base,
        f"{SERVER}?updateMask=settings.dataDiskSizeGb",
        {"settings": {"dataDiskSizeGb": before + 7}},
    )

    file = clone.root / "stacks" / "catalogue" / "local.yaml"
    text = file.read_text()
    text = text.replace("scaling_owner: pulumi", "scaling_owner: burst")
    text = text.replace(
        "request_timeout_seconds: 3600", "request_timeout_seconds: 1800"
    )
    file.write_text(text)
    clone.run("up")

    service, server = call(base, SERVICE), call(base, SERVER)
    assert service["template"]["timeout"] == "1800s", "the up changed what it should"
    assert service["scaling"]["minInstanceCount"] == minimum + 1
    assert server["settings"]["dataDiskSizeGb"] == before + 7
