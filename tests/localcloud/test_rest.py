"""Google's REST, as far as the platform uses it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from localcloud.control.rest import Rest
from localcloud.control.store import Row
from tests.localcloud.conftest import Plane

RUN = "/run.googleapis.com/v2/projects/p/locations/us-west1/services"
COMPUTE = "/compute.googleapis.com/compute/v1/projects/p/global/backendServices"
SERVICE = {"template": {"containers": [{"image": "i"}]}}


async def settle(plane: Plane, api: str, name: str) -> dict:
    answer = await plane.client.get(f"/{api}/{name}?wait=5")
    return await answer.json()


async def test_a_service_is_created_read_changed_and_deleted(plane: Plane) -> None:
    answer = await plane.client.post(f"{RUN}?serviceId=a", json=SERVICE)
    started = await answer.json()
    assert answer.status == 200
    assert started["name"].startswith("projects/p/locations/us-west1/operations/")
    done = await settle(plane, "run.googleapis.com", f"v2/{started['name']}")
    assert done["done"] is True
    body = await (await plane.client.get(f"{RUN}/a")).json()
    assert body["template"]["maxInstanceRequestConcurrency"] == 80
    change = {"scaling": {"minInstanceCount": 3}}
    mask = "updateMask=scaling.minInstanceCount"
    await plane.client.patch(f"{RUN}/a?{mask}", json=change)
    body = await (await plane.client.get(f"{RUN}/a")).json()
    assert body["scaling"] == {"minInstanceCount": 3}
    assert body["template"]["containers"][0]["image"] == "i", "the mask was not kept"
    gone = await (await plane.client.delete(f"{RUN}/a")).json()
    await settle(plane, "run.googleapis.com", f"v2/{gone['name']}")
    assert (await plane.client.get(f"{RUN}/a")).status == 404


async def test_a_second_resource_of_one_name_is_refused(plane: Plane) -> None:
    await plane.client.post(f"{RUN}?serviceId=a", json=SERVICE)
    answer = await plane.client.post(f"{RUN}?serviceId=a", json=SERVICE)
    assert answer.status == 409
    assert (await answer.json())["error"]["status"] == "ALREADY_EXISTS"


async def test_a_name_that_is_missing_is_a_bad_request(plane: Plane) -> None:
    answer = await plane.client.post(RUN, json=SERVICE)
    assert answer.status == 400
    assert "serviceId is missing" in (await answer.json())["error"]["message"]


async def test_compute_answers_with_its_own_operation(plane: Plane) -> None:
    answer = await plane.client.post(COMPUTE, json={"name": "b", "protocol": "HTTPS"})
    started = await answer.json()
    assert started["kind"] == "compute#operation"
    path = started["selfLink"].split("/", 3)[3]
    done = await settle(plane, "compute.googleapis.com", path)
    assert (done["status"], done["progress"]) == ("DONE", 100)
    body = await (await plane.client.get(f"{COMPUTE}/b")).json()
    assert body["kind"] == "compute#backendService"
    assert body["selfLink"].endswith("/projects/p/global/backendServices/b")


async def test_two_writers_of_one_policy_do_not_lose_a_binding(plane: Plane) -> None:
    path = "/cloudresourcemanager.googleapis.com/v1/projects/p"

    async def policy() -> dict:
        return await (await plane.client.post(f"{path}:getIamPolicy")).json()

    first, second = await policy(), await policy()
    first["bindings"] = [{"role": "r", "members": ["a"]}]
    second["bindings"] = [{"role": "r", "members": ["b"]}]
    kept = await plane.client.post(f"{path}:setIamPolicy", json={"policy": first})
    assert kept.status == 200
    stale = await plane.client.post(f"{path}:setIamPolicy", json={"policy": second})
    assert stale.status == 409
    assert (await policy())["bindings"] == [{"role": "r", "members": ["a"]}]


async def test_a_type_that_is_not_declared_is_not_found(plane: Plane) -> None:
    answer = await plane.client.get(
        "/run.googleapis.com/v2/projects/p/locations/x/jobs/j"
    )
    assert answer.status == 404


async def test_what_was_answered_is_there_after_a_restart(plane: Plane) -> None:
    await plane.client.post(f"{RUN}?serviceId=a", json=SERVICE)
    again = type(plane)(plane.folder)
    row = again.store.get("run.googleapis.com", f"v2/{RUN.split('/v2/')[1]}/a")
    assert row is not None and row.body["template"]["containers"] != []


async def test_an_operation_goes_on_after_a_restart(tmp_path: Path) -> None:
    class Slow:
        """A realiser that never ends."""

        async def ensure(self, row: Row) -> dict:
            await asyncio.sleep(3600)
            return {}

        async def remove(self, row: Row) -> None:
            await asyncio.sleep(3600)

    first = Plane(tmp_path)
    first.rest = Rest(first.store, {"gcp:cloudrunv2/service:Service": Slow()})
    async with TestClient(TestServer(first.application())) as client:
        answer = await client.post(f"{RUN}?serviceId=a", json=SERVICE)
        name = (await answer.json())["name"]
        waiting = await client.get(f"/run.googleapis.com/v2/{name}?wait=0.1")
        assert (await waiting.json())["done"] is False
    second = Plane(tmp_path)
    await second.rest.restore()
    async with TestClient(TestServer(second.application())) as client:
        answer = await client.get(f"/run.googleapis.com/v2/{name}?wait=5")
        assert (await answer.json())["done"] is True


async def test_secret_versions_are_sealed_at_rest(plane: Plane) -> None:
    import base64

    base = "/secretmanager.googleapis.com/v1/projects/p/secrets"
    await plane.client.post(
        f"{base}?secretId=s", json={"replication": {"automatic": {}}}
    )
    value = b"correct horse battery staple"
    body = {"payload": {"data": base64.b64encode(value).decode()}}
    added = await plane.client.post(f"{base}/s:addVersion", json=body)
    assert (await added.json())["name"].endswith("/versions/1")
    read = await plane.client.get(f"{base}/s/versions/latest:access")
    assert base64.b64decode((await read.json())["payload"]["data"]) == value
    plane.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in plane.folder.rglob("*"):
        if file.is_file():
            assert value not in file.read_bytes(), file
    assert "correct horse" not in repr(plane.keys)


async def test_tokens_differ_by_account_and_need_the_header(plane: Plane) -> None:
    path = "computeMetadata/v1/instance/service-accounts/default/token"
    header = {"Metadata-Flavor": "Google"}
    tokens = set()
    for account in ("a@p.iam.gserviceaccount.com", "b@p.iam.gserviceaccount.com"):
        answer = await plane.client.get(f"/identity/{account}/{path}", headers=header)
        tokens.add((await answer.json())["access_token"])
    assert len(tokens) == 2
    assert (await plane.client.get(f"/identity/a/{path}")).status == 403


async def test_what_nothing_declares_any_more_is_swept(plane: Plane) -> None:
    for name in ("a", "b"):
        await plane.client.post(f"{RUN}?serviceId={name}", json=SERVICE)
    await asyncio.sleep(0.05)
    kept = "projects/p/locations/us-west1/services/a"
    removed = await plane.rest.sweep({kept})
    assert removed == ["v2/projects/p/locations/us-west1/services/b"]
    assert (await plane.client.get(f"{RUN}/a")).status == 200
