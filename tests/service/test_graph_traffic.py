"""A graph that an instance builds by itself, while it is written to and searched."""

from service.stream.choice import RECALL
from service.stream.recall import interval
from tests.service.graph_traffic import Traffic

ROWS = 5600
"""2 million components and more: searches wait for their turn, as large ones do."""


async def test_a_graph_is_built_under_traffic_and_no_answer_is_wrong(world):
    region = world.regions["asia"]
    made = region.second_instance(MERIDIAN_GRAPH="always")
    traffic = Traffic(region, made["port"], ROWS)
    await traffic.fill()
    seen = await traffic.run(after=300, limit=60)
    assert traffic.failed == [] and traffic.wrong == []
    assert min(traffic.checked.values()) >= 20
    assert seen["meridian_graph_rows"] > ROWS / 2
    # Before it answered the kernel did, of the same rows.
    assert traffic.seconds["building"]
    for phase in ("building", "built"):
        found, wanted = traffic.found[phase]
        # Surely below what is promised it may not be; a miss or two are chance.
        assert wanted >= 300 and interval(found, wanted)[1] >= RECALL, traffic.found
