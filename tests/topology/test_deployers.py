"""The owner of one region cannot write what is another's."""

from itertools import permutations

import pytest

from topology import Catalogue, load, names, slices
from topology.deployers import (
    ACCOUNT_LENGTH,
    Deployer,
    deployers,
    shared,
    state_bucket,
    state_objects,
)

ENVIRONMENTS = ["prod", "staging", "local"]


def cells(catalogue: Catalogue) -> list[Deployer]:
    return [d for d in deployers(catalogue) if d.piece.region]


def may_write(deployer: Deployer, service: str, resource: str) -> bool:
    """By grants that have a condition; the others are listed by `shared`."""
    return any(
        grant.writes and grant.service and grant.reaches(service, resource)
        for grant in deployer.grants
    )


def own(catalogue: Catalogue, region: str) -> list[tuple[str, str]]:
    """A region's resources in the services that take conditions."""
    project = catalogue.project_of("cells", region)
    prefix, number = catalogue.prefix, catalogue.project_number
    server = names.database(prefix, region, catalogue.database.generation)
    bucket = names.bucket(project, region)
    secret = names.secret(prefix, region, "admin")
    subnet = f"regions/{region}/subnetworks/{names.regional(prefix, region)}"
    return [
        ("sqladmin.googleapis.com", f"projects/{project}/instances/{server}"),
        ("storage.googleapis.com", f"projects/_/buckets/{bucket}/objects/a"),
        ("secretmanager.googleapis.com", f"projects/{number}/secrets/{secret}"),
        ("compute.googleapis.com", f"projects/{project}/{subnet}"),
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_cells_owner_writes_its_own_and_no_others(environment: str) -> None:
    catalogue = load(environment)
    for deployer in cells(catalogue):
        region = str(deployer.piece.region)
        for service, resource in own(catalogue, region):
            assert may_write(deployer, service, resource), resource
    for one, other in permutations(cells(catalogue), 2):
        for service, resource in own(catalogue, str(other.piece.region)):
            assert not may_write(one, service, resource), (one.account, resource)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_owner_writes_anothers_state(environment: str) -> None:
    catalogue = load(environment)
    every = deployers(catalogue)
    for one in every:
        for other in every:
            for start in state_objects(catalogue, other.piece):
                written = may_write(one, "storage.googleapis.com", f"{start}json")
                assert written is (one is other), (one.account, start)


def test_an_owner_reads_the_states_that_its_slice_reads_and_no_more() -> None:
    catalogue = load("prod")
    everything = slices.sliced(catalogue)
    for deployer in deployers(catalogue):
        read = set(slices.producers(catalogue, deployer.piece)) | {deployer.piece}
        for piece in everything:
            state = f"{state_objects(catalogue, piece)[0]}json"
            reaches = any(
                g.service and g.reaches("storage.googleapis.com", state)
                for g in deployer.grants
            )
            assert reaches is (piece in read), (deployer.account, piece.name)


def test_a_region_whose_name_goes_on_is_another() -> None:
    catalogue = load("prod")
    west = next(d for d in cells(catalogue) if d.piece.region == "us-west1")
    longer = state_objects(catalogue, slices.cell("us-west10"))[0]
    assert not may_write(west, "storage.googleapis.com", f"{longer}json")


def test_what_no_condition_can_part_is_said() -> None:
    assert "roles/run.admin" in shared(load("prod"))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_accounts_have_names_of_their_own_that_google_takes(environment: str) -> None:
    accounts = [d.account for d in deployers(load(environment))]
    assert len(set(accounts)) == len(accounts)
    assert all(6 <= len(name) <= ACCOUNT_LENGTH for name in accounts)
    assert state_bucket(load(environment)).endswith("-pulumi-state")
