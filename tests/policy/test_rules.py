"""Every rule on trial, and our own worlds before all of them."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy import corpus
from policy.check import check
from policy.record import Record
from policy.rule import Level, Rule
from policy.rules import MODULES, every

ROOT = Path(__file__).resolve().parents[2]
RULES = every()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def test_there_are_more_rules_than_promised_and_each_has_an_example() -> None:
    assert len(RULES) >= 35
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert corpus.without_example() == []
    assert set(corpus.examples()) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_accepts_its_passing_and_refuses_its_failing_example(rule: Rule) -> None:
    accepted, refused = corpus.examples()[rule.id].run()
    assert accepted == []
    (violation,) = refused
    fault = violation.fault
    assert violation.rule == rule.id
    assert all((fault.place, fault.value, fault.limit, fault.remedy))
    for part in (violation.name, fault.place, fault.value, fault.limit, fault.remedy):
        assert part in violation.message


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_failing_example_differs_in_exactly_one_field(rule: Rule) -> None:
    example = corpus.examples()[rule.id]
    before, after = (
        dict(leaves(stack)) for stack in (example.accepted, example.refused)
    )
    missing = object()
    changed = [
        path
        for path in before.keys() | after.keys()
        if before.get(path, missing) != after.get(path, missing)
    ]
    assert len(changed) == 1, changed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_what_where_from_and_when(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.id)
    assert rule.says.endswith(".") and len(rule.says) < 100
    assert re.search(r"\b20\d\d-\d\d(-\d\d)?\b", rule.source), rule.source
    assert rule.tokens


def test_the_good_platform_breaks_no_rule_at_all() -> None:
    found = check(corpus.records(corpus.good()), RULES)
    assert [violation.message for violation in found] == []


@pytest.mark.parametrize("environment", ["prod", "local"])
def test_our_own_worlds_break_no_mandatory_rule(
    environment: str, world: Callable[[str], list[Record]]
) -> None:
    records = world(environment)
    assert len(records) > 300
    found = check(records, RULES)
    broken = [v.message for v in found if v.level is Level.MANDATORY]
    assert broken == []


def test_most_rules_look_at_something_in_our_own_world(
    world: Callable[[str], list[Record]],
) -> None:
    records = world("prod")
    idle = [r.id for r in RULES if not any(r.applies(record) for record in records)]
    assert len(idle) < len(RULES) / 5, idle


def test_every_fault_is_mapped_or_says_why_not() -> None:
    rows = corpus.rows()
    assert [row.id for row in rows] == [f"T{number}" for number in range(1, 36)]
    assert all(bool(row.rules) != bool(row.reason) for row in rows)
    known = {rule.id for rule in RULES}
    assert {name for row in rows for name in row.rules} <= known
    assert sum(bool(row.rules) for row in rows) >= 24


def test_modules_and_functions_stay_small() -> None:
    for file in (ROOT / "policy").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno <= 40, f"{file}: {node.name}"


def test_every_module_of_rules_is_listed() -> None:
    listed = {module.__name__.rpartition(".")[2] for module in MODULES}
    there = {file.stem for file in (ROOT / "policy" / "rules").glob("*.py")}
    assert there - listed == {"__init__", "kinds"}


def test_each_rule_stands_in_the_module_that_defines_it() -> None:
    seen: dict[str, str] = {}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, Rule):
                assert value.id not in seen, f"{value.id}: {seen.get(value.id)}"
                seen[value.id] = module.__name__
