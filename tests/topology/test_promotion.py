"""A hub is lost: the catalogue in which a replica leads its log."""

import shutil
from pathlib import Path

import pytest
from bad_input import FILE, complaint, edited

from ops import promote
from ops.errors import CommandError
from topology import load, make_plan
from topology.reader import CATALOGUES


@pytest.fixture
def catalogues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that an edit may change."""
    folder = tmp_path / "catalogue"
    shutil.copytree(CATALOGUES, folder)
    monkeypatch.setattr(promote, "CATALOGUES", folder)
    return folder


@pytest.mark.parametrize("environment", ["local", "prod"])
def test_a_replica_takes_its_hubs_place_and_nothing_else_changes(
    catalogues: Path, environment: str
) -> None:
    before = make_plan(load(environment))
    done = promote.promote(environment, "europe-west3", write=True)
    assert (done.lost, done.origin) == ("europe-west1", "europe-west1")
    after = make_plan(load(environment, catalogues))
    assert set(after.hubs) - set(before.hubs) == {"europe-west3"}
    assert sorted(after.origins) == sorted(before.origins)
    new, old = after.regions["europe-west3"], before.regions["europe-west3"]
    assert (new.origin, new.database.role) == ("europe-west1", "primary")
    assert new.database.instance == old.database.instance
    assert after.regions["europe-west1"].serving is False
    copies = {n for n, r in before.regions.items() if r.hub == "europe-west1"}
    for name in copies - {"europe-west3"}:
        region = after.regions[name]
        assert (region.hub, region.origin) == ("europe-west3", "europe-west1")
        assert region.database.replica_of == "europe-west3"
        assert region.database.instance != before.regions[name].database.instance
        assert name in done.rebuilt
    for name, region in before.regions.items():
        # Who has it lost no more than its role: addresses and warm instances stay.
        assert after.regions[name].subnet == region.subnet
        assert after.regions[name].instances == region.instances
        if name not in copies:
            assert after.regions[name].database == region.database


def test_the_log_of_a_hub_that_was_lost_twice_is_led_under_its_name(
    catalogues: Path,
) -> None:
    promote.promote("local", "europe-west3", write=True)
    promote.promote("local", "europe-west2", write=True)
    regions = make_plan(load("local", catalogues)).regions
    assert regions["europe-west2"].origin == "europe-west1"
    assert regions["europe-west3"].database.role == "replica"
    assert {r.origin for r in regions.values() if r.hub == "europe-west2"} == {
        "europe-west1"
    }


def test_a_dry_run_changes_nothing(catalogues: Path) -> None:
    before = (catalogues / "local.yaml").read_text()
    done = promote.promote("local", "europe-west3", write=False)
    assert "+    origin: europe-west1" in done.diff
    assert (catalogues / "local.yaml").read_text() == before


@pytest.mark.parametrize(
    ("region", "why"),
    [
        ("us-central1", "it holds a primary; replicas of local: us-east1, "),
        ("mars-north1", "it is no region of it; replicas of local: us-east1, "),
    ],
)
def test_what_has_no_replica_is_not_promoted(region: str, why: str) -> None:
    with pytest.raises(CommandError, match=why) as raised:
        promote.promote("local", region, write=True)
    assert str(raised.value).startswith(f"promote {region}: ")


HUB = "  europe-west1:\n    tier: hub\n"


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        (
            "us-central1",
            "us-central1 given, but us-central1 leads that log already: name a hub "
            "that was lost, or delete the key.",
        ),
        (
            "europe-west9000",
            "europe-west9000 is no region of Google Cloud: did you mean europe-west",
        ),
    ],
)
def test_a_log_has_one_leader(origin: str, why: str) -> None:
    text, line = edited(HUB, f"{HUB}    origin: {origin}\n")
    assert complaint(text).startswith(
        f"{FILE}:{line + 2}: regions.europe-west1.origin: {why}"
    )


def test_only_a_hub_leads_a_log() -> None:
    regional = "  us-east1:\n    tier: regional\n"
    text, line = edited(regional, f"{regional}    origin: us-west2\n")
    assert complaint(text) == (
        f"{FILE}:{line + 2}: regions.us-east1.origin: us-west2 given, but us-east1 "
        "holds no primary: delete the key, or make the region a hub."
    )
