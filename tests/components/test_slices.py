"""The sliced layout declares what the whole one does, and its seams hold."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import recording
from recording import Registration

from stacks import upstream
from stacks.environment import InputError
from topology import load, make_plan, slices
from topology.revision import revision

ENVIRONMENTS = ["prod", "local"]


def identity(registration: Registration) -> str:
    """Type, component path, name and inputs; no project, no stack, no provider."""
    path = registration.urn.split("::", 2)[2]
    return f"{path} {json.dumps(registration.inputs, sort_keys=True, default=repr)}"


def is_declared(registration: Registration) -> bool:
    return not registration.token.startswith("pulumi:")


def record_all(
    environment: str, folder: Path
) -> Iterator[tuple[slices.Slice, list[Registration]]]:
    """Every slice in order; each reads what those before it would publish."""
    for piece in slices.sliced(load(environment)):
        monitor = recording.RecordingMonitor()
        registrations = recording.record_slice(piece, environment, monitor=monitor)
        (folder / f"{piece.name}.json").write_text(json.dumps(monitor.exports))
        yield piece, registrations


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_slices_together_are_the_whole(
    environment: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = [r for r in request.getfixturevalue(environment) if is_declared(r)]
    monkeypatch.setenv(upstream.PLANNED, str(tmp_path))
    pieces = dict(record_all(environment, tmp_path))
    parts = [r for found in pieces.values() for r in found if is_declared(r)]
    assert Counter(map(identity, parts)) == Counter(map(identity, whole))
    assert len(pieces) == 2 + len(load(environment).regions)


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(upstream.PLANNED, str(tmp_path))
    return tmp_path


def test_a_slice_that_nobody_previewed_is_named(planned: Path) -> None:
    with pytest.raises(InputError, match=r"foundation: no preview of it was made"):
        recording.record_slice(slices.cell("us-central1"), "local")


def test_a_contract_of_another_version_is_refused(planned: Path) -> None:
    (planned / "foundation.json").write_text('{"contract": 99, "network": "n"}')
    with pytest.raises(InputError, match=r"exports contract 99, this program reads 1"):
        recording.record_slice(slices.cell("us-central1"), "local")


def test_an_output_that_is_missing_names_those_there_are(planned: Path) -> None:
    (planned / "foundation.json").write_text('{"contract": 1, "netwerk": "n"}')
    with pytest.raises(InputError, match=r"available: contract, netwerk"):
        recording.record_slice(slices.cell("us-central1"), "local")


def test_planned_values_are_not_for_an_up(planned: Path) -> None:
    with pytest.raises(Exception, match=r"planned values are for previews"):
        recording.record_slice(slices.EDGE, "local", preview=False)


def test_a_stack_of_an_unknown_region_says_which_there_are(planned: Path) -> None:
    with pytest.raises(InputError, match=r"region 'mars' is not in the catalogue"):
        recording.record_slice(slices.cell("mars"), "local")


def test_the_edge_refuses_a_stale_cell(
    planned: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(list(record_all("local", planned))) == 17
    file = planned / "us-east1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"revision": "old"}))
    recording.record_slice(slices.EDGE, "local")
    assert "us-east1 (applied from old" in caplog.text


def test_a_revision_follows_its_cell_and_nothing_else() -> None:
    plan = make_plan(load("local"))
    catalogue = plan.catalogue
    east = catalogue.regions["us-east1"]
    grown = dataclasses.replace(east, min_instances=3)
    changed = make_plan(
        dataclasses.replace(catalogue, regions={**catalogue.regions, "us-east1": grown})
    )
    differs = [r for r in plan.regions if revision(plan, r) != revision(changed, r)]
    # The hub's count of connections is no part of what it declares.
    assert differs == ["us-east1"]
    fewer = {n: r for n, r in catalogue.regions.items() if n != "us-west1"}
    smaller = make_plan(dataclasses.replace(catalogue, regions=fewer))
    assert revision(plan, "us-east1") == revision(smaller, "us-east1")
