"""An instance with graphs: its settings, its answers, what it loads."""

import asyncio
import subprocess
import sys

import pytest

from service.settings import Settings
from tests.service.asking import fresh, scraped
from tests.service.drivers import Http
from tests.service.kernel_build import vectors
from tests.service.servers import ROOT

DIMENSION = 32


def test_the_graph_library_is_not_loaded_before_there_is_a_graph():
    code = "import sys, service.stream.server; sys.exit('usearch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "value"), [("MERIDIAN_GRAPH", "yes"), ("MERIDIAN_GRAPH_MIB", "-1")]
)
def test_settings_that_are_not_understood_are_named(running, name, value):
    environment = running.regions["asia"].environment("stream")
    known = Settings.from_environment(environment | {"MERIDIAN_GRAPH_MIB": "12"})
    assert (known.graph, known.graph_mib) == ("auto", 12)
    with pytest.raises(SystemExit, match=name):
        Settings.from_environment(environment | {name: value})


async def test_an_instance_answers_by_its_graph(world):
    region = world.regions["asia"]
    port = region.second_instance(MERIDIAN_GRAPH="always")["port"]
    driver, name = Http(region), fresh()
    driver.url = f"http://127.0.0.1:{port}"
    await driver.call("create_collection", name=name, dimension=DIMENSION)
    rows = vectors(11, 300, DIMENSION, "unit")
    for at in (0, 150):
        items = [
            {"id": str(n), "vector": rows[n].tolist()} for n in range(at, at + 150)
        ]
        token = (await driver.call("upsert", collection=name, items=items))["token"]
    late = {"consistency": "read_your_writes", "token": token}
    vector = rows[42].tolist()
    for _ in range(200):
        answer = await driver.call("search", collection=name, vector=vector, **late)
        assert answer["hits"][0]["id"] == "42" and len(answer["hits"]) == 10
        found = await scraped(driver.url + "/metrics")
        if found.get('meridian_searches_total{path="graph"}', 0) > 0:
            break
        await asyncio.sleep(0.05)
    assert found['meridian_searches_total{path="graph"}'] > 0
    assert found["meridian_graph_build_seconds_total"] > 0
    gone = await driver.call("delete", collection=name, items=[{"id": "42"}])
    late["token"] = gone["token"]
    again = await driver.call("search", collection=name, vector=vector, **late)
    assert "42" not in [hit["id"] for hit in again["hits"]]
    await driver.close()
