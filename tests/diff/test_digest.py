"""The digest over plans as the engine writes them: risks, folds, formats, secrets."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.diff import digest, shown
from ops.diff.change import Change, Risk, changes
from ops.diff.fold import fold
from ops.diff.rehearsal import Rehearsal
from ops.paths import ROOT

SECRET_MARK = "4dabf18193072939515e22adb298388d"
IS_SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
REDIS = "gcp:redis/instance:Instance"
RUN = "gcp:cloudrunv2/service:Service"
MEMBER = "gcp:projects/iAMMember:IAMMember"
SCHEMA = json.loads((ROOT / "ops" / "diff" / "schema.json").read_text())


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:scratch::meridian::meridian:index:RegionalCell${token}::{name}"


def step(
    op: str,
    token: str,
    name: str,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    differs: tuple[str, ...] = (),
    because: tuple[str, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """One step in the engine's form."""
    made: dict[str, Any] = {"op": op, "urn": urn(token, name)}
    position = {"sourcePosition": "project:///home/somebody/meridian/x.py#3"}
    common = {"urn": made["urn"], "type": token, "custom": True, **position}
    if old is not None:
        made["oldState"] = {**common, "inputs": old, "outputs": old, **options}
    if new is not None:
        made["newState"] = {**common, "inputs": new, "outputs": new, **options}
    made["detailedDiff"] = {path: {"kind": "update"} for path in differs}
    made["replaceReasons"] = list(because)
    return made


def plan(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(steps)}


def one(*steps: dict[str, Any]) -> Change:
    (found,) = changes(plan(*steps))
    return found


def made(*steps: dict[str, Any]) -> dict[str, Any]:
    before = [s["oldState"] for s in steps if "oldState" in s]
    rehearsal = Rehearsal(
        base="main", head="HEAD", plan=plan(*steps), before=before, trees=(ROOT, ROOT)
    )
    return digest.digest("prod", rehearsal)


def scaled(region: str, before: int, after: int) -> dict[str, Any]:
    name = f"{region}-cache-instance"
    sizes = {"memorySizeGb": before}, {"memorySizeGb": after}
    return step("update", REDIS, name, *sizes, ("memorySizeGb",))


@pytest.mark.parametrize(
    ("given", "risk"),
    [
        (step("delete", REDIS, "us-east1-cache-instance", {}), Risk.DATA),
        (
            step(
                "replace",
                REDIS,
                "x",
                {"tier": "BASIC"},
                {"tier": "STANDARD_HA"},
                ("tier",),
                ("tier",),
            ),
            Risk.DATA,
        ),
        (
            step(
                "update",
                RUN,
                "x",
                {"deletionProtection": True},
                {"deletionProtection": False},
                ("deletionProtection",),
            ),
            Risk.PROTECTION,
        ),
        (
            step(
                "update",
                RUN,
                "x",
                {"ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"},
                {"ingress": "INGRESS_TRAFFIC_ALL"},
                ("ingress",),
            ),
            Risk.EXPOSURE,
        ),
        (step("create", MEMBER, "x", new={"role": "roles/owner"}), Risk.EXPOSURE),
        (
            step("replace", RUN, "x", {"name": "a"}, {"name": "b"}, ("name",)),
            Risk.REPLACE,
        ),
        (step("delete", RUN, "x", {}), Risk.DELETE),
        (scaled("x", 1, 2), Risk.UPDATE),
        (step("create", RUN, "x", new={}), Risk.CREATE),
    ],
)
def test_a_change_has_its_risk(given: dict[str, Any], risk: Risk) -> None:
    assert one(given).risk is risk


def test_closing_an_ingress_is_no_exposure() -> None:
    values = (
        {"ingress": "INGRESS_TRAFFIC_ALL"},
        {"ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"},
    )
    assert one(step("update", RUN, "x", *values, ("ingress",))).risk is Risk.UPDATE


def test_a_protection_that_only_the_engine_knew_is_a_change() -> None:
    same = step("same", REDIS, "x", {}, {})
    assert changes(plan(same)) == []
    (found,) = changes(plan(same), [{"urn": same["urn"], "protect": True}])
    assert (found.op, found.risk) == ("update", Risk.PROTECTION)


def test_a_replace_in_three_steps_is_one_change() -> None:
    states = {"tier": "BASIC"}, {"tier": "STANDARD_HA"}
    steps = [
        step(op, REDIS, "x", *states, ("tier",), ("tier",))
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    assert one(*steps).op == "replace"
    assert one(*steps).because == ("tier",)


def test_regions_that_change_alike_are_said_once_and_the_odd_one_named() -> None:
    regions = ["us-east1", "us-west1", "europe-west2", "asia-south1"]
    steps = [scaled(r, 128, 200 if r == "asia-south1" else 100) for r in regions]
    (folded,) = fold(changes(plan(*steps)))
    assert folded.name == "{region}-cache-instance"
    assert [(v.before, v.after) for v in folded.values] == [(128, 100)]
    text = shown.markdown(made(*steps))
    assert "memorySizeGb: 128 -> 100" in text
    assert "asia-south1 differs: memorySizeGb: 128 -> 200" in text
    assert text.count("cache-instance") == 1


def test_only_what_differs_inside_a_json_text_is_shown() -> None:
    def env(limit: int) -> dict[str, Any]:
        value = json.dumps({"limit": limit, "other": 1})
        return {"envs": [{"name": "LIMITS", "value": value}]}

    found = one(step("update", RUN, "x", env(1), env(2), ("envs[0].value",)))
    assert [(v.path, v.before, v.after) for v in found.values] == [
        ("envs[LIMITS].value:limit", 1, 2)
    ]


def test_what_is_not_known_yet_is_named() -> None:
    states = {"host": "10.0.0.1"}, {"host": UNKNOWN}
    (value,) = one(step("update", RUN, "x", *states, ("host",))).values
    assert (value.before, value.after) == ("[computed]", "[not known yet]")


def test_no_change_says_so_in_every_format() -> None:
    nothing = made(step("same", RUN, "x", {}, {}))
    assert "no change" in shown.markdown(nothing)
    assert "no change" in "\n".join(shown.lines(nothing))
    assert shown.sarif(nothing)["runs"][0]["results"] == []
    assert nothing["resources"] == 0


def formats(found: dict[str, Any]) -> dict[str, str]:
    return {
        "terminal": "\n".join(shown.lines(found)),
        "markdown": shown.markdown(found),
        "json": json.dumps(found),
        "sarif": json.dumps(shown.sarif(found)),
    }


def test_twenty_planted_secrets_and_no_path_are_in_any_format() -> None:
    planted = [f"planted-{secrets.token_hex(12)}" for _ in range(20)]
    supply = iter(planted)

    def marked() -> dict[str, Any]:
        return {SECRET_MARK: IS_SECRET, "plaintext": json.dumps(next(supply))}

    def inputs() -> dict[str, Any]:
        return {
            "secretData": next(supply),
            "nested": {"deep": {"password": next(supply), "marked": marked()}},
            "envs": [
                {"name": "API_TOKEN", "value": next(supply)},
                {"name": "PLAIN", "value": marked()},
            ],
            "authString": next(supply),
            "labels": {"credentials": next(supply)},
            "whole": marked(),
            "json": json.dumps({"private_key": next(supply)}),
        }

    paths = (
        "secretData",
        "nested",
        "envs[0].value",
        "envs[1]",
        "authString",
        "labels",
        "whole",
        "json",
    )
    changed = step("update", RUN, "us-east1-service", inputs(), inputs(), paths)
    changed["newState"]["outputs"] = {"token": next(supply), "more": next(supply)}
    assert next(supply, None) is None
    for name, text in formats(made(changed)).items():
        assert [value for value in planted if value in text] == [], name
        assert "/home/somebody" not in text, name
        assert str(ROOT) not in text, name
        assert "[secret]" in text, name


def test_the_json_form_is_its_schema(tmp_path: Path) -> None:
    steps = [scaled("us-east1", 1, 2), step("delete", REDIS, "us-west1-cache", {})]
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(made(*steps), SCHEMA)
    jsonschema.validate(made(), SCHEMA)


def test_a_comment_stays_below_what_a_code_host_takes() -> None:
    long = "x" * 100
    sizes = {"timeout": "1s"}, {"timeout": "2s"}
    steps = [
        step("update", RUN, f"{long}-{number}", *sizes, ("timeout",))
        for number in range(2_000)
    ]
    text = shown.markdown(made(*steps))
    assert len(text) < shown.LIMIT
    assert "more blocks" in text


def test_what_leaves_a_list_is_named_and_not_what_moved_up() -> None:
    before = {"backends": [{"group": name} for name in "abcd"]}
    after = {"backends": [{"group": name} for name in "acde"[:3]]}
    paths = ("backends[1].group", "backends[2].group", "backends[3]")
    (found,) = changes(plan(step("update", RUN, "edge", before, after, paths)))
    assert [(v.path, v.before, v.after) for v in found.values] == [
        ("backends", {"group": "b"}, None)
    ]


def test_a_secret_in_a_list_that_grew_is_masked() -> None:
    before = {"envs": [{"name": "A", "value": "1"}]}
    after = {"envs": [*before["envs"], {"name": "DB_PASSWORD", "value": "hunter2"}]}
    (found,) = changes(plan(step("update", RUN, "x", before, after, ("envs[1]",))))
    (value,) = found.values
    assert value.after == {"name": "DB_PASSWORD", "value": "[secret]"}


def test_what_goes_with_its_component_is_one_line_but_data_is_named() -> None:
    kinds = ("Topic", "Subscription", "Subnetwork")
    steps = [
        step("delete", f"gcp:x/y:{kind}", f"me-west1-{kind}", {}) for kind in kinds
    ]
    steps += [step("delete", REDIS, f"me-west1-{name}", {}) for name in "abc"]
    text = "\n".join(shown.lines(made(*steps)))
    assert "(3 resources: Subnetwork, Subscription, Topic) in me-west1" in text
    assert all(f"Instance me-west1-{name}" in text for name in "abc")


def test_a_change_of_all_regions_alike_is_read_on_one_page() -> None:
    from topology import load

    steps = [scaled(region, 128, 100) for region in load("prod").regions]
    text = shown.markdown(made(*steps))
    assert len(text.splitlines()) <= 60
    assert len("\n".join(shown.lines(made(*steps))).splitlines()) <= 60
