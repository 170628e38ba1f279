"""Instances that are told to end: three rounds; a hundred by `drain` itself."""

from tests.service.drain import MOST_SECONDS, Drain


async def test_an_instance_ends_without_a_failed_call_or_a_lost_match(world):
    drain = Drain(world.regions["asia"])
    await drain.run(3)
    assert drain.calls > 50 and drain.failed == []
    assert sorted(drain.heard) == sorted(drain.written)
    assert drain.written and max(drain.seconds) < MOST_SECONDS
