"""The disk of a primary is full, a round of two kinds; ten by `disk_full` itself."""

import pytest

from tests.service.disk_full import LIMITS, REFUSED, REGIONS, Round, told
from tests.service.servers import init_postgres
from tests.service.small_disk import SEGMENT, SmallDiskWorld, refusal

pytestmark = pytest.mark.skipif(
    bool(refusal()), reason=f"no tmpfs in a user namespace: {refusal()}"
)


@pytest.fixture(scope="module")
def own(tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("small")
    init_postgres(folder / "cluster", SEGMENT)
    made = SmallDiskWorld(folder, template, folder / "cluster", REGIONS, LIMITS)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["data", "log"])
async def test_a_full_disk_loses_and_doubles_nothing(own, kind):
    await own.ready()
    one = await Round(own, kind).run()
    assert one.sound, told(1, one)
    assert one.refused.total() >= REFUSED
    assert one.ended is (kind == "log")
    assert one.kept >= one.acknowledged and len(one.acknowledged) > REFUSED
