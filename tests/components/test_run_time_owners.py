"""Fields that change at run time have an owner, and Pulumi looks away from them."""

import dataclasses

import pytest
from recording import Declare, Registration

import stacks.cell
from components import regional_cell
from components.regional_cell import ImageOwner
from topology import Catalogue, ScalingOwner


def of(world: list[Registration], token: str) -> list[Registration]:
    found = [r for r in world if r.token == f"gcp:{token}"]
    assert found, token
    return found


def services(world: list[Registration], end: str = "-service") -> list[Registration]:
    found = of(world, "cloudrunv2/service:Service")
    return [service for service in found if service.name.endswith(end)]


def test_a_burst_scaler_keeps_its_minimum_over_an_up(
    prod: list[Registration], declare: Declare, small: Catalogue
) -> None:
    assert {s.ignore_changes for s in services(prod)} == {("scaling.minInstanceCount",)}
    assert {s.ignore_changes for s in services(prod, "-grpc")} == {()}
    owned = dataclasses.replace(small, scaling_owner=ScalingOwner.PULUMI)
    assert {s.ignore_changes for s in services(declare(owned))} == {()}


def test_a_release_keeps_its_image_and_traffic_over_an_up(
    declare: Declare, small: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = regional_cell.RegionalCellArgs
    monkeypatch.setattr(
        stacks.cell,
        "RegionalCellArgs",
        lambda **given: original(**given, image_owner=ImageOwner.DELIVERY),
    )
    world = declare(dataclasses.replace(small, scaling_owner=ScalingOwner.BURST))
    image = "template.containers[0].image"
    owned = ("scaling.minInstanceCount", image, "traffics", "client", "clientVersion")
    assert {s.ignore_changes for s in services(world)} == {owned}
    assert {s.ignore_changes for s in services(world, "-grpc")} == {()}
    assert {
        w.ignore_changes for w in of(world, "cloudrunv2/workerPool:WorkerPool")
    } == {()}


def test_a_disk_that_grew_is_not_shrunk(prod: list[Registration]) -> None:
    servers = of(prod, "sql/databaseInstance:DatabaseInstance")
    assert {s.ignore_changes for s in servers} == {("settings.diskSize",)}
    assert all(s.inputs["settings"]["diskAutoresize"] is True for s in servers)


def test_nothing_else_is_looked_away_from(prod: list[Registration]) -> None:
    """A field without another owner must not drift unseen."""
    silent = {r.token.split(":")[1] for r in prod if r.ignore_changes}
    assert silent == {"cloudrunv2/service", "sql/databaseInstance"}
