"""Rules never raise, and never judge what is not known."""

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy import corpus
from policy.check import check
from policy.field import Field, Opaque
from policy.record import UNKNOWN_TEXT, Record, plain
from policy.rule import ANY
from policy.rules import every

TOKENS = sorted({t for rule in every() for t in rule.tokens if t != ANY})
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "3600s", "-1s", "1e9s", "10.0.0.0/33", "::/0", "db-custom-0-0", "9" * 40]
        + ["europe-west1-a", "POSTGRES_17", "allUsers", UNKNOWN_TEXT, "1Ki", "m", "[1"]
    ),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.just(Opaque.SECRET)
)
KEYS = sorted(
    {
        key
        for entry in corpus.good().values()
        for key, _ in Field(entry.get("inputs", {})).leaves()
        if key
    }
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    ),
    max_leaves=12,
)


def paths(value: Any, found: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a stack's inputs, blocks included."""
    here = [found] if found else []
    if isinstance(value, dict):
        return here + [p for k, v in value.items() for p in paths(v, (*found, k))]
    if isinstance(value, list):
        return here + [p for i, v in enumerate(value) for p in paths(v, (*found, i))]
    return here


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same with another value at one place; the rest is shared."""
    if not path:
        return new
    made = copy.copy(value)
    made[path[0]] = replaced(value[path[0]], path[1:], new)
    return made


GOOD = {record.name: record for record in corpus.records(corpus.good())}


def changed(name: str, path: tuple[Any, ...], new: Any) -> list[Record]:
    """The good platform with another value at one place."""
    inputs = plain(replaced(dict(GOOD[name].inputs), path, new))
    return list({**GOOD, name: dataclasses.replace(GOOD[name], inputs=inputs)}.values())


GOOD_INPUTS = [
    (name, path)
    for name, entry in corpus.good().items()
    for path in paths(entry.get("inputs", {}))
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TOKENS), JUNK), max_size=4))
def test_junk_in_place_of_inputs_raises_nothing(given_: list[tuple[str, Any]]) -> None:
    records = [
        Record(
            urn=f"urn:pulumi:test::meridian::{token}::junk{number}",
            token=token,
            name=f"junk{number}",
            inputs=plain(junk) if isinstance(junk, dict) else {"name": junk},
        )
        for number, (token, junk) in enumerate(given_)
    ]
    for violation in check(records, every()):
        assert violation.message


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GOOD_INPUTS), JUNK)
def test_junk_at_any_place_of_a_good_platform_raises_nothing(
    where: tuple[str, tuple[Any, ...]], junk: Any
) -> None:
    name, path = where
    for violation in check(changed(name, path, junk), every()):
        assert violation.message


@pytest.mark.parametrize(
    ("opaque", "step"),
    [(UNKNOWN_TEXT, 1), (Opaque.SECRET, 10)],
    ids=["unknown", "secret"],
)
def test_nothing_is_said_of_a_value_that_is_not_known(opaque: Any, step: int) -> None:
    """One at a time, every value of the good platform becomes unknown."""
    alone = [rule for rule in every() if not rule.among]
    among = [rule for rule in every() if rule.among]
    for name, path in GOOD_INPUTS[::step]:
        records = changed(name, path, opaque)
        found = check([r for r in records if r.name == name], alone)
        found += check(records, among)
        assert [v.message for v in found] == [], (name, path)


def test_everything_unknown_breaks_no_rule() -> None:
    stack = copy.deepcopy(corpus.good())
    for entry in stack.values():
        entry["inputs"] = dict.fromkeys(entry.get("inputs", {}), UNKNOWN_TEXT)
    assert [v.message for v in check(corpus.records(stack), every())] == []


def test_a_block_may_be_a_list_of_one() -> None:
    """The provider's blocks of at most one item come in both forms."""
    for rule in every():
        example = corpus.examples()[rule.id]
        resource = example.place.partition(":")[0]
        stack = copy.deepcopy(example.refused)
        inputs = stack[resource].get("inputs", {})
        template = inputs.get("template") or inputs.get("settings")
        if isinstance(template, dict):
            inputs["template" if "template" in inputs else "settings"] = [template]
            assert check(corpus.records(stack), [rule]), rule.id


def test_a_secret_is_in_no_message() -> None:
    stack = copy.deepcopy(corpus.examples()["no-secret-value"].refused)
    assert "correct-horse" in json.dumps(stack)
    (violation,) = check(corpus.records(stack), every())
    assert "correct-horse" not in violation.message
