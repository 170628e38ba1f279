"""Objects of declared buckets, as clients of Cloud Storage see them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from localcloud.control import objects
from tests.localcloud.conftest import Plane

HOST = f"/{objects.API}"
BASE = f"{HOST}/storage/v1/b"
NAME = "index/1/ü a?b/part"


@pytest.fixture
async def bucket(plane: Plane) -> Plane:
    await plane.client.post(f"{BASE}?project=p", json={"name": "b", "location": "EU"})
    return plane


async def put(plane: Plane, name: str, data: bytes, bucket: str = "b") -> int:
    answer = await plane.client.post(
        f"{HOST}/upload/storage/v1/b/{bucket}/o",
        params={"uploadType": "media", "name": name},
        data=data,
    )
    return answer.status


async def listed(plane: Plane, **query: str) -> dict:
    answer = await plane.client.get(f"{BASE}/b/o", params=query)
    assert answer.status == 200
    return dict(await answer.json())


def address(name: str) -> str:
    return f"{BASE}/b/o/{quote(name, safe='')}"


async def test_what_was_written_is_read_and_replaced(bucket: Plane) -> None:
    for data in (b"first", b"", b"\0" * 2**21):
        assert await put(bucket, NAME, data) == 200
        answer = await bucket.client.get(f"{address(NAME)}?alt=media")
        assert await answer.read() == data
        shown = await (await bucket.client.get(address(NAME))).json()
        assert (shown["name"], shown["size"]) == (NAME, str(len(data)))
    assert [o["name"] for o in (await listed(bucket))["items"]] == [NAME]


async def test_a_list_goes_by_prefix_and_pages(
    bucket: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 2)
    for name in ("a/1", "a/2", "a/3", "b/1"):
        await put(bucket, name, b"x")
    found, token = [], ""
    while True:
        more = {"pageToken": token} if token else {}
        page = await listed(bucket, prefix="a/", **more)
        found += [o["name"] for o in page["items"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert found == ["a/1", "a/2", "a/3"]


async def test_what_is_not_there_says_so(bucket: Plane) -> None:
    await put(bucket, NAME, b"x")
    assert (await bucket.client.delete(address(NAME))).status == 204
    for ask in (bucket.client.get, bucket.client.delete):
        answer = await ask(address(NAME))
        assert answer.status == 404
        assert (await answer.json())["error"]["status"] == "NOT_FOUND"
    assert await put(bucket, NAME, b"x", bucket="other") == 404


async def test_a_bucket_takes_its_objects_with_it(bucket: Plane) -> None:
    await put(bucket, NAME, b"x")
    assert (await bucket.client.delete(f"{BASE}/b")).status in (200, 204)
    await bucket.client.post(f"{BASE}?project=p", json={"name": "b", "location": "EU"})
    assert (await listed(bucket))["items"] == []
