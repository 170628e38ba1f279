"""What an owner of persistent streams does when its home does not answer."""

import asyncio

import pytest

from service.log.change import Position
from service.stream import keeper as module
from service.stream.homes import away
from service.stream.keeper import Keeper
from service.stream.kept import Kept, Stored, new_id


class Homes:
    """A home that answers, or is away."""

    own, every = "asia", ("asia",)

    def __init__(self):
        self.here = True
        self.asked = []

    async def ask(self, home, question, params):
        self.asked.append(question)
        if not self.here:
            raise away(home, "test")
        if question == "keep":
            return [{"id": i, "kept": True, "epoch": 1} for i in params[0]]
        return []


class Owner:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def acked(self, stream, token):
        self.told.append("acked")

    def lost(self, stream, code, reason):
        self.told.append(code)

    def reached(self, stream):
        return {"asia": Position(1, 9)}


class Stream:
    lane = 0


def kept():
    stored = Stored(
        collection="c", born=0, definition_version=1, vector="", threshold=0.5
    )
    return Kept(new_id("asia"), "t", "me", stored, 1, defined=1)


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.02)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(module, "OWNER_SECONDS", 0.3)


async def test_an_owner_that_cannot_renew_stops(fast):
    homes, owner, one = Homes(), Owner(), kept()
    keeper = Keeper(homes)
    keeper.hold(Stream(), one, owner)
    await asyncio.sleep(0.4)
    assert "home_away" not in owner.told, "it was renewed"
    homes.here = False
    await asyncio.sleep(0.2)
    assert "home_away" not in owner.told, "a home may restart"
    await asyncio.sleep(0.3)
    assert owner.told.count("home_away") == 1
    homes.here, homes.asked = True, []
    await asyncio.sleep(0.2)
    assert homes.asked == [], "what is lost is renewed no more"


async def test_without_streams_nothing_runs(fast):
    homes, one = Homes(), kept()
    keeper = Keeper(homes)
    await asyncio.sleep(0.1)
    assert homes.asked == []
    keeper.hold(Stream(), one, Owner())
    one.acknowledge({"asia": Position(1, 3)})
    keeper.release(one)
    await asyncio.sleep(0.1)
    assert homes.asked[0] == "keep", "the last acknowledgement is told at once"
    homes.asked = []
    await asyncio.sleep(0.1)
    assert homes.asked == []


def test_acknowledgements_only_add_up():
    one = kept()
    one.acknowledge({"asia": Position(1, 5), "europe": Position(2, 1)})
    one.acknowledge({"asia": Position(1, 3), "europe": Position(2, 7)})
    assert one.acked == {"asia": Position(1, 5), "europe": Position(2, 7)}
    one.told = {"asia": Position(1, 5)}
    assert one.quiet
    one.told = {"asia": Position(1, 6)}
    assert not one.quiet
